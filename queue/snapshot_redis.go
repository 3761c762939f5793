package queue

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// What Redis says of itself, as far as a promise of ours hangs on it. Over a Cluster,
// amounts are sums over the masters, and a state is that of the worst of them.
var (
	redisSafeDesc     = gauge("redis_append_only_healthy", "1 while every Redis master writes its append-only file without errors; 0 also when one keeps none.")
	redisReplicasDesc = gauge("redis_replicas", "Replicas connected to the Redis master that has the fewest.")
	redisLagDesc      = gauge("redis_replica_lag_bytes", "What the replica that is furthest behind has not got yet; 0 without replicas.")
	redisMemoryDesc   = gauge("redis_memory_used_bytes", "Memory used by Redis.")
	redisLimitDesc    = gauge("redis_memory_limit_bytes", "Memory at which Redis refuses writes (maxmemory); 0 without a limit.")
	redisClientsDesc  = gauge("redis_clients", "Connections to Redis.")
	redisEvictedDesc  = gauge("redis_evicted_keys_total", "Keys that Redis has thrown away for room. Each may have been an accepted operation.")
	redisCommandsDesc = gauge("redis_commands_total", "Commands that Redis has run.")
	redisDelayedDesc  = gauge("redis_delayed_fsyncs_total", "Writes that had to wait for the disk of the append-only file.")
	backupNewestDesc  = gauge("backup_newest_timestamp_seconds", "When the newest backup of the fleet was made; absent while there is none.")
)

var redisDescs = []*prometheus.Desc{redisSafeDesc, redisReplicasDesc, redisLagDesc, redisMemoryDesc, redisLimitDesc,
	redisClientsDesc, redisEvictedDesc, redisCommandsDesc, redisDelayedDesc, backupNewestDesc}

// server reads INFO of every master. A Sentinel client is always connected to one.
func (r *reading) server(ctx context.Context) {
	var mu sync.Mutex
	var all []map[string]string
	err := r.store.eachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		text, err := c.Info(ctx).Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, parseInfo(text))
		return nil
	})
	if err != nil || len(all) == 0 { // some of the masters would make the sums fall
		r.failed, r.err = r.failed+1, err
		return
	}
	safe, replicas, lag := 1.0, number(all[0], "connected_slaves"), 0.0
	for _, info := range all {
		if info["aof_enabled"] != "1" || info["aof_last_write_status"] != "ok" || info["aof_last_bgrewrite_status"] != "ok" {
			safe = 0
		}
		replicas = min(replicas, number(info, "connected_slaves"))
		lag = max(lag, replicaLag(info))
	}
	r.add(redisSafeDesc, safe)
	r.add(redisReplicasDesc, replicas)
	r.add(redisLagDesc, lag)
	r.add(redisMemoryDesc, numbers(all, "used_memory"))
	r.add(redisLimitDesc, numbers(all, "maxmemory"))
	r.add(redisClientsDesc, numbers(all, "connected_clients"))
	r.count(redisEvictedDesc, numbers(all, "evicted_keys"))
	r.count(redisCommandsDesc, numbers(all, "total_commands_processed"))
	r.count(redisDelayedDesc, numbers(all, "aof_delayed_fsync")) // absent, and 0, without an append-only file
}

func (r *reading) count(d *prometheus.Desc, value float64) {
	r.out = append(r.out, prometheus.MustNewConstMetric(d, prometheus.CounterValue, value))
}

// replicaLag is by how many bytes the slowest replica of a master is. INFO has them as
// slave0:ip=10.0.0.7,port=6379,state=online,offset=1234,lag=0.
func replicaLag(info map[string]string) (bytes float64) {
	for i := range int(number(info, "connected_slaves")) {
		replica := map[string]string{}
		for field := range strings.SplitSeq(info["slave"+strconv.Itoa(i)], ",") {
			name, value, _ := strings.Cut(field, "=")
			replica[name] = value
		}
		if _, told := replica["offset"]; told {
			bytes = max(bytes, number(info, "master_repl_offset")-number(replica, "offset"))
		}
	}
	return bytes
}

// number is 0 for what a version of Redis does not tell.
func number(info map[string]string, field string) float64 {
	n, err := strconv.ParseFloat(info[field], 64)
	if err != nil {
		return 0
	}
	return n
}

func numbers(all []map[string]string, field string) (sum float64) {
	for _, info := range all {
		sum += number(info, field)
	}
	return sum
}

// backups reads the end of the list: its ids sort by time.
func (r *reading) backups(ctx context.Context) {
	ids, err := r.store.rdb.ZRevRangeByLex(ctx, r.store.names.allBackups(), &redis.ZRangeBy{Max: "+", Min: "-", Count: 1}).Result()
	if err != nil {
		r.failed, r.err = r.failed+1, err
		return
	}
	records := ask(ctx, r, ids, func(p redis.Pipeliner, id string) *redis.StringCmd { return p.Get(ctx, r.store.names.backup(id)) })
	for _, record := range records {
		b, err := decodeBackup(record.Val())
		if err != nil {
			r.failed, r.err = r.failed+1, err
			continue
		}
		r.add(backupNewestDesc, float64(b.Created.Unix()))
	}
}

// OpFailed counts an op that failed, by the code that its requester reads.
func (m *Metrics) OpFailed(code string) {
	if m != nil {
		m.failures.WithLabelValues(code).Inc()
	}
}

// shownFromStart makes series that alerts watch exist at 0: rate() does not see a series
// come into being at 1.
func (m *Metrics) shownFromStart() {
	m.failures.WithLabelValues(tasks.CodePoison)
	m.ops.WithLabelValues("backup", string(tasks.Failed))
	m.ops.WithLabelValues("backup.verify", string(tasks.Failed))
}
