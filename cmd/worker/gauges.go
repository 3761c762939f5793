package main

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// load is what the node does at this moment.
type load interface {
	Running() int64
	Draining() bool
}

// gauges are the node's own figures, read when they are scraped.
type gauges struct {
	node   load
	slots  map[string]int
	places map[string]string // name -> a directory of the host's own
	log    *slog.Logger
}

func newGauges(cfg *Config, node load, log *slog.Logger) *gauges {
	g := &gauges{node: node, log: log, slots: map[string]int{"fast": cfg.SlotsFast, "bulk": cfg.SlotsBulk},
		places: map[string]string{"state": cfg.StateDir}}
	for i, pattern := range cfg.Sites {
		name := "sites"
		if i > 0 {
			name += strconv.Itoa(i + 1)
		}
		// In front of the first * is the host's; behind it tenants may have put links.
		base, _, _ := strings.Cut(pattern, "*")
		g.places[name] = filepath.Clean(base)
	}
	if filepath.IsAbs(cfg.Backups) {
		g.places["backups"] = cfg.Backups
	}
	return g
}

func nodeGauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("wptk_"+name, help, labels, nil)
}

var (
	slotsDesc      = nodeGauge("node_slots", "Operations that the node runs at one time, by lane.", "lane")
	runningDesc    = nodeGauge("node_running", "Operations that the node runs now.")
	drainingDesc   = nodeGauge("node_draining", "1 while the node takes no new operations.")
	diskFreeDesc   = nodeGauge("disk_free_bytes", "Room on the disk of a place, without what is kept for root.", "place")
	diskSizeDesc   = nodeGauge("disk_size_bytes", "Size of the disk of a place.", "place")
	inodesFreeDesc = nodeGauge("disk_inodes_free", "Files that can still be made on the disk of a place.", "place")
	inodesDesc     = nodeGauge("disk_inodes", "Files that the disk of a place can hold; 0 where it has no such limit.", "place")
)

// Describe is part of prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{slotsDesc, runningDesc, drainingDesc, diskFreeDesc, diskSizeDesc, inodesFreeDesc, inodesDesc} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector. A place that cannot be read has no figures.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for lane, n := range g.slots {
		tell(slotsDesc, float64(n), lane)
	}
	tell(runningDesc, float64(g.node.Running()))
	draining := 0.0
	if g.node.Draining() {
		draining = 1
	}
	tell(drainingDesc, draining)
	for name, dir := range g.places {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			g.log.Error("reading free room of a disk", "path", dir, "err", err)
			continue
		}
		tell(diskFreeDesc, float64(fs.Bavail)*float64(fs.Bsize), name)
		tell(diskSizeDesc, float64(fs.Blocks)*float64(fs.Bsize), name)
		tell(inodesFreeDesc, float64(fs.Ffree), name)
		tell(inodesDesc, float64(fs.Files), name)
	}
}
