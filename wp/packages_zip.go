package wp

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What an archive may be at most. WordPress has 3,800 files of 117 MB in 34 MB;
// the largest plugins have about 10,000 files.
const (
	maxZipEntries  = 50_000
	maxZipUnpacked = 2 << 30
	maxZipRatio    = 100
	maxZipName     = 255
)

var errBadZip = errors.New("archive is refused")

// checkZip tests an archive as a whole: names, kinds, sizes, and every checksum,
// by reading it once.
func checkZip(file string) error {
	return eachZip(file, func(*zip.File, io.Reader) error { return nil })
}

// unzip unpacks a checked archive into a new directory. dir is written to through
// an os.Root, and names were checked before, so this is the second wall.
func unzip(file, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return eachZip(file, func(f *zip.File, in io.Reader) error {
		name := strings.TrimSuffix(f.Name, "/")
		if f.FileInfo().IsDir() {
			return root.MkdirAll(name, 0o755)
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// eachZip walks the archive in a file.
func eachZip(file string, each func(*zip.File, io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return walkZip(f, info.Size(), each)
}

// walkZip reads every entry of an archive to its end, where its checksum is
// compared. Sizes are counted while reading: what the headers say is only believed
// when it is already too much.
func walkZip(data io.ReaderAt, size int64, each func(*zip.File, io.Reader) error) error {
	r, err := zip.NewReader(data, size)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadZip, err)
	}
	if len(r.File) > maxZipEntries {
		return fmt.Errorf("%w: %d entries", errBadZip, len(r.File))
	}
	budget := min(int64(maxZipUnpacked), max(size, 1<<10)*maxZipRatio)
	seen := map[string]bool{}
	for _, f := range r.File {
		if err := checkZipEntry(f, seen); err != nil {
			return err
		}
		n, err := readZip(f, budget, each)
		if err != nil {
			return err
		}
		budget -= n
	}
	return nil
}

func checkZipEntry(f *zip.File, seen map[string]bool) error {
	name := strings.TrimSuffix(f.Name, "/")
	switch mode := f.Mode(); {
	case !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00\r\n") || len(name) > maxZipName*4:
		return fmt.Errorf("%w: entry name %q", errBadZip, cleanLine(f.Name, 100))
	case !mode.IsRegular() && !mode.IsDir() || mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return fmt.Errorf("%w: %s is neither plain file nor directory", errBadZip, cleanLine(name, 100))
	case f.Flags&1 != 0:
		return fmt.Errorf("%w: %s is encrypted", errBadZip, cleanLine(name, 100))
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxZipName {
			return fmt.Errorf("%w: entry name too long", errBadZip)
		}
	}
	key := strings.ToLower(name)
	if seen[key] && !f.FileInfo().IsDir() {
		return fmt.Errorf("%w: %s is there twice", errBadZip, cleanLine(name, 100))
	}
	seen[key] = true
	return nil
}

func readZip(f *zip.File, budget int64, each func(*zip.File, io.Reader) error) (int64, error) {
	if f.UncompressedSize64 > uint64(budget) {
		return 0, fmt.Errorf("%w: it unpacks to too much", errBadZip)
	}
	in, err := f.Open()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errBadZip, err)
	}
	defer in.Close()
	counted := &io.LimitedReader{R: in, N: budget + 1}
	if err := each(f, counted); err != nil {
		return 0, fmt.Errorf("unpacking %s: %w", cleanLine(f.Name, 100), err)
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return 0, fmt.Errorf("%w: %s: %w", errBadZip, cleanLine(f.Name, 100), err)
	}
	if counted.N == 0 {
		return 0, fmt.Errorf("%w: it unpacks to too much", errBadZip)
	}
	return budget + 1 - counted.N, nil
}
