package main

import (
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// timedJournal measures how long the disk takes: every step waits for it several times.
type timedJournal struct {
	*tasks.FileJournal
	metrics *queue.Metrics
}

// Append is FileJournal's.
func (j timedJournal) Append(opID string, e tasks.Entry) error {
	began := time.Now()
	err := j.FileJournal.Append(opID, e)
	if err == nil {
		j.metrics.JournalWritten(time.Since(began))
	}
	return err
}
