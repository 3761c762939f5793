package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"go/build"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// part is a module in a program, or Go's own library.
type part struct {
	module.Version
	dir     string
	licence string // SPDX, all that apply, once it was judged
	texts   []text
}

type text struct {
	name string
	body []byte
}

// modulesOf lists what the programs were linked from, without the toolkit itself.
func modulesOf(programs []string) ([]part, error) {
	found := map[module.Version]string{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, fmt.Errorf("reading what %s is made of: %w", program, err)
		}
		found[module.Version{Path: "std", Version: info.GoVersion}] = runtimeDir()
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			version := module.Version{Path: dep.Path, Version: dep.Version}
			if found[version], err = cached(version); err != nil {
				return nil, err
			}
		}
	}
	var parts []part
	for _, version := range slices.SortedFunc(maps.Keys(found), func(a, b module.Version) int { return strings.Compare(a.String(), b.String()) }) {
		parts = append(parts, part{Version: version, dir: found[version]})
	}
	return parts, nil
}

// runtimeDir is where the Go is that builds: GOROOT, which a program built with -trimpath
// does not know.
func runtimeDir() string {
	if dir := os.Getenv("GOROOT"); dir != "" {
		return dir
	}
	return runtime.GOROOT() //nolint:staticcheck // `go run` and `make` set the variable; this is for neither
}

// cached is where the module cache has a module.
func cached(v module.Version) (string, error) {
	path, err := module.EscapePath(v.Path)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", v, err)
	}
	version, err := module.EscapeVersion(v.Version)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", v, err)
	}
	cache := os.Getenv("GOMODCACHE")
	if cache == "" {
		cache = filepath.Join(filepath.SplitList(build.Default.GOPATH)[0], "pkg", "mod")
	}
	return filepath.Join(cache, filepath.FromSlash(path)+"@"+version), nil
}

// A file of these names at the top of a module is about its terms. NOTICE is passed on
// (section 4d of the Apache licence) and is no licence.
var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([._-].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents|copyright)([._-].*)?$`)
)

// read loads a part's texts; licences come first.
func (p *part) read() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("looking for a licence: %w", err)
	}
	var notices []text
	for _, e := range entries {
		licence, notice := licenceFile.MatchString(e.Name()), noticeFile.MatchString(e.Name())
		if e.IsDir() || !licence && !notice || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(p.dir, e.Name()))
		if err != nil {
			return fmt.Errorf("reading a licence: %w", err)
		}
		if licence {
			p.texts = append(p.texts, text{e.Name(), body})
		} else {
			notices = append(notices, text{e.Name(), body})
		}
	}
	p.texts = append(p.texts, notices...)
	return nil
}

// allTexts is what packages bring along.
func allTexts(parts []part) []byte {
	var b bytes.Buffer
	b.WriteString("The programs of the toolkit contain the following, each under the terms below it.\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\n%s\n%s %s (%s)\n", strings.Repeat("=", 96), p.Path, p.Version.Version, p.licence)
		for _, t := range p.texts {
			fmt.Fprintf(&b, "\n--- %s\n\n%s\n", t.name, bytes.TrimSpace(t.body))
		}
	}
	return b.Bytes()
}
