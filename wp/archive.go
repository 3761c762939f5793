package wp

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// ArchiveSuffix is the end of the name of a final archive.
const ArchiveSuffix = ".tar.gz"

const partSuffix = ".part"

// Archive writes everything of an install into one file in Host.Archives, which belongs to
// the worker alone: files/… is the docroot, database.sql.gz its tables. Tar and the dump run
// as the tenant; what they write passes through here, so that no path of the tenant's is
// opened. database.Kept tells whether the tables can be read at all.
//
// errors.Is syscall.ENOSPC when less than a twentieth of the disk would stay free; then, as
// after every error, RemoveArchive cleans up.
func (h *Host) Archive(ctx context.Context, found Found, database DatabasePart, name string) (path string, size int64, err error) {
	if h.Archives == "" {
		return "", 0, errors.New("writing final archive: the node has no directory for it")
	}
	path = filepath.Join(h.Archives, name+ArchiveSuffix)
	if info, err := os.Stat(path); err == nil { // complete: it gets this name last
		return path, info.Size(), nil
	}
	budget, err := freeSpace(h.Archives)
	if err != nil {
		return "", 0, err
	}
	out, err := os.OpenFile(path+partSuffix, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, fmt.Errorf("making final archive: %w", err)
	}
	defer out.Close()
	limited := &limitedWriter{to: out, left: budget}
	packed, err := gzip.NewWriterLevel(limited, gzip.BestSpeed)
	if err != nil {
		return "", 0, fmt.Errorf("making final archive: %w", err)
	}
	w := tar.NewWriter(packed)
	if err = h.archiveDatabase(ctx, w, found, database, path, limited); err == nil {
		err = archiveFiles(ctx, w, found.Site)
	}
	if err = errors.Join(err, w.Close(), packed.Close(), out.Sync(), out.Close()); err != nil {
		return "", 0, fmt.Errorf("writing final archive: %w", err)
	}
	if err := os.Rename(path+partSuffix, path); err != nil {
		return "", 0, fmt.Errorf("naming final archive: %w", err)
	}
	return path, budget - limited.left, nil
}

// RemoveArchive deletes what Archive has written under a name.
func (h *Host) RemoveArchive(name string) error {
	path := filepath.Join(h.Archives, name+ArchiveSuffix)
	for _, file := range []string{path, path + partSuffix, path + dumpSuffix} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing final archive: %w", err)
		}
	}
	return nil
}

// freeSpace is what may be written: a twentieth of the disk stays free for others.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for free space: %w", err)
	}
	return (int64(st.Bavail) - int64(st.Blocks)/20) * st.Bsize, nil
}

// limitedWriter is a disk that is full after so many bytes.
type limitedWriter struct {
	to   io.Writer
	left int64
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, fmt.Errorf("keeping room on the disk: %w", syscall.ENOSPC)
	}
	n, err := w.to.Write(p)
	w.left -= int64(n)
	return n, err
}

// archiveFiles has tar read the tree as the tenant, and writes its entries anew.
func archiveFiles(ctx context.Context, w *tar.Writer, site Site) error {
	program, err := findProgram("tar", "")
	if err != nil {
		return fmt.Errorf("finding tar: %w", err)
	}
	return asReader(ctx, site, proc.Spec{
		Path: program, Args: []string{"--create", "--file=-", "--format=posix", "--numeric-owner", "--directory=" + site.Docroot, "."},
		Env: []string{"PATH=" + searchPath, "LANG=C.UTF-8"},
	}, 1, func(r io.Reader) error { return copyEntries(w, tar.NewReader(r)) })
}

func copyEntries(w *tar.Writer, r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading tar: %w", err)
		}
		if !slices.Contains([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink}, h.Typeflag) {
			continue // sockets and the like
		}
		h.Name = path.Join("files", path.Join("/", h.Name))
		if h.Typeflag == tar.TypeLink {
			h.Linkname = path.Join("files", path.Join("/", h.Linkname))
		}
		h.Format = tar.FormatUnknown
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("writing entry: %w", err)
		}
		if _, err := io.Copy(w, r); err != nil {
			return fmt.Errorf("writing file: %w", err)
		}
	}
}

const dumpSuffix = ".sql.gz"

// archiveDatabase dumps the tables beside the archive first, as tar wants to know a size.
func (h *Host) archiveDatabase(ctx context.Context, w *tar.Writer, found Found, database DatabasePart, file string, limit *limitedWriter) error {
	if len(database.Tables) == 0 {
		return nil
	}
	dump, err := os.OpenFile(file+dumpSuffix, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("making dump: %w", err)
	}
	defer func() { dump.Close(); os.Remove(dump.Name()) }() //nolint:errcheck // RemoveArchive does it, too
	if err := h.dump(ctx, found, database, &limitedWriter{dump, limit.left / 2}); err != nil {
		return err
	}
	size, err := dump.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = dump.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "database.sql.gz", Mode: 0o600, Size: size})
	}
	if err == nil {
		_, err = io.Copy(w, dump)
	}
	if err != nil {
		return fmt.Errorf("writing dump: %w", err)
	}
	return nil
}

// dump writes the tables of an install as SQL, compressed. The password goes in by the
// environment, which only the tenant's own processes and root can read.
func (h *Host) dump(ctx context.Context, found Found, database DatabasePart, to io.Writer) error {
	program, err := findProgram("mariadb-dump", "")
	if err != nil {
		if program, err = findProgram("mysqldump", ""); err != nil {
			return fmt.Errorf("finding mariadb-dump: %w", err)
		}
	}
	c := found.Config
	args := []string{"--no-defaults", "--single-transaction", "--quick", "--hex-blob", "--no-tablespaces", "--skip-lock-tables",
		"--default-character-set=utf8mb4", "--user=" + c.DBUser}
	network, addr := doorOf(c.DBHost, h.DB)
	if host, port, err := net.SplitHostPort(addr); network == "tcp" && err == nil {
		args = append(args, "--protocol=tcp", "--host="+host, "--port="+port)
	} else {
		args = append(args, "--protocol=socket", "--socket="+addr)
	}
	args = append(append(args, "--", database.Name), database.Tables...)
	packed, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("making dump: %w", err)
	}
	err = asReader(ctx, found.Site, proc.Spec{
		Path: program, Args: args, Env: []string{"PATH=" + searchPath, "LANG=C.UTF-8", "MYSQL_PWD=" + c.DBPassword},
	}, 0, func(r io.Reader) error {
		_, err := io.Copy(packed, r)
		return err
	})
	if err = errors.Join(err, packed.Close()); err != nil {
		return fmt.Errorf("dumping database: %w", err)
	}
	return nil
}

// asReader runs a program as the tenant and has its output read. An exit status up to worst
// is fine: tar has 1 for a file that changed meanwhile.
func asReader(ctx context.Context, site Site, spec proc.Spec, worst int, read func(io.Reader) error) error {
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	r, w := io.Pipe()
	stderr := proc.Capped(maxStderr)
	spec.As, spec.Stdout, spec.Stderr, spec.Keep, spec.Started = site.User, w, stderr, hooks.Keep, hooks.Started
	failed := make(chan error, 1)
	go func() {
		err := read(r)
		if err == nil {
			_, err = io.Copy(io.Discard, r) // tar pads its output
		}
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		failed <- err
	}()
	exit, err := proc.Run(ctx, spec)
	w.Close() //nolint:errcheck // always nil
	if readErr := <-failed; readErr != nil {
		return readErr
	}
	if err != nil {
		return err
	}
	if exit.Code < 0 || exit.Code > worst {
		said := newRedactor(append(hooks.Secrets, passwordOf(spec.Env)...)).clean(stderr.Bytes())
		return fmt.Errorf("%s ended with status %d: %s", filepath.Base(spec.Path), exit.Code, firstError(said))
	}
	return nil
}

func passwordOf(env []string) []string {
	for _, v := range env {
		if password, ok := strings.CutPrefix(v, "MYSQL_PWD="); ok {
			return []string{password}
		}
	}
	return nil
}
