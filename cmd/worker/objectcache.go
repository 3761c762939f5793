package main

import (
	"fmt"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/wp"
)

// openObjectCache is the cache that the node offers to its sites; nil when there is none. It
// need not be up: a site without its cache works.
func openObjectCache(cfg *Config) (*wp.ObjectCache, error) {
	if cfg.ObjectCacheURL == "" {
		return nil, nil
	}
	password, err := boot.ReadSecret("--object-cache-password-file", cfg.ObjectCachePasswordFile)
	if err != nil {
		return nil, err
	}
	cache, err := wp.NewObjectCache(cfg.ObjectCacheURL, password)
	if err != nil {
		return nil, fmt.Errorf("--object-cache-url: %w", err)
	}
	return cache, nil
}
