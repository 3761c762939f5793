package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// vitals is what a process says of itself.
type vitals struct{ memory, peak, cpu, goroutines, files float64 }

func (s *streamStage) probe(ctx context.Context) (vitals, error) {
	p, err := probeOf(ctx, s.metrics)
	if err != nil {
		return p, err
	}
	p.peak, err = peakMemory(s.api.process.PID())
	return p, err
}

// firstProbe waits for a process that has just begun to tell its metrics.
func firstProbe(ctx context.Context, look probing) (vitals, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		v, err := look(ctx)
		if err == nil || pause(ctx, 20*time.Millisecond) != nil {
			return v, err
		}
	}
}

// probeOf reads the metrics of a process.
func probeOf(ctx context.Context, addr string) (p vitals, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return p, fmt.Errorf("asking for metrics: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, fmt.Errorf("asking for metrics: %w", err)
	}
	defer res.Body.Close()
	into := map[string]*float64{"process_resident_memory_bytes": &p.memory, "process_cpu_seconds_total": &p.cpu, "go_goroutines": &p.goroutines, "process_open_fds": &p.files}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v := into[name]; v != nil {
			if *v, err = strconv.ParseFloat(value, 64); err != nil {
				return p, fmt.Errorf("reading metrics: %w", err)
			}
		}
	}
	return p, lines.Err()
}

// peakMemory is the most that a process has had in memory, in bytes.
func peakMemory(pid int) (float64, error) {
	return procNumber("/proc/"+strconv.Itoa(pid)+"/status", "VmHWM:", 1, 1024)
}

// kernelMemory is what the buffers of all sockets of TCP take, in bytes.
func kernelMemory() (float64, error) {
	return procNumber("/proc/net/sockstat", "TCP:", 10, float64(os.Getpagesize()))
}

func procNumber(path, line string, word int, unit float64) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	for l := range strings.Lines(string(text)) {
		words := strings.Fields(l)
		if len(words) <= word || words[0] != line {
			continue
		}
		n, err := strconv.ParseFloat(words[word], 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", path, err)
		}
		return n * unit, nil
	}
	return 0, fmt.Errorf("reading %s: it has no %s", path, line)
}

// clients counts the subscribed connections to Redis and all of them.
func (s *streamStage) clients(ctx context.Context) (subscribed, all int, err error) {
	rdb := s.bench.store.Client()
	list, err := rdb.ClientList(ctx).Result()
	if err != nil {
		return 0, 0, fmt.Errorf("listing clients of Redis: %w", err)
	}
	for client := range strings.Lines(list) {
		all++
		if !strings.Contains(client, " sub=0 ") || !strings.Contains(client, " psub=0 ") {
			subscribed++
		}
	}
	return subscribed, all, nil
}

// raiseFiles lets this process and its children open as many files.
func raiseFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading how many files may be open: %w", err)
	}
	if limit.Cur >= n {
		return nil
	}
	raised := syscall.Rlimit{Cur: n, Max: max(limit.Max, n)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		return fmt.Errorf("letting %d files be open (ulimit -n %d is allowed): %w", n, limit.Max, err)
	}
	return nil
}
