package queue

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wispanel/wptk/tasks"
)

// Metrics are the counters and histograms that a process keeps about itself.
// The API and the worker both make one; what only one of them counts stays
// absent in the other. What is read from Redis comes from a Snapshot instead.
//
// No label ever holds a site, a domain, an account, an op or a node: a fleet
// has too many of them, and each value would be kept for ever.
//
// A nil *Metrics counts nothing, so code under test needs none.
type Metrics struct {
	ops          *prometheus.CounterVec
	failures     *prometheus.CounterVec
	opSeconds    *prometheus.HistogramVec
	queueSeconds *prometheus.HistogramVec
	stepSeconds  *prometheus.HistogramVec

	cliRuns    *prometheus.CounterVec
	cliSeconds *prometheus.HistogramVec
	cliKills   *prometheus.CounterVec
	limited    *prometheus.CounterVec
	journal    prometheus.Histogram

	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	answers        sync.Map // answer -> answerSeries, as finding a series by its labels costs more than counting
	limitHits      prometheus.Counter
	repeats        *prometheus.CounterVec
	streams        prometheus.Gauge

	redeliveries  *prometheus.CounterVec
	duplicates    prometheus.Counter
	sweepRequeued prometheus.Counter
	redisErrors   *prometheus.CounterVec
	reconciling   prometheus.Histogram
	restored      *prometheus.CounterVec
	refused       *prometheus.CounterVec
	clockOff      *prometheus.GaugeVec
	clockHeld     prometheus.Counter

	rollouts  *prometheus.CounterVec
	schedules *prometheus.CounterVec
	webhooks  *prometheus.CounterVec
}

// The classic buckets, in seconds. Scrapers that read native histograms get
// finer ones for free; dashboards work with either.
var (
	opBuckets   = []float64{.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200}
	waitBuckets = []float64{.005, .01, .025, .05, .1, .25, 1, 5, 15, 30, 60, 120, 300, 900, 3600}
	stepBuckets = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	httpBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 30, 60}
)

// NewMetrics registers every metric in reg. It panics when reg already holds
// them, as two sets in one process would each count half.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		ops:          counters("ops_total", "Operations that reached a final state.", "kind", "result"),
		failures:     counters("ops_failed_total", "Operations that failed, by the code that their requesters read.", "code"),
		opSeconds:    histograms("op_duration_seconds", "From the first start of an operation to its end.", opBuckets, "kind"),
		queueSeconds: histograms("op_queue_seconds", "From the acceptance of an operation to its first start.", waitBuckets, "kind"),
		stepSeconds:  histograms("step_duration_seconds", "Run time of one step of an operation.", stepBuckets, "kind", "step"),

		cliRuns:    counters("wp_cli_runs_total", "WP-CLI processes that ended.", "command", "result"),
		cliSeconds: histograms("wp_cli_duration_seconds", "Run time of one WP-CLI process.", stepBuckets, "command"),
		cliKills:   counters("wp_cli_kills_total", "WP-CLI processes that were ended before their own end, by why: timeout, cancelled, killed, memory (of its control group), or a signal from elsewhere.", "reason"),
		limited:    counters("run_limits_total", "Commands of sites that met a limit of their control group.", "limit"),
		journal:    histogram("journal_write_seconds", "Time until an entry of the node's journal is on its disk.", httpBuckets),

		requests:       counters("http_requests_total", "HTTP requests answered.", "route", "method", "status"),
		requestSeconds: histograms("http_request_duration_seconds", "Time to answer an HTTP request; long polls wait on purpose.", httpBuckets, "route", "method"),
		limitHits:      counter("rate_limit_hits_total", "Requests refused because a key or an address was over its limit."),
		repeats:        counters("idempotent_requests_total", "Requests with an Idempotency-Key: new, repeated, or refused.", "result"),
		streams:        prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "streams_open", Help: "Event streams that clients have open at this process."}),

		redeliveries:  counters("ledger_redeliveries_total", "Operations that were begun again, by why.", "reason"),
		duplicates:    counter("duplicates_prevented_total", "Deliveries of finished operations that the ledger stopped."),
		sweepRequeued: counter("sweep_requeued_total", "Operations put back in their queue by a sweep, after a crash or a lost message."),
		redisErrors:   counters("redis_errors_total", "Redis calls that failed and were survived, by what was being done.", "op"),
		reconciling:   histogram("reconcile_duration_seconds", "Time of one look of the leading API process at the whole fleet.", httpBuckets),
		restored:      counters("ops_restored_total", "Operations that Redis had lost and that a node had begun: restored from its journal, or left to the operator.", "result"),
		refused:       counters("records_refused_total", "Records of Redis that were not acted on, since nobody trusted has signed them or they are used again.", "record", "reason"),
		clockHeld:     counter("ops_held_for_clocks_total", "Operations that wait since the clock of their node disagrees with that of the API that signed them, or with Redis's."),
		// Without a label, but absent until it is known.
		clockOff: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "clock_offset_seconds", Help: "How far the clock of this machine is ahead of Redis's."}, nil),

		rollouts:  counters("rollouts_total", "Rollouts that reached a final state.", "kind", "result"),
		schedules: counters("schedules_total", "Times at which a schedule was due, by what came of it.", "result"),
		webhooks:  counters("webhook_deliveries_total", "Attempts to deliver an event to a webhook, by how they went.", "result"),
	}
	reg.MustRegister(
		m.ops, m.failures, m.opSeconds, m.queueSeconds, m.stepSeconds, m.cliRuns, m.cliSeconds, m.cliKills, m.limited, m.journal,
		m.requests, m.requestSeconds, m.limitHits, m.repeats, m.streams,
		m.redeliveries, m.duplicates, m.sweepRequeued, m.redisErrors, m.reconciling, m.restored, m.refused, m.clockOff, m.clockHeld,
		m.rollouts, m.schedules, m.webhooks,
	)
	m.shownFromStart()
	for _, result := range firingResults {
		m.schedules.WithLabelValues(string(result))
	}
	for _, result := range []string{resultDelivered, resultRetry, resultRefused, resultGone, resultFailed, resultDropped} {
		m.webhooks.WithLabelValues(result)
	}
	for _, record := range []string{signedOp, signedRollout, signedSchedule, signedKey, signedTicket, signedCode, signedSession} {
		m.refused.WithLabelValues(record, refusalOf(ErrForged))
	}
	for _, result := range []string{resultRestored, resultLeft} {
		m.restored.WithLabelValues(result)
	}
	for _, reason := range redeliveryReasons {
		m.redeliveries.WithLabelValues(reason)
	}
	for _, reason := range []string{"timeout", "cancelled", "killed", "memory", "signal"} {
		m.cliKills.WithLabelValues(reason)
	}
	for _, limit := range []string{"memory", "processes"} {
		m.limited.WithLabelValues(limit)
	}
	for _, result := range []string{RequestNew, RequestRepeated, RequestRefused} {
		m.repeats.WithLabelValues(result)
	}
	return m
}

// namespace begins the name of every metric.
const namespace = "wptk"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(histogramOpts(name, help, buckets))
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets: buckets,
		// Buckets 10 % apart, at most 100 of them: about 1 KB per series.
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// OpStarted observes how long an op waited for its first attempt.
func (m *Metrics) OpStarted(kind string, waited time.Duration) {
	if m == nil {
		return
	}
	m.queueSeconds.WithLabelValues(kind).Observe(seconds(waited))
}

// OpEnded counts an op by its final state and observes its run time.
func (m *Metrics) OpEnded(kind, result string, ran time.Duration) {
	if m == nil {
		return
	}
	m.ops.WithLabelValues(kind, result).Inc()
	m.opSeconds.WithLabelValues(kind).Observe(seconds(ran))
}

// OpWithdrawn counts an op that was cancelled before any worker began it.
func (m *Metrics) OpWithdrawn(kind string) {
	if m == nil {
		return
	}
	m.ops.WithLabelValues(kind, string(tasks.Cancelled)).Inc()
}

// StepEnded observes the run time of one step.
func (m *Metrics) StepEnded(kind, step string, ran time.Duration) {
	if m == nil {
		return
	}
	m.stepSeconds.WithLabelValues(kind, step).Observe(seconds(ran))
}

// CLIRun counts one WP-CLI process. The command is the verb alone
// ("core install"), the result is its exit status.
func (m *Metrics) CLIRun(command, result string, ran time.Duration) {
	if m == nil {
		return
	}
	m.cliRuns.WithLabelValues(command, result).Inc()
	m.cliSeconds.WithLabelValues(command).Observe(seconds(ran))
}

// CLIKilled counts a WP-CLI process that was ended before its own end.
func (m *Metrics) CLIKilled(reason string) {
	if m != nil {
		m.cliKills.WithLabelValues(reason).Inc()
	}
}

// RunLimited counts a command that met a limit of its control group: memory or processes.
func (m *Metrics) RunLimited(limit string) {
	if m != nil {
		m.limited.WithLabelValues(limit).Inc()
	}
}

// JournalWritten observes one entry that is on the node's disk.
func (m *Metrics) JournalWritten(took time.Duration) {
	if m != nil {
		m.journal.Observe(seconds(took))
	}
}

// What became of a request with an Idempotency-Key.
const (
	RequestNew      = "new"
	RequestRepeated = "repeated"
	RequestRefused  = "refused" // the key stands for another request, or cannot be looked up now
)

// Idempotent counts a request with an Idempotency-Key.
func (m *Metrics) Idempotent(result string) {
	if m != nil {
		m.repeats.WithLabelValues(result).Inc()
	}
}

// Stream counts event streams that open (1) and end (-1).
func (m *Metrics) Stream(change float64) {
	if m != nil {
		m.streams.Add(change)
	}
}

// Request counts one HTTP answer. The route is the template with its
// placeholders, never the path that was asked for.
func (m *Metrics) Request(route, method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	series := m.answer(answer{route, method, status})
	series.count.Inc()
	series.seconds.Observe(seconds(took))
}

// answer is what tells the series of HTTP answers apart.
type answer struct {
	route, method string
	status        int
}

type answerSeries struct {
	count   prometheus.Counter
	seconds prometheus.Observer
}

func (m *Metrics) answer(a answer) answerSeries {
	if known, ok := m.answers.Load(a); ok {
		return known.(answerSeries)
	}
	series := answerSeries{
		count:   m.requests.WithLabelValues(a.route, a.method, strconv.Itoa(a.status)),
		seconds: m.requestSeconds.WithLabelValues(a.route, a.method),
	}
	m.answers.Store(a, series)
	return series
}

// LimitHit counts a request that was refused for being one too many.
func (m *Metrics) LimitHit() {
	if m != nil {
		m.limitHits.Inc()
	}
}

// redeliveryReasons are why an op is begun again. They show as 0 from the start,
// as an increase from nothing is invisible to rate().
var redeliveryReasons = []string{"crash", "drain", "busy", "retry", "unknown", "clock"}

// Redelivered counts an op that was begun again, by one of redeliveryReasons.
func (m *Metrics) Redelivered(reason string) {
	if m != nil {
		m.redeliveries.WithLabelValues(reason).Inc()
	}
}

// DuplicatePrevented counts a delivery of an op that was final already.
func (m *Metrics) DuplicatePrevented() {
	if m != nil {
		m.duplicates.Inc()
	}
}

// SweepRequeued counts n ops that a sweep put back in their queue.
func (m *Metrics) SweepRequeued(n int) {
	if m != nil {
		m.sweepRequeued.Add(float64(n))
	}
}

// WebhookDelivery counts an attempt by its result.
func (m *Metrics) WebhookDelivery(result string) {
	if m != nil {
		m.webhooks.WithLabelValues(result).Inc()
	}
}

// RedisError counts a failed call that the process survived. The op is what was
// being done, from a small fixed set: "heartbeat", "publish", "progress" …
func (m *Metrics) RedisError(op string) {
	if m != nil {
		m.redisErrors.WithLabelValues(op).Inc()
	}
}

// Reconciled observes one look of the leader at the fleet.
func (m *Metrics) Reconciled(took time.Duration) {
	if m != nil {
		m.reconciling.Observe(seconds(took))
	}
}

// Restored counts an op that Redis had lost and its node has brought back.
func (m *Metrics) Restored() {
	if m != nil {
		m.restored.WithLabelValues(resultRestored).Inc()
	}
}

// NotRestored counts an op of which a node has a journal that it can do nothing with.
func (m *Metrics) NotRestored() {
	if m != nil {
		m.restored.WithLabelValues(resultLeft).Inc()
	}
}

const (
	resultRestored = "restored"
	resultLeft     = "left"
)

// Refused counts a record of Redis that was not acted on: which sort, and why (see refusalOf).
func (m *Metrics) Refused(record, reason string) {
	if m != nil {
		m.refused.WithLabelValues(record, reason).Inc()
	}
}

// Clock shows how far this machine's clock is ahead of Redis's.
func (m *Metrics) Clock(ahead time.Duration) {
	if m != nil {
		m.clockOff.WithLabelValues().Set(ahead.Seconds())
	}
}

// HeldForClocks counts an op that waits until clocks agree.
func (m *Metrics) HeldForClocks() {
	if m != nil {
		m.clockHeld.Inc()
	}
}

// RolloutEnded counts a rollout by its final state.
func (m *Metrics) RolloutEnded(kind, result string) {
	if m != nil {
		m.rollouts.WithLabelValues(kind, result).Inc()
	}
}

// ScheduleDue counts a time at which a schedule was due.
func (m *Metrics) ScheduleDue(result Firing) {
	if m != nil {
		m.schedules.WithLabelValues(string(result)).Inc()
	}
}

// seconds is never negative: a clock that was set back must not make a
// histogram's sum shrink.
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
