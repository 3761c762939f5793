package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A licence as modules have it: a title, whose it is, and the words in a layout of its own.
func mit(t *testing.T) string {
	t.Helper()
	return "The MIT License (MIT)\n\nCopyright (c) 2026 Somebody. All rights reserved.\n\n" + strings.ToUpper(mitWords) + ".\n"
}

func TestLicenceIsKnownWhateverItsLayoutAndWhoeverWroteIt(t *testing.T) {
	t.Parallel()
	bsd := strings.NewReplacer("NUM", "*", "NAME", "the Friends of Go", "HOLDER", "owner")
	for want, text := range map[string]string{
		"MIT":          mit(t),
		"BSD-2-Clause": "Copyright 2026 Somebody\n" + bsd.Replace(bsdConditions+bsdDisclaimer),
		"BSD-3-Clause": bsd.Replace(bsdConditions + bsdNames + bsdDisclaimer),
		"ISC":          "ISC License\n\n" + iscWords,
	} {
		if got, err := recognise([]byte(text)); got != want || err != nil {
			t.Errorf("%s is taken for %q, %v", want, got, err)
		}
	}
}

func TestTermsThatWereAddedOrLeftOutMakeAnotherLicence(t *testing.T) {
	t.Parallel()
	whole := mit(t)
	for name, text := range map[string]string{
		"nothing":           "",
		"only a name":       "MIT License",
		"added at the end":  whole + "The Software may not be sold.",
		"added in front":    "Not for commercial use.\n" + whole,
		"left out":          strings.Replace(whole, "INCLUDING WITHOUT LIMITATION", "", 1),
		"changed":           strings.Replace(whole, "FREE OF CHARGE", "FOR A FEE", 1),
		"another's":         "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007",
		"twice, other ends": whole + whole,
	} {
		if got, err := recognise([]byte(text)); err == nil {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
}

func TestModuleWithoutALicenceIsRefusedWhateverElseItHas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, body string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("NOTICE", "This product includes software.")
	put("license.go", "package x")
	p := part{dir: dir}
	if err := p.judge(); err == nil || p.licence != "unknown" {
		t.Errorf("without a licence: %q, %v", p.licence, err)
	}
	put("LICENSE", mit(t))
	p = part{dir: dir}
	if err := p.judge(); err != nil || p.licence != "MIT" || len(p.texts) != 2 {
		t.Errorf("with one: %q with %d texts, %v", p.licence, len(p.texts), err)
	}
	put("LICENSE.commercial", "Pay first.")
	p = part{dir: dir}
	if err := p.judge(); err == nil {
		t.Errorf("with terms beside it that nobody knows: %q", p.licence)
	}
}
