package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/wispanel/wptk/wp"
)

// knownPrograms is what an earlier start learned about PHP and WP-CLI. Asking them
// takes longer than the rest of a start together, and after a crash operations
// wait for it.
type knownPrograms struct {
	Files string  `json:"files"` // what was asked, see fingerprint
	Info  wp.Info `json:"info"`
}

// programs tells the versions of PHP and WP-CLI, and that they run at all. They are
// asked anew when one of their files is another than at the last start.
func programs(ctx context.Context, cli *wp.CLI, stateDir string, log *slog.Logger) (wp.Info, error) {
	php, phar := cli.Programs()
	files, err := fingerprint(php, phar)
	if err != nil {
		return wp.Info{}, err
	}
	path := filepath.Join(stateDir, "programs.json")
	var known knownPrograms
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &known) == nil && known.Files == files {
		return known.Info, nil
	}
	info, err := cli.Info(ctx)
	if err != nil {
		return wp.Info{}, err
	}
	data, err := json.Marshal(knownPrograms{Files: files, Info: info})
	if err != nil {
		return wp.Info{}, fmt.Errorf("encoding versions of programs: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		log.Warn("remembering versions of programs; the next start asks again", "err", err)
	}
	return info, nil
}

// fingerprint is another one when a file is replaced, upgraded or touched.
func fingerprint(paths ...string) (string, error) {
	print := ""
	for _, path := range paths {
		info, err := os.Stat(path) // follows /usr/bin/php to the version in use
		if err != nil {
			return "", fmt.Errorf("looking at program: %w", err)
		}
		print += fmt.Sprintf("%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	return print, nil
}
