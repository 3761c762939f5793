package devstack

import (
	"fmt"
	"os"
	"path/filepath"
)

// CacheDir is where deploy/setup.sh keeps what it fetches; `deploy/setup.sh --cache` prints
// the same. Root's is not in /root, which tenants' processes could not enter.
func CacheDir() (string, error) {
	if dir := os.Getenv("WPTK_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/wptk", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache: %w", err)
	}
	return filepath.Join(dir, "wptk"), nil
}

// Cache is the package source that deploy/setup.sh has made: WP-CLI, WordPress cores,
// plugins and themes. See deploy/setup/source.sh for what is in it.
func Cache() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "packages")
	if _, err := os.Stat(filepath.Join(dir, "core", "LATEST")); err != nil {
		return "", fmt.Errorf("finding the package source: run deploy/setup.sh (make setup): %w", err)
	}
	return dir, nil
}
