package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rows are the first cells of a section's table in docs/api.md.
func rows(t *testing.T, heading string) []string {
	t.Helper()
	_, section, ok := strings.Cut(read(t, "docs/api.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/api.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var found []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\| .*[^ |] \\|$").FindAllStringSubmatch(section, -1) {
		found = append(found, m[1])
	}
	slices.Sort(found)
	return found
}

// written are the codes in source files.
func written(t *testing.T, pattern string, code *regexp.Regexp) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(read(t, strings.TrimPrefix(file, root+"/")), -1) {
			found = append(found, m[1])
		}
	}
	return found
}

func mustBeTheSame(t *testing.T, where string, documented, used []string) {
	t.Helper()
	slices.Sort(used)
	used = slices.Compact(used)
	if len(used) < 10 {
		t.Fatalf("only %d codes were found: %v", len(used), used)
	}
	for _, code := range used {
		if !slices.Contains(documented, code) {
			t.Errorf("docs/api.md, %q: %s is missing", where, code)
		}
	}
	for i, code := range documented {
		if !slices.Contains(used, code) || i > 0 && documented[i-1] == code {
			t.Errorf("docs/api.md, %q: there is no %s, or it stands there twice", where, code)
		}
	}
}

func TestEveryErrorCodeOfTheAPIIsExplained(t *testing.T) {
	t.Parallel()
	const section = "When something is wrong"
	mustBeTheSame(t, section, rows(t, section), written(t, "cmd/api/problem.go", regexp.MustCompile(`(?m)^\t"([A-Z_]+)":\s+http\.Status`)))
}

func TestEveryCodeThatAnOperationFailsWithIsExplained(t *testing.T) {
	t.Parallel()
	const section = "Why operations fail"
	used := written(t, "tasks/*.go", regexp.MustCompile(`(?m)^\s*Code[A-Z]\w*\s+=\s+"(\w+)"`))
	used = append(used, written(t, "queue/*.go", regexp.MustCompile(`failedOutcome\("(\w+)"`))...)
	mustBeTheSame(t, section, rows(t, section), used)
}
