package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp"
)

// load is what the node does at this moment.
type load interface {
	Running() int64
	Draining() bool
}

// database is the node's MariaDB.
type database interface {
	Status(ctx context.Context) (wp.DatabaseStatus, error)
}

// databaseWithin is what the server gets to say how it is; a scrape waits no longer.
const databaseWithin = 2 * time.Second

// gauges are the node's own figures, read when they are scraped.
type gauges struct {
	node   load
	db     database
	about  queue.NodeConfig
	slots  map[string]int
	places map[string]string // name -> a directory of the host's own
	log    *slog.Logger
}

func newGauges(cfg *Config, node load, db database, about queue.NodeConfig, log *slog.Logger) *gauges {
	g := &gauges{node: node, db: db, about: about, log: log, slots: map[string]int{"fast": cfg.SlotsFast, "bulk": cfg.SlotsBulk},
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
	infoDesc       = nodeGauge("node_info", "1, with what the node runs.", "version", "php", "wp_cli")
	dbUpDesc       = nodeGauge("mariadb_up", "1 while the node's database server answers.")
	dbTookDesc     = nodeGauge("mariadb_answer_seconds", "Time in which it answers a query that reads nothing.")
	dbOpenDesc     = nodeGauge("mariadb_connections", "Connections to it, those of sites included.")
	dbLimitDesc    = nodeGauge("mariadb_connections_limit", "Connections that it takes.")
	dbRunningDesc  = nodeGauge("mariadb_running", "Connections that it does something for at the moment.")
	dbQueriesDesc  = nodeGauge("mariadb_queries_total", "Queries since its start.")
	dbSlowDesc     = nodeGauge("mariadb_slow_queries_total", "Queries since its start that took longer than its long_query_time.")
	inodesDesc     = nodeGauge("disk_inodes", "Files that the disk of a place can hold; 0 where it has no such limit.", "place")
)

// Describe is part of prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{slotsDesc, runningDesc, drainingDesc, infoDesc, diskFreeDesc, diskSizeDesc, inodesFreeDesc, inodesDesc,
		dbUpDesc, dbTookDesc, dbOpenDesc, dbLimitDesc, dbRunningDesc, dbQueriesDesc, dbSlowDesc} {
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
	tell(infoDesc, 1, g.about.Version, g.about.PHP, g.about.WPCLI)
	g.collectDatabase(ch, tell)
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

// collectDatabase has no figures of a server that is away but that.
func (g *gauges) collectDatabase(ch chan<- prometheus.Metric, tell func(*prometheus.Desc, float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), databaseWithin)
	defer cancel()
	status, err := g.db.Status(ctx)
	if err != nil {
		g.log.Error("asking the database server how it is", "err", err)
		tell(dbUpDesc, 0)
		return
	}
	tell(dbUpDesc, 1)
	tell(dbTookDesc, status.Took.Seconds())
	tell(dbOpenDesc, status.Connections)
	tell(dbLimitDesc, status.Limit)
	tell(dbRunningDesc, status.Running)
	for desc, value := range map[*prometheus.Desc]float64{dbQueriesDesc: status.Queries, dbSlowDesc: status.Slow} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value)
	}
}
