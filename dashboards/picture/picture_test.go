package picture

import (
	"bytes"
	"image/png"
	"math"
	"testing"

	"github.com/wispanel/wptk/dashboards"
)

func TestBoardsCanBeDrawnWhateverTheQueriesAnswer(t *testing.T) {
	t.Parallel()
	none, odd := math.NaN(), []float64{math.NaN(), 1, -3, 1e12, math.NaN(), 2}
	board := dashboards.Board{Panels: []dashboards.Panel{
		{Kind: "stat", Width: 4, Height: 4}, {Kind: "timeseries", Width: 8, Height: 8}, {Kind: "heatmap", Width: 8, Height: 8},
	}}
	for _, series := range [][]Series{nil, {{Name: "", Values: nil}}, {{"a", []float64{none, none}}}, {{"a", odd}, {"b", odd}}} {
		var out bytes.Buffer
		if err := Board(&out, board, [][]Series{series, series, series}, 60); err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(&out); err != nil {
			t.Error(err)
		}
	}
}

func TestValuesAreWrittenInTheirUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit string
		v    float64
		want string
	}{
		{"s", 0, "0 s"}, {"s", 0.0123, "12.3 ms"}, {"s", 95000, "26.4 h"}, {"s", -90, "-90 s"}, {"s", 2592000, "30 d"},
		{"percentunit", 0.1234, "12.3 %"}, {"bytes", 1536, "1.5 KiB"}, {"bytes", 5, "5 B"}, {"bool_yes_no", 1, "Yes"},
		{"opm", 1500, "1.5k/min"}, {"reqps", 3, "3/s"}, {"", 1234567, "1.23M"}, {"", math.NaN(), "no data"}, {"", math.Inf(1), "∞"},
	} {
		if got := Format(c.unit, c.v); got != c.want {
			t.Errorf("%v in %q is %q, not %q", c.v, c.unit, got, c.want)
		}
	}
}
