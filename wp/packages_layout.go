package wp

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// layoutFiles reads the layout of Packages, wherever it is.
type layoutFiles interface {
	// open reads one file; errors.Is fs.ErrNotExist when there is none.
	open(ctx context.Context, rel string) (io.ReadCloser, error)
	// names lists a folder. A mirror knows only what a VERSIONS file says.
	names(ctx context.Context, rel string) ([]string, error)
}

// dirFiles is a layout on this machine. os.Root keeps links inside it.
type dirFiles struct{ root *os.Root }

func (d dirFiles) open(_ context.Context, rel string) (io.ReadCloser, error) {
	f, err := d.root.OpenFile(rel, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a regular file", rel), err, f.Close())
	}
	return f, nil
}

func (d dirFiles) names(_ context.Context, rel string) ([]string, error) {
	f, err := d.root.Open(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// layoutSource is a packageSource on a layout.
type layoutSource struct{ files layoutFiles }

// Caps of single files, in bytes.
const (
	maxIndex   = 16 << 20
	maxMember  = 128 << 20
	maxArchive = 512 << 20
)

func (s layoutSource) versions(ctx context.Context, kind, slug string) ([]Version, error) {
	names, err := s.files.names(ctx, path.Join(kind, slug))
	if errors.Is(err, fs.ErrNotExist) {
		return s.latestOnly(ctx, kind, slug)
	}
	if err != nil {
		return nil, fmt.Errorf("listing versions of %s: %w", path.Join(kind, slug), err)
	}
	var list []Version
	for _, name := range names {
		if kind != kindCore {
			name = strings.TrimSuffix(name, ".zip")
		}
		if v, err := ParseVersion(name); err == nil {
			list = append(list, v)
		}
	}
	return list, nil
}

// latestOnly: a mirror without VERSIONS still has core/LATEST.
func (s layoutSource) latestOnly(ctx context.Context, kind, slug string) ([]Version, error) {
	data, err := s.read(ctx, path.Join(kind, slug, "LATEST"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := ParseVersion(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("reading LATEST of %s: %w", path.Join(kind, slug), err)
	}
	return []Version{v}, nil
}

func (s layoutSource) read(ctx context.Context, rel string) ([]byte, error) {
	in, err := s.files.open(ctx, rel)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", rel, err)
	}
	return data, nil
}

func (s layoutSource) core(ctx context.Context, v Version, dir string) error {
	base := path.Join(kindCore, v.String())
	manifest, err := s.read(ctx, path.Join(base, "SHA256SUMS"))
	if err != nil {
		return err
	}
	sums, err := parseManifest(manifest)
	if err != nil {
		return err
	}
	if err := s.fetch(ctx, path.Join(base, "wordpress"), sums, filepath.Join(dir, "wordpress")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), manifest, 0o644)
}

func (s layoutSource) language(ctx context.Context, v Version, locale, dir string) ([]string, error) {
	base := path.Join(kindCore, v.String())
	manifest, err := s.read(ctx, path.Join(base, "LANGUAGES.SHA256SUMS"))
	if err != nil {
		return nil, err
	}
	sums, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	locales := s.locales(ctx, base)
	for name := range sums {
		if !ofLocale(name, locale) {
			delete(sums, name)
		}
	}
	if len(sums) == 0 {
		return locales, fs.ErrNotExist
	}
	return locales, s.fetch(ctx, path.Join(base, "languages"), sums, dir)
}

// locales only serves the message that says what there is.
func (s layoutSource) locales(ctx context.Context, base string) []string {
	data, err := s.read(ctx, path.Join(base, "LOCALES"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// ofLocale matches the names that WordPress gives its own translations:
// de_DE.mo, admin-de_DE.l10n.php, admin-network-…, continents-cities-…, and
// de_DE-<md5>.json. de_DE is not de_DE_formal.
func ofLocale(name, locale string) bool {
	for _, prefix := range []string{"", "admin-", "admin-network-", "continents-cities-"} {
		rest, ok := strings.CutPrefix(name, prefix+locale)
		if ok && !strings.Contains(name, "/") && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "-") && strings.HasSuffix(rest, ".json")) {
			return true
		}
	}
	return false
}

func (s layoutSource) zip(ctx context.Context, kind, slug string, v Version, file string) error {
	in, err := s.files.open(ctx, path.Join(kind, slug, v.String()+".zip"))
	if err != nil {
		return err
	}
	defer in.Close()
	return writeCapped(in, file, maxArchive)
}

// fetchers is how many files are fetched at once: over HTTP latency counts.
const fetchers = 8

// fetch copies the files of a manifest, each compared with its hash.
func (s layoutSource) fetch(ctx context.Context, base string, sums map[string]string, dir string) error {
	var names []string
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o755); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan string)
	var wg sync.WaitGroup
	for range fetchers {
		wg.Go(func() {
			for name := range work {
				if ctx.Err() == nil {
					if err := s.fetchOne(ctx, path.Join(base, name), sums[name], filepath.Join(dir, name)); err != nil {
						cancel(err)
					}
				}
			}
		})
	}
	for _, name := range names {
		work <- name
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

func (s layoutSource) fetchOne(ctx context.Context, rel, want, file string) error {
	in, err := s.files.open(ctx, rel)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", rel, err)
	}
	defer in.Close()
	h := sha256.New()
	if err := writeCapped(io.TeeReader(in, h), file, maxMember); err != nil {
		return fmt.Errorf("fetching %s: %w", rel, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return fmt.Errorf("fetching %s: it is not what the manifest says", rel)
	}
	return nil
}

// writeCapped writes a new file; more than max bytes are an error.
func writeCapped(in io.Reader, file string, max int64) error {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, max+1))
	if err == nil && n > max {
		err = errTooLarge
	}
	return errors.Join(err, out.Close())
}

// mirrorFiles is a layout behind a web server.
type mirrorFiles struct {
	client *httpClient
	base   string
}

func (m mirrorFiles) open(ctx context.Context, rel string) (io.ReadCloser, error) {
	return m.client.get(ctx, m.base+"/"+escapePath(rel))
}

func (m mirrorFiles) names(ctx context.Context, rel string) ([]string, error) {
	in, err := m.open(ctx, rel+"/VERSIONS")
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var names []string
	lines := bufio.NewScanner(io.LimitReader(in, maxIndex))
	for lines.Scan() {
		names = append(names, strings.TrimSpace(lines.Text()))
	}
	return names, lines.Err()
}
