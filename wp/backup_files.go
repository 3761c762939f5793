package wp

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// packRequest asks the tenant's child for a tar of the docroot, or to unpack one into it.
type packRequest struct {
	Home   string   `json:"home"`
	Target string   `json:"target"`          // the docroot, relative to Home
	Skip   []string `json:"skip,omitempty"`  // relative to the docroot
	Paths  []string `json:"paths,omitempty"` // only these; empty: all that belongs to the install
}

// packAnswer is what a child says about its work: a tenant's word, cleaned before use.
type packAnswer struct {
	Skipped []string `json:"skipped,omitempty"` // neither file, directory nor link
	Changed []string `json:"changed,omitempty"` // shorter than when they were opened
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
}

const maxTold = 50 // names in the lists above

// streamBuffer is what tar's many small writes are gathered in.
const streamBuffer = 256 << 10

// PackFiles writes a tar of the docroot, read by a child that is the tenant; names are
// relative to the docroot. The headers are written anew: no owner, no setuid, no devices or
// sockets, no names that lead out. A hard link is a file of its own. skip are paths that stay
// out with all below them.
func (h *Host) PackFiles(ctx context.Context, site Site, skip []string, w io.Writer) error {
	out := bufio.NewWriterSize(w, streamBuffer)
	to := tar.NewWriter(out)
	_, err := h.packed(ctx, site, packRequest{Skip: skip}, func(r *tar.Reader) error {
		return eachEntry(r, func(e *tar.Header, content io.Reader) error { return writeEntry(to, e, content) })
	})
	if err = errors.Join(err, to.Close(), out.Flush()); err != nil {
		return fmt.Errorf("packing files: %w", err)
	}
	return nil
}

// packed has a child of the tenant's pack the docroot, and its tar read.
func (h *Host) packed(ctx context.Context, site Site, req packRequest, read func(*tar.Reader) error) (packAnswer, error) {
	if err := site.check(); err != nil {
		return packAnswer{}, err
	}
	var err error
	if req.Target, err = filepath.Rel(site.Home, site.Docroot); err != nil {
		return packAnswer{}, fmt.Errorf("finding docroot: %w", err)
	}
	req.Home = site.Home
	r, w := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := read(tar.NewReader(bufio.NewReaderSize(r, streamBuffer)))
		if err == nil {
			_, err = io.Copy(io.Discard, r) // what stands behind the end of the tar
		}
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		failed <- err
	}()
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	opt := proc.CallOptions{Keep: hooks.Keep, Started: hooks.Started, Output: w, MaxAnswer: 1 << 20}
	var answer packAnswer
	err = proc.Call(ctx, site.User, opt, "wp.pack", req, &answer)
	w.CloseWithError(err)
	if readErr := <-failed; err == nil || !errors.Is(readErr, err) && readErr != nil {
		err = readErr
	}
	return answer.cleaned(), err
}

func (a packAnswer) cleaned() packAnswer {
	for _, names := range []*[]string{&a.Skipped, &a.Changed} {
		*names = (*names)[:min(len(*names), maxTold)]
		for i, name := range *names {
			(*names)[i] = cleanLine(name, 300)
		}
	}
	return a
}

// eachEntry calls fn with the clean form of every entry of a tar that a tenant has written.
func eachEntry(r *tar.Reader, fn func(*tar.Header, io.Reader) error) error {
	for {
		raw, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading tar: %w", err)
		}
		e, ok := cleanEntry(raw)
		if !ok {
			continue
		}
		if err := fn(e, r); err != nil {
			return err
		}
	}
}

// cleanEntry is a header with only what a backup has: name, type, permissions, time, size.
// It is false for anything that is not file, directory or symbolic link, and for names that
// the docroot cannot have.
func cleanEntry(raw *tar.Header) (*tar.Header, bool) {
	name := path.Clean("/" + raw.Name)[1:]
	if name == "" || len(name) > maxTreePath || strings.ContainsRune(name, 0) || sparse(raw) {
		return nil, false
	}
	e := &tar.Header{Typeflag: raw.Typeflag, Name: name, Mode: raw.Mode & 0o777, ModTime: raw.ModTime.Truncate(time.Second)}
	switch raw.Typeflag {
	case tar.TypeReg:
		e.Size = raw.Size
	case tar.TypeDir:
		e.Name += "/"
	case tar.TypeSymlink:
		if raw.Linkname == "" || len(raw.Linkname) > maxTreePath || strings.ContainsRune(raw.Linkname, 0) {
			return nil, false
		}
		e.Linkname, e.Mode = raw.Linkname, 0o777
	default:
		return nil, false
	}
	return e, true
}

// sparse tells of a file that claims to be larger than what stands for it: without end, if
// somebody wants that.
func sparse(raw *tar.Header) bool {
	for key := range raw.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func writeEntry(to *tar.Writer, e *tar.Header, content io.Reader) error {
	if err := to.WriteHeader(e); err != nil {
		return fmt.Errorf("writing entry: %w", err)
	}
	if e.Typeflag != tar.TypeReg {
		return nil
	}
	if _, err := io.Copy(to, content); err != nil {
		return fmt.Errorf("writing file: %w", err)
	}
	return nil
}

// ExtractFiles unpacks such a tar into the docroot of a staged site, as the tenant; the
// directory is made when it is not there, and files in the way are replaced. keep, which may
// be nil, chooses by path. It answers how many regular files there were, and their bytes, and
// all of it is on the disk by then.
func (h *Host) ExtractFiles(ctx context.Context, staged Site, files io.Reader, keep func(path string) bool) (count, bytes int64, err error) {
	if err := staged.check(); err != nil {
		return 0, 0, err
	}
	req := packRequest{Home: staged.Home}
	if req.Target, err = filepath.Rel(staged.Home, staged.Docroot); err != nil {
		return 0, 0, fmt.Errorf("finding docroot: %w", err)
	}
	r, w := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := chooseEntries(w, files, keep)
		w.CloseWithError(err)
		failed <- err
	}()
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	opt := proc.CallOptions{Keep: hooks.Keep, Started: hooks.Started, Input: r, MaxAnswer: 1 << 20}
	var answer packAnswer
	err = proc.Call(ctx, staged.User, opt, "wp.unpack", req, &answer)
	r.CloseWithError(io.ErrClosedPipe)
	if sent := <-failed; err == nil || sent != nil && !errors.Is(sent, io.ErrClosedPipe) {
		err = sent
	}
	if err != nil {
		return 0, 0, fmt.Errorf("unpacking files: %w", err)
	}
	return answer.Files, answer.Bytes, nil
}

// chooseEntries copies the entries of a tar that keep wants, cleaned.
func chooseEntries(w io.Writer, files io.Reader, keep func(string) bool) error {
	out := bufio.NewWriterSize(w, streamBuffer)
	to := tar.NewWriter(out)
	err := eachEntry(tar.NewReader(files), func(e *tar.Header, content io.Reader) error {
		if keep != nil && !keep(strings.TrimSuffix(e.Name, "/")) {
			return nil
		}
		return writeEntry(to, e, content)
	})
	if err != nil {
		return err
	}
	return errors.Join(to.Close(), out.Flush())
}

// permissions of an entry on disk. Its owner can always read it and enter it while it is
// filled; the mode is set when it is.
func permissions(e *tar.Header) fs.FileMode { return fs.FileMode(e.Mode) & fs.ModePerm }
