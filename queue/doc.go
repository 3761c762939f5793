// Package queue keeps everything that lives in Redis, and is the only package
// that knows asynq.
//
// The ledger (one hash per op) is the truth; asynq is transport. An accepted op
// is written by one Lua call together with its place in the install's FIFO and
// an outbox entry, and only then handed to asynq with the op's id as task id.
// Whatever crashes afterwards, the outbox sweep and the reconciler bring the op
// to its node, and whatever is delivered twice is stopped by the ledger.
//
//	Client      the API's side: submit, read, list, cancel, poll
//	Node        the worker's side: serve the node's lanes, write progress, finish
//	Reconciler  repairs what crashes left between the ledger and asynq
//	Watcher     waits for changes over one pub/sub subscription per process
//
// Every key name is made in names.go. Everything of one node's ledger shares one
// hash tag (see tasks.Shard), so each script touches a single Cluster slot.
package queue
