// Package dashboards is the single place where Grafana panels and Prometheus alerts live.
// They are Go values, written out as JSON and YAML by `go test ./dashboards -update`, and
// held to the committed files and to the metrics that exist by the same test.
package dashboards

import "strings"

// Board is one dashboard.
type Board struct {
	UID    string
	Title  string
	File   string // beside this one
	Vars   []Variable
	Panels []Panel
}

// Variable is a choice at the top of a board. Expressions have it as $name, in a =~.
type Variable struct {
	Name  string
	Label string
	Query string // label_values(…)
}

// Panel is one picture. Its place follows from its order and width.
type Panel struct {
	Title   string
	Help    string // what a person on call should read from it
	Kind    string // "stat", "timeseries", "heatmap"
	Unit    string // Grafana's unit id
	Width   int    // of 24
	Height  int
	Targets []Target
}

// Target is one query.
type Target struct {
	Expr   string
	Legend string
}

// Boards are all dashboards.
var Boards = []Board{fleet, queueBoard, nodeBoard, apiBoard}

var (
	kindVar = Variable{"kind", "Kind", "label_values(wptk_ops_total, kind)"}
	nodeVar = Variable{"node", "Node", "label_values(wptk_node_slots, instance)"}
)

// Plain is an expression with all variables at "All", as a server without Grafana takes it.
func Plain(expr string) string {
	return strings.NewReplacer("$node", ".*", "$kind", ".*").Replace(expr)
}

func stat(title, unit, help, expr string) Panel {
	return Panel{Title: title, Kind: "stat", Unit: unit, Width: 4, Height: 4, Help: help, Targets: []Target{{expr, ""}}}
}

func graph(width int, title, unit, help string, targets ...Target) Panel {
	return Panel{Title: title, Kind: "timeseries", Unit: unit, Width: width, Height: 8, Help: help, Targets: targets}
}
