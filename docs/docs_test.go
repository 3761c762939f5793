// Package docs_test holds the documents to the tree that they describe.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// documents are all Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "deploy/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			names = append(names, strings.TrimPrefix(path, root+"/"))
		}
	}
	return names
}

func TestFilesNamedInTheReadmeExist(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile("`((?:cmd|tasks|queue|wp|deploy|dashboards|docs)/[a-zA-Z0-9_./-]+)`")
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "docs/api.md", "docs/architecture.md", "docs/operations.md", "docs/security.md"} {
		matches := named.FindAllStringSubmatch(read(t, document), -1)
		if len(matches) == 0 {
			t.Errorf("%s names no file at all", document)
		}
		for _, m := range matches {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil && !strings.Contains(m[1], "plugin_update") {
				t.Errorf("%s names %s: %v", document, m[1], err)
			}
		}
	}
}

func TestRelativeLinksResolve(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, document := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, document), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(document), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", document, m[1], err)
			}
		}
	}
}

func TestMakeTargetsNamedInDocumentsExist(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	target := regexp.MustCompile("(?m)(?:`|^)make ([a-z][a-z0-9-]*)")
	for _, document := range documents(t) {
		for _, m := range target.FindAllStringSubmatch(read(t, document), -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", document, m[1])
			}
		}
	}
}
