package tasks

import "github.com/wispanel/wptk/wp"

// What an inspection finds is declared by package wp, which finds it. These are
// its names for the API, which shows it and otherwise knows nothing of nodes.
type (
	// Details is everything that an inspection has found.
	Details       = wp.Details
	CoreFacts     = wp.CoreFacts
	Plugin        = wp.Plugin
	Theme         = wp.Theme
	UserFacts     = wp.UserFacts
	OptionFacts   = wp.OptionFacts
	CacheFacts    = wp.CacheFacts
	OpcacheState  = wp.OpcacheState
	DropIn        = wp.DropIn
	SecurityFacts = wp.SecurityFacts
	MeasureStatus = wp.MeasureStatus
	CronFacts     = wp.CronFacts
	PHPFacts      = wp.PHPFacts
	Culprit       = wp.Culprit
	Issue         = wp.Issue
	Usage         = wp.Usage
	DatabaseFacts = wp.DatabaseFacts
)

const (
	// MeasureDrifted is the state of a measure that was applied and is not any more.
	MeasureDrifted = wp.MeasureDrifted
	// ObjectCacheName is how our own object cache calls itself.
	ObjectCacheName = wp.ObjectCacheName
	// PageCacheName is how our own page cache calls itself.
	PageCacheName = wp.PageCacheName
)
