package wp

import (
	"context"
	"crypto/sha1" // wordpress.org publishes sha1 and md5 only
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// wordPressOrg is the official source. Its addresses are those that WordPress
// itself and WP-CLI use.
type wordPressOrg struct {
	client    *httpClient
	api       string // https://api.wordpress.org
	downloads string // https://downloads.wordpress.org
}

func newWordPressOrg(c *httpClient) wordPressOrg {
	return wordPressOrg{client: c, api: "https://api.wordpress.org", downloads: "https://downloads.wordpress.org"}
}

func (w wordPressOrg) versions(ctx context.Context, kind, slug string) ([]Version, error) {
	var texts []string
	if kind == kindCore {
		// Every version there was, as {"6.5.2": "insecure", …}.
		var states map[string]string
		if err := w.json(ctx, w.api+"/core/stable-check/1.0/", &states); err != nil {
			return nil, fmt.Errorf("listing versions of WordPress: %w", err)
		}
		for text := range states {
			texts = append(texts, text)
		}
	} else {
		known, err := w.extension(ctx, kind, slug)
		if err != nil {
			return nil, err
		}
		texts = known
	}
	var list []Version
	for _, text := range texts {
		if v, err := ParseVersion(text); err == nil {
			list = append(list, v)
		}
	}
	return list, nil
}

// extension asks for one plugin or theme. Its "versions" are an object, or an
// empty array when there are none.
func (w wordPressOrg) extension(ctx context.Context, kind, slug string) ([]string, error) {
	one := strings.TrimSuffix(kind, "s")
	query := url.Values{"action": {one + "_information"}, "slug": {slug}, "fields[versions]": {"1"}}
	var answer struct {
		Version  string
		Versions json.RawMessage
	}
	err := w.json(ctx, w.api+"/"+kind+"/info/1.2/?"+query.Encode(), &answer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for %s %s: %w", one, slug, err)
	}
	var all map[string]string
	texts := []string{answer.Version}
	if json.Unmarshal(answer.Versions, &all) == nil {
		for text := range all {
			if text != answer.Version {
				texts = append(texts, text)
			}
		}
	}
	return texts, nil
}

func (w wordPressOrg) json(ctx context.Context, address string, into any) error {
	data, err := w.client.getAll(ctx, address)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading answer: %w", err)
	}
	return nil
}

func (w wordPressOrg) core(ctx context.Context, v Version, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	address := w.downloads + "/release/wordpress-" + v.String() + ".zip"
	sum, err := w.client.getAll(ctx, address+".sha1")
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, "wordpress.zip")
	got, err := w.download(ctx, address, archive)
	if err != nil {
		return err
	}
	if got != strings.ToLower(strings.TrimSpace(string(sum))) {
		return fmt.Errorf("getting %s: it does not have its published sha1", address)
	}
	if err := errors.Join(unzip(archive, dir), os.Remove(archive)); err != nil {
		return err
	}
	return writeManifest(filepath.Join(dir, "wordpress"), filepath.Join(dir, "SHA256SUMS"))
}

func (w wordPressOrg) language(ctx context.Context, v Version, locale, dir string) ([]string, error) {
	archive := dir + ".zip"
	if _, err := w.download(ctx, w.downloads+"/translation/core/"+v.String()+"/"+url.PathEscape(locale)+".zip", archive); err != nil {
		return nil, err
	}
	return nil, errors.Join(unzip(archive, dir), os.Remove(archive))
}

func (w wordPressOrg) zip(ctx context.Context, kind, slug string, v Version, file string) error {
	one := strings.TrimSuffix(kind, "s")
	if _, err := w.download(ctx, w.downloads+"/"+one+"/"+url.PathEscape(slug+"."+v.String())+".zip", file); err != nil {
		return err
	}
	return checkZip(file)
}

// download writes a document to a file and returns its sha1 in hex.
func (w wordPressOrg) download(ctx context.Context, address, file string) (string, error) {
	body, err := w.client.get(ctx, address)
	if err != nil {
		return "", err
	}
	defer body.Close()
	h := sha1.New()
	if err := writeCapped(io.TeeReader(body, h), file, maxArchive); err != nil {
		return "", fmt.Errorf("getting %s: %w", address, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeManifest records a tree that was checked by other means.
func writeManifest(tree, file string) error {
	var lines []string
	err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(tree, p)
		if err != nil {
			return err
		}
		sum, err := sha256File(p)
		lines = append(lines, sum+"  "+rel+"\n")
		return err
	})
	if err != nil {
		return fmt.Errorf("writing manifest: %w", err)
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[sha256.Size*2:], b[sha256.Size*2:]) })
	return os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644)
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
