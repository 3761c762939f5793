package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp/proc"
)

// What a setting of containment asks for.
const (
	off      = "off"
	required = "required" // rather no worker than one that contains nothing
)

// checkContainment looks at what is said about the limits of commands.
func (c *Config) checkContainment(wrong func(format string, args ...any)) {
	// PHP does not start with less; WP-CLI is given 512 MiB.
	if c.RunMemory != 0 && c.RunMemory < 64 || c.RunProcesses != 0 && c.RunProcesses < 16 || c.RunCPUs != 0 && c.RunCPUs < 0.05 {
		wrong("--run-memory, --run-processes, --run-cpus: 0, or at least 64, 16 and 0.05")
	}
	for _, path := range c.SandboxRead {
		if !filepath.IsAbs(path) {
			wrong("--sandbox-read: %q is not an absolute path", path)
		}
	}
}

// contain sets what commands of tenants are contained by from now on.
func contain(cfg *Config, metrics *queue.Metrics, log *slog.Logger) error {
	groups, err := openGroups(cfg, metrics, log)
	if err != nil {
		return err
	}
	walls, err := openLandlock(cfg, log)
	if err != nil {
		return err
	}
	proc.Contain(proc.Containment{Groups: groups, Landlock: walls})
	return nil
}

func openGroups(cfg *Config, metrics *queue.Metrics, log *slog.Logger) (*proc.Groups, error) {
	if cfg.Cgroup == off {
		return nil, nil
	}
	groups, err := proc.OpenGroups(proc.GroupsConfig{
		Name: cfg.Node, Undelegated: cfg.Cgroup == required, Log: log,
		Limits: proc.GroupLimits{Memory: int64(cfg.RunMemory) << 20, Processes: cfg.RunProcesses, CPUs: cfg.RunCPUs},
		Observe: func(limit string) {
			metrics.RunLimited(limit)
			log.Warn("a site's command has met the limit of its control group", "limit", limit)
		},
	})
	switch {
	case err == nil:
		log.Info("every command has a control group of its own", "controllers", groups.Controllers())
	case cfg.Cgroup == required:
		return nil, fmt.Errorf("--cgroup required: %w", err)
	default:
		log.Info("commands are limited by process and by user alone (--cgroup)", "err", err)
	}
	return groups, nil
}

func openLandlock(cfg *Config, log *slog.Logger) (*proc.Landlock, error) {
	if cfg.Sandbox == off {
		return nil, nil
	}
	// What a tenant may not read of the node's own state, modes keep from it.
	read := append([]string{cfg.StateDir, cfg.PHP}, cfg.SandboxRead...)
	if cfg.WPCLI != "" {
		read = append(read, cfg.WPCLI)
	}
	if filepath.IsAbs(cfg.Packages) {
		read = append(read, cfg.Packages)
	}
	walls, err := proc.OpenLandlock(read...)
	switch {
	case err == nil:
		log.Info("commands reach the system's files and their account's own only", "landlock", walls.ABI())
	case cfg.Sandbox == required:
		return nil, fmt.Errorf("--sandbox required: %w", err)
	default:
		log.Warn("commands reach all files that their user may (--sandbox)", "err", err)
	}
	return walls, nil
}
