package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"
)

// cost is what something has taken, in ms: by the clock, and of the processors. The clock
// tells what people wait for; on a machine that others use as well, only the other can be
// compared.
type cost struct{ clock, cpu float64 }

// costFigures are the processors' part of a comparison.
type costFigures struct {
	CPU         float64 `json:"cpu"`          // ms of processor time
	CPUBaseline float64 `json:"cpu_baseline"` // the same
	CPURatio    float64 `json:"cpu_ratio"`    // over 1 is better than the baseline
}

func compareCPU(ours, baseline []cost) costFigures {
	median, base := quantile(cpuOf(ours), .5), quantile(cpuOf(baseline), .5)
	return costFigures{CPU: figure(median), CPUBaseline: figure(base), CPURatio: figure(base / max(median, 1))}
}

func clockOf(all []cost) []float64 { return valuesOf(all, func(c cost) float64 { return c.clock }) }
func cpuOf(all []cost) []float64   { return valuesOf(all, func(c cost) float64 { return c.cpu }) }

func valuesOf[T any](all []T, value func(T) float64) []float64 {
	out := make([]float64, 0, len(all))
	for _, one := range all {
		out = append(out, value(one))
	}
	return out
}

// meter is a clock and a meter of processor time, both running.
type meter struct {
	began time.Time
	cpu   float64
}

func startMeter() (meter, error) {
	cpu, err := cpuUsed()
	return meter{time.Now(), cpu}, err
}

// read is what was taken since the start.
func (m meter) read() (cost, error) {
	clock := milliseconds(time.Since(m.began))
	cpu, err := cpuUsed()
	return cost{clock, cpu - m.cpu}, err
}

// metered follows an op to its end and adds what each of its steps has taken, as a client
// sees them; the first one, queued, counts from began.
func (x *exam) metered(id string, began meter, steps map[string][]cost) (op operation) {
	if x.err != nil {
		return op
	}
	step, last := "queued", began
	op, err := x.e2e.stack.client.eager().follow(x.ctx, id, func(op operation, _ []byte) error {
		if op.Step == step && !op.Done {
			return nil
		}
		c, err := last.read()
		steps[step] = append(steps[step], c)
		step = op.Step
		if err == nil {
			last, err = startMeter()
		}
		return err
	})
	x.note(err)
	return op
}

// userHZ is the unit of processor time in /proc, the same on every Linux that Go runs on.
const userHZ = 100

// cpuUsed is the processor time, in ms, of this process, of all below it (the database, the
// API, the workers and what they run), and of those that these have waited for.
func cpuUsed() (float64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("reading process table: %w", err)
	}
	parent, ticks := map[int]int{}, map[int]float64{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		b, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // gone
		}
		parent[pid], ticks[pid] = ticksOf(b)
	}
	self, sum := os.Getpid(), 0.0
	for pid := range parent {
		for p := pid; p > 1; p = parent[p] {
			if p == self {
				sum += ticks[pid]
				break
			}
		}
	}
	return math.Round(sum * 1000 / userHZ), nil
}

// ticksOf reads proc_pid_stat(5): who started a process, and its utime, stime, cutime and cstime
// together. The name of the program, in front, may have anything in it.
func ticksOf(stat []byte) (parent int, ticks float64) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1])) // the kernel writes digits
	for _, field := range fields[11:15] {
		n, _ := strconv.ParseFloat(string(field), 64)
		ticks += n
	}
	return parent, ticks
}
