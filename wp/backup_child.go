package wp

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// Everything in this file runs as the tenant; see files_child.go.

func init() {
	registerPack("wp.pack", func(ctx context.Context, docroot *os.Root, req packRequest, out io.Writer) (any, error) {
		return pack(ctx, docroot, req, out)
	})
	registerPack("wp.unpack", func(ctx context.Context, docroot *os.Root, _ packRequest, _ io.Writer) (any, error) {
		return unpack(ctx, docroot, proc.Input(ctx))
	})
}

func registerPack(name string, fn func(context.Context, *os.Root, packRequest, io.Writer) (any, error)) {
	proc.Register(name, func(ctx context.Context, in json.RawMessage, out io.Writer) (any, error) {
		var req packRequest
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		home, err := os.OpenRoot(req.Home)
		if err != nil {
			return nil, fmt.Errorf("opening domain directory: %w", err)
		}
		defer home.Close()
		if name == "wp.unpack" {
			if err := home.MkdirAll(req.Target, 0o755); err != nil {
				return nil, fmt.Errorf("making directory: %w", err)
			}
		}
		docroot, err := home.OpenRoot(req.Target)
		if err != nil {
			return nil, fmt.Errorf("opening docroot: %w", err)
		}
		defer docroot.Close()
		return fn(ctx, docroot, req, out)
	})
}

// packer writes the tar. Entries come in order of name, so that the same tree gives the same
// bytes, which a store that knows them keeps once.
type packer struct {
	ctx context.Context
	packRequest
	packAnswer
	tar *tar.Writer
	buf []byte
}

func pack(ctx context.Context, docroot *os.Root, req packRequest, out io.Writer) (packAnswer, error) {
	buffered := bufio.NewWriterSize(out, streamBuffer)
	p := &packer{ctx: ctx, packRequest: req, tar: tar.NewWriter(buffered), buf: make([]byte, streamBuffer)}
	names, err := goes(docroot, req.Target)
	if err != nil {
		return packAnswer{}, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, stagePrefix) })
	slices.Sort(names)
	for _, name := range names {
		if err := p.entry(docroot, name, name, 0); err != nil {
			return packAnswer{}, err
		}
	}
	if err := errors.Join(p.tar.Close(), buffered.Flush()); err != nil {
		return packAnswer{}, fmt.Errorf("sending files: %w", err)
	}
	return p.packAnswer, nil
}

// wanted: rel is to be packed. A directory above what is wanted is, too.
func (p *packer) wanted(rel string) bool {
	if within(p.Skip, rel) && len(p.Skip) > 0 {
		return false
	}
	return len(p.Paths) == 0 || within(p.Paths, rel) ||
		slices.ContainsFunc(p.Paths, func(want string) bool { return strings.HasPrefix(want, rel+"/") })
}

func (p *packer) entry(dir *os.Root, name, rel string, depth int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if !p.wanted(rel) {
		return nil
	}
	if len(rel) > maxTreePath || depth > maxTreeDepth {
		return tooDeep(rel) // a backup without it would not be one
	}
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since it was listed
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", rel, err)
	}
	switch {
	case info.Mode().IsRegular():
		err = p.file(dir, name, rel)
	case info.IsDir():
		err = p.directory(dir, name, rel, info, depth)
	case info.Mode()&fs.ModeSymlink != 0:
		err = p.link(dir, name, rel, info)
	default:
		p.Skipped = told(p.Skipped, rel)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func told(names []string, name string) []string {
	if len(names) >= maxTold {
		return names
	}
	return append(names, name)
}

func entryHeader(kind byte, rel string, info fs.FileInfo) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: rel, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime().Truncate(time.Second)}
}

func (p *packer) directory(parent *os.Root, name, rel string, info fs.FileInfo, depth int) error {
	dir, err := parent.OpenRoot(name)
	if err != nil {
		return fmt.Errorf("opening %s: %w", rel, err)
	}
	defer dir.Close()
	names, err := list(dir, -1)
	if err != nil {
		return fmt.Errorf("reading %s: %w", rel, err)
	}
	if err := p.tar.WriteHeader(entryHeader(tar.TypeDir, rel+"/", info)); err != nil {
		return fmt.Errorf("sending %s: %w", rel, err)
	}
	slices.Sort(names)
	for _, entry := range names {
		if err := p.entry(dir, entry, path.Join(rel, entry), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) link(dir *os.Root, name, rel string, info fs.FileInfo) error {
	target, err := dir.Readlink(name)
	if err != nil {
		return fmt.Errorf("reading link %s: %w", rel, err)
	}
	h := entryHeader(tar.TypeSymlink, rel, info)
	h.Linkname = target
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("sending %s: %w", rel, err)
	}
	return nil
}

// file sends as many bytes as the file had when it was opened: what is missing in the end
// are zeros, and the file is told of, as tar does.
func (p *packer) file(dir *os.Root, name, rel string) error {
	f, err := dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", rel, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("looking at %s: %w", rel, err)
	}
	if !info.Mode().IsRegular() {
		p.Skipped = told(p.Skipped, rel)
		return nil
	}
	h := entryHeader(tar.TypeReg, rel, info)
	h.Size = info.Size()
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("sending %s: %w", rel, err)
	}
	sent, err := io.CopyBuffer(onlyWriter{p.tar}, io.LimitReader(f, h.Size), p.buf)
	if err != nil {
		return fmt.Errorf("sending %s: %w", rel, err)
	}
	if sent < h.Size {
		p.Changed = told(p.Changed, rel)
		if _, err := io.CopyN(onlyWriter{p.tar}, zeros{}, h.Size-sent); err != nil {
			return fmt.Errorf("sending %s: %w", rel, err)
		}
	}
	p.Files++
	p.Bytes += h.Size
	return nil
}

// onlyWriter hides ReadFrom, by which tar would not use our buffer.
type onlyWriter struct{ io.Writer }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// unpacker fills a directory. Links come last, so that nothing is written through one of the
// backup's own; modes and times of directories after them, so that nothing stands in the way.
type unpacker struct {
	ctx  context.Context
	root *os.Root
	packAnswer
	buf   []byte
	dirs  []*tar.Header
	links []*tar.Header
}

func unpack(ctx context.Context, docroot *os.Root, in io.Reader) (packAnswer, error) {
	u := &unpacker{ctx: ctx, root: docroot, buf: make([]byte, streamBuffer)}
	if err := eachEntry(tar.NewReader(bufio.NewReaderSize(in, streamBuffer)), u.entry); err != nil {
		return packAnswer{}, err
	}
	if err := u.finish(); err != nil {
		return packAnswer{}, err
	}
	return u.packAnswer, syncAll(docroot)
}

func (u *unpacker) entry(e *tar.Header, content io.Reader) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	name := strings.TrimSuffix(e.Name, "/")
	switch e.Typeflag {
	case tar.TypeSymlink:
		u.links = append(u.links, e)
		return nil
	case tar.TypeDir:
		u.dirs = append(u.dirs, e)
		if err := u.makeDirs(name); err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		return nil
	}
	if err := u.file(name, e, content); err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	return nil
}

// makeDirs makes a directory and those above it; what is in the way and no directory goes.
func (u *unpacker) makeDirs(name string) error {
	if name == "." {
		return nil
	}
	info, err := u.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		if err := u.root.Remove(name); err != nil {
			return err
		}
	default:
		if err := u.makeDirs(path.Dir(name)); err != nil {
			return err
		}
	}
	return u.root.Mkdir(name, 0o755)
}

func (u *unpacker) file(name string, e *tar.Header, content io.Reader) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := u.root.OpenFile(name, flags, 0o600)
	if err != nil {
		if err := u.clear(name); err != nil {
			return err
		}
		if f, err = u.root.OpenFile(name, flags, 0o600); err != nil {
			return err
		}
	}
	n, err := io.CopyBuffer(onlyWriter{f}, content, u.buf)
	if err := errors.Join(err, f.Chmod(permissions(e)), f.Close()); err != nil {
		return err
	}
	u.Files++
	u.Bytes += n
	return u.root.Chtimes(name, e.ModTime, e.ModTime)
}

// clear makes the way free for an entry.
func (u *unpacker) clear(name string) error {
	if err := u.makeDirs(path.Dir(name)); err != nil {
		return err
	}
	return removeAll(u.root, name)
}

func (u *unpacker) finish() error {
	for _, e := range u.links {
		if err := u.clear(e.Name); err != nil {
			return fmt.Errorf("making way for %s: %w", e.Name, err)
		}
		if err := u.root.Symlink(e.Linkname, e.Name); err != nil {
			return fmt.Errorf("linking %s: %w", e.Name, err)
		}
	}
	for _, e := range slices.Backward(u.dirs) { // a directory after what is in it
		name := strings.TrimSuffix(e.Name, "/")
		if err := errors.Join(u.root.Chtimes(name, e.ModTime, e.ModTime), u.root.Chmod(name, permissions(e))); err != nil {
			return fmt.Errorf("finishing %s: %w", name, err)
		}
	}
	return nil
}
