package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp"
)

var update = flag.Bool("update", false, "rewrite golden files")

type idle struct{}

func (idle) Running() int64 { return 3 }
func (idle) Draining() bool { return true }

// dbServer is a database server; with an error it is away.
type dbServer struct{ err error }

func (s dbServer) Status(context.Context) (wp.DatabaseStatus, error) {
	return wp.DatabaseStatus{Took: time.Millisecond, Connections: 3, Limit: 151}, s.err
}

// Dashboards and alert rules are held to this list, as to the one of the queue.
func TestGaugesOfTheNodeAreThoseOfTheGoldenList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newGauges(&Config{StateDir: dir, Sites: []string{dir + "/*/domains/*", dir + "/*/more/*"}, SlotsFast: 4, SlotsBulk: 1, Backups: dir},
		idle{}, dbServer{}, queue.NodeConfig{PHP: "8.2.29"}, slog.New(slog.DiscardHandler)))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	places := map[string]bool{}
	for _, family := range families {
		var labels []string
		for _, pair := range family.Metric[0].Label {
			labels = append(labels, pair.GetName())
		}
		fmt.Fprintf(&got, "%s{%s} %s\n", family.GetName(), strings.Join(labels, ","), strings.ToLower(family.GetType().String()))
		if family.GetName() == "wptk_disk_size_bytes" {
			for _, m := range family.Metric {
				places[m.Label[0].GetValue()] = m.Gauge.GetValue() > 0
			}
		}
	}
	for _, place := range []string{"state", "sites", "sites2", "backups"} {
		if !places[place] {
			t.Errorf("no size of the disk of %s", place)
		}
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != got.String() {
		t.Errorf("metrics are\n%s\nand %s has (%v)\n%s", got.String(), golden, err, want)
	}
}

func TestPlaceThatCannotBeReadHasNoFigures(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newGauges(&Config{StateDir: t.TempDir() + "/gone"}, idle{}, dbServer{}, queue.NodeConfig{}, slog.New(slog.DiscardHandler)))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if strings.Contains(family.GetName(), "disk") {
			t.Errorf("there is a %s", family.GetName())
		}
	}
}

func TestDatabaseServerThatIsAwayIsDownAndHasNoFigures(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newGauges(&Config{StateDir: t.TempDir()}, idle{}, dbServer{errors.New("away")}, queue.NodeConfig{}, slog.New(slog.DiscardHandler)))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); strings.HasPrefix(name, "wptk_mariadb") && (name != "wptk_mariadb_up" || family.Metric[0].Gauge.GetValue() != 0) {
			t.Errorf("there is a %s", name)
		}
	}
}
