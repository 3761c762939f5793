package wp

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// fill makes place (a file or a directory) by way of a stage beside it: complete
// and on the disk before it has its name, gone if make fails.
func fill(place string, make func(stage string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return fmt.Errorf("making package store: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(place), ".stage-")
	if err != nil {
		return fmt.Errorf("making package store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	stage := filepath.Join(dir, filepath.Base(place))
	if err := make(stage); err != nil {
		return err
	}
	if err := settle(stage); err != nil {
		return fmt.Errorf("storing package: %w", err)
	}
	if err := os.RemoveAll(place); err != nil { // a leftover that was not complete
		return fmt.Errorf("storing package: %w", err)
	}
	if err := os.Rename(stage, place); err != nil {
		return fmt.Errorf("storing package: %w", err)
	}
	return nil
}

// settle makes everything readable for tenants and syncs it.
func settle(stage string) error {
	err := filepath.WalkDir(stage, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(p, 0o755)
		}
		return os.Chmod(p, 0o644)
	})
	if err != nil {
		return err
	}
	f, err := os.Open(stage)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// fingerprint tells whether something that was checked has been touched since.
type fingerprint struct {
	size          int64
	changed, tree time.Time
}

func fingerprintOf(file, tree string) (fingerprint, error) {
	f, err := os.Lstat(file)
	if err != nil {
		return fingerprint{}, err
	}
	t, err := os.Lstat(tree)
	if err != nil {
		return fingerprint{}, err
	}
	return fingerprint{size: f.Size(), changed: f.ModTime(), tree: t.ModTime()}, nil
}

// check compares a tree with its manifest, once in the life of the process and
// again when either was touched. As nobody else may write there (safeOwner), what
// was checked stays true.
func (p *Packages) check(tree, manifest string) error {
	now, err := fingerprintOf(manifest, tree)
	if err != nil {
		return fmt.Errorf("checking package: %w", err)
	}
	p.mu.Lock()
	seen, ok := p.checked[tree]
	p.mu.Unlock()
	if ok && seen == now {
		return nil
	}
	data, err := os.ReadFile(manifest)
	if err != nil {
		return fmt.Errorf("checking package: %w", err)
	}
	sums, err := parseManifest(data)
	if err != nil {
		return fmt.Errorf("checking package %s: %w", tree, err)
	}
	if err := verifyTree(tree, sums); err != nil {
		return fmt.Errorf("checking package %s: %w", tree, err)
	}
	p.remember(tree, now)
	return nil
}

func (p *Packages) remember(key string, f fingerprint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked[key] = f
}

// checkArchive tests an archive once.
func (p *Packages) checkArchive(file string) error {
	now, err := fingerprintOf(file, file)
	if err != nil {
		return fmt.Errorf("checking archive: %w", err)
	}
	p.mu.Lock()
	seen, ok := p.checked[file]
	p.mu.Unlock()
	if ok && seen == now {
		return nil
	}
	if err := checkZip(file); err != nil {
		return fmt.Errorf("checking archive %s: %w", filepath.Base(file), err)
	}
	p.remember(file, now)
	return nil
}

const maxManifestEntries = 100_000

// parseManifest reads the output of sha256sum: path to hash.
func parseManifest(data []byte) (map[string]string, error) {
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		sum, path, ok := strings.Cut(lines.Text(), " ")
		path = strings.TrimPrefix(strings.TrimPrefix(path, " "), "*")
		if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size || !fs.ValidPath(path) || path == "." {
			return nil, fmt.Errorf("manifest line %d is not of the form of sha256sum", len(sums)+1)
		}
		if sums[path] = strings.ToLower(sum); len(sums) > maxManifestEntries {
			return nil, errors.New("manifest lists too many files")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	if len(sums) == 0 {
		return nil, errors.New("manifest is empty")
	}
	return sums, nil
}

// verifyTree demands exactly the files of the manifest, each as listed, readable
// for everybody and writable for nobody else.
func verifyTree(tree string, sums map[string]string) error {
	var files []string
	err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, p)
		if err != nil {
			return err
		}
		if err := safeEntry(p, d); err != nil || d.IsDir() {
			return err
		}
		if sums[rel] == "" {
			return fmt.Errorf("%s is not in the manifest", rel)
		}
		files = append(files, rel)
		return nil
	})
	if err != nil {
		return err
	}
	if len(files) != len(sums) {
		return fmt.Errorf("%d files of the manifest are missing", len(sums)-len(files))
	}
	return hashAll(tree, files, sums)
}

func hashAll(tree string, files []string, sums map[string]string) error {
	work := make(chan string)
	errs := make([]error, copyWorkers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for rel := range work {
				if errs[i] == nil {
					errs[i] = hashOne(filepath.Join(tree, rel), sums[rel])
				}
			}
		})
	}
	for _, rel := range files {
		work <- rel
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

func hashOne(path, want string) error {
	got, err := sha256File(path)
	if err == nil && got != want {
		err = fmt.Errorf("%s is not what the manifest says", path)
	}
	return err
}
