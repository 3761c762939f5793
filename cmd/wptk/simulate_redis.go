package main

import (
	"context"
	"fmt"
	"time"
)

// sizeFigures are a fleet of some size with nothing to do.
type sizeFigures struct {
	Nodes       int     `json:"nodes"`
	CPU         float64 `json:"cpu_percent"`         // of a core, the whole of Redis
	Commands    float64 `json:"commands_per_second"` // as Redis counts them, those inside of scripts included
	Written     float64 `json:"bytes_to_disk_per_second"`
	Connections int     `json:"connections"`
	Memory      int64   `json:"memory_bytes"`
	Data        int64   `json:"data_bytes"` // without the buffers of connections and of the append-only file
	Ping        float64 `json:"ping_ms"`    // median answer to it, just before the scrape: what waiting for a turn takes
	Scrape      float64 `json:"scrape_ms"`
	ScrapeCPU   float64 `json:"scrape_redis_cpu_ms"` // beyond what the fleet takes meanwhile
}

// redisSample is what Redis says of itself at a moment.
type redisSample struct {
	at          time.Time
	cpu         float64 // seconds
	commands    int64
	memory, aof int64
	data        int64
	connections int
}

func (s *simSide) sample(ctx context.Context) (redisSample, error) {
	sample := redisSample{at: time.Now()}
	info, err := s.rdb.InfoMap(ctx, "all").Result()
	if err != nil {
		return sample, fmt.Errorf("reading redis info: %w", err)
	}
	var user, system float64
	var clients, buffer int64
	for _, field := range []struct {
		section, name string
		into          any
	}{
		{"CPU", "used_cpu_user", &user}, {"CPU", "used_cpu_sys", &system}, {"Stats", "total_commands_processed", &sample.commands},
		{"Memory", "used_memory", &sample.memory},
		{"Memory", "mem_clients_normal", &clients}, {"Memory", "mem_aof_buffer", &buffer}, {"Persistence", "aof_current_size", &sample.aof}, {"Clients", "connected_clients", &sample.connections},
	} {
		if _, err := fmt.Sscan(info[field.section][field.name], field.into); err != nil {
			return sample, fmt.Errorf("reading %s of redis info: %w", field.name, err)
		}
	}
	sample.cpu, sample.data = user+system, sample.memory-clients-buffer
	return sample, nil
}

// over is what happened between two samples.
func (a redisSample) over(b redisSample) sizeFigures {
	seconds := b.at.Sub(a.at).Seconds()
	return sizeFigures{
		CPU: figure(100 * (b.cpu - a.cpu) / seconds), Commands: figure(float64(b.commands-a.commands) / seconds),
		Written: figure(max(0, float64(b.aof-a.aof)) / seconds), Connections: b.connections, Memory: b.memory, Data: b.data,
	}
}

// simSettle is how long nodes need to have nothing to do: all loops have begun, and what
// they find at their start is done.
const simSettle = 3 * time.Second

// idle lets the fleet do nothing for a while; the scrape comes after it, as it costs Redis too.
func (s *simSide) idle(ctx context.Context, nodes int, window time.Duration) (sizeFigures, error) {
	if err := pause(ctx, simSettle); err != nil {
		return sizeFigures{}, err
	}
	before, err := s.sample(ctx)
	if err != nil {
		return sizeFigures{}, err
	}
	if err := pause(ctx, window); err != nil {
		return sizeFigures{}, err
	}
	after, err := s.sample(ctx)
	if err != nil {
		return sizeFigures{}, err
	}
	size := before.over(after)
	size.Nodes = nodes
	if err := pause(ctx, time.Until(s.scraped.Add(snapshotCold))); err != nil {
		return sizeFigures{}, err
	}
	if size.Ping, err = s.ping(ctx); err != nil {
		return sizeFigures{}, err
	}
	if before, err = s.sample(ctx); err != nil {
		return sizeFigures{}, err
	}
	if size.Scrape, _, err = s.scrape(ctx); err != nil {
		return sizeFigures{}, err
	}
	if after, err = s.sample(ctx); err != nil {
		return sizeFigures{}, err
	}
	meanwhile := size.CPU / 100 * after.at.Sub(before.at).Seconds()
	size.Scrape, size.ScrapeCPU = figure(size.Scrape), figure(max(0, 1000*(after.cpu-before.cpu-meanwhile)))
	return size, nil
}

const pings = 51

// ping is the median time in ms that Redis takes for a command that does nothing.
func (s *simSide) ping(ctx context.Context) (float64, error) {
	var took []float64
	for range pings {
		began := time.Now()
		if err := s.rdb.Ping(ctx).Err(); err != nil {
			return 0, fmt.Errorf("pinging redis: %w", err)
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	return figure(quantile(took, .5)), nil
}
