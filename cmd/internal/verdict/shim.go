package verdict

import (
	"time"

	"golang.org/x/sys/unix"
)

// ShimConfig is the file shim.json beside the program wptk-shim; each of its runs reads it.
type ShimConfig struct {
	// Log is the file that Begin and End facts are appended to, one JSON object a line.
	Log string `json:"log"`
	// Sites is a directory that everybody may write to: a lock for each domain.
	Sites string `json:"sites"`
	// Millis is how long a command takes, by its name ("core install").
	Millis map[string]int `json:"millis"`
	// Faults is what is wrong with a site, by domain.
	Faults map[string]ShimFault `json:"faults"`
}

// ShimFault is a way to misbehave.
type ShimFault string

// The ways in which "core install" misbehaves on a site; BadCheck is of the check behind it.
const (
	Hang     ShimFault = "hang"  // does not end, and does not mind SIGTERM
	Fork     ShimFault = "fork"  // leaves a process in a session of its own, and ends well
	Flood    ShimFault = "flood" // prints without end
	BadCheck ShimFault = "bad-check"
)

// Clock is the machine's monotonic clock in ms, the same for all its processes.
func Clock() float64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot fail on Linux; see clock_gettime(2)
	}
	return float64(ts.Nano()) / float64(time.Millisecond)
}
