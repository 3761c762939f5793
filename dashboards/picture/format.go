package picture

import (
	"math"
	"strconv"
	"time"
)

// Format writes a value in one of Grafana's units, in a few letters.
func Format(unit string, v float64) string {
	switch {
	case math.IsNaN(v):
		return "no data"
	case math.IsInf(v, 0):
		return "∞"
	}
	switch unit {
	case "s":
		return seconds(v)
	case "percentunit":
		return digits(v*100) + " %"
	case "bytes":
		return scaled(v, 1024, "B", "KiB", "MiB", "GiB", "TiB")
	case "bool_yes_no":
		if v != 0 {
			return "Yes"
		}
		return "No"
	case "opm":
		return scaled(v, 1000, "/min", "k/min", "M/min")
	case "reqps", "ops":
		return scaled(v, 1000, "/s", "k/s", "M/s")
	}
	return scaled(v, 1000, "", "k", "M", "G")
}

func seconds(v float64) string {
	switch abs := math.Abs(v); {
	case abs == 0:
		return "0 s"
	case abs < 1:
		return digits(v*1000) + " ms"
	case abs < 120:
		return digits(v) + " s"
	case abs < 2*time.Hour.Seconds():
		return digits(v/60) + " min"
	case abs < 48*time.Hour.Seconds():
		return digits(v/3600) + " h"
	}
	return digits(v/86400) + " d"
}

func scaled(v, by float64, units ...string) string {
	i := 0
	for ; i < len(units)-1 && math.Abs(v) >= by; i++ {
		v /= by
	}
	if units[i] == "" || units[i][0] == '/' || len(units[i]) == 1 && units[i] != "B" || units[i][0] == 'k' {
		return digits(v) + units[i]
	}
	return digits(v) + " " + units[i]
}

// digits keeps three that count, and no zeros behind them.
func digits(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		rounded = v
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
