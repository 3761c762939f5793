package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "rewrite golden files")

type idle struct{}

func (idle) Running() int64 { return 3 }
func (idle) Draining() bool { return true }

// Dashboards and alert rules are held to this list, as to the one of the queue.
func TestGaugesOfTheNodeAreThoseOfTheGoldenList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newGauges(&Config{StateDir: dir, Sites: []string{dir + "/*/domains/*", dir + "/*/more/*"}, SlotsFast: 4, SlotsBulk: 1, Backups: dir},
		idle{}, slog.New(slog.DiscardHandler)))
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
		fmt.Fprintf(&got, "%s{%s} gauge\n", family.GetName(), strings.Join(labels, ","))
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
	reg.MustRegister(newGauges(&Config{StateDir: t.TempDir() + "/gone"}, idle{}, slog.New(slog.DiscardHandler)))
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
