package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/gorilla/mux"
)

//go:embed console
var consoleFiles embed.FS

// consolePolicy lets the page load its own files, talk to its own server, and nothing
// else. With Trusted Types a browser refuses to make elements out of text at all, so what
// a tenant calls a site cannot become one.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var consoleTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// consoleFile is a file of the page, ready to be sent.
type consoleFile struct {
	kind, tag     string
	plain, packed []byte
}

// serveConsole routes the page's files: the page itself at /console, all others below it.
func serveConsole(router *mux.Router) {
	entries, err := consoleFiles.ReadDir("console")
	if err != nil {
		panic(fmt.Errorf("reading the console: %w", err)) // embedded: a mistake of ours
	}
	for _, entry := range entries {
		at := consolePath + "/" + entry.Name()
		if entry.Name() == "index.html" {
			at = consolePath
		}
		router.Path(at).Methods(get).Handler(newConsoleFile(entry.Name()))
	}
}

func newConsoleFile(name string) *consoleFile {
	f := &consoleFile{kind: consoleTypes[path.Ext(name)]}
	var packed bytes.Buffer
	pack, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		if f.plain, err = consoleFiles.ReadFile("console/" + name); err == nil {
			_, err = pack.Write(f.plain)
		}
	}
	if err != nil || f.kind == "" {
		panic(fmt.Errorf("packing %s of the console (type %q): %w", name, f.kind, err)) // embedded: a mistake of ours
	}
	pack.Close() //nolint:errcheck // a buffer takes everything
	f.packed = packed.Bytes()
	sum := sha256.Sum256(f.plain)
	f.tag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return f
}

// ServeHTTP sends the file, or says that the browser has it. Browsers ask every time, so
// that page and API are of one version.
func (f *consoleFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	w.Write(body) //nolint:errcheck // the client went away
}
