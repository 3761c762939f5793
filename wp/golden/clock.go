package golden

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// clock knows when an installation was made, and so which numbers and dates in it are points
// in time that were counted from there.
type clock struct {
	at   time.Time
	zone *time.Location // of the site
}

// Points in time of an installation: some are a little before it, some up to a year ahead
// (the administrator's address is to be confirmed after six months).
const (
	before = 48 * time.Hour
	after  = 400 * 24 * time.Hour
)

func newClock(at time.Time, zone string) (clock, error) {
	location, err := time.LoadLocation(zone) // "" is UTC
	if err != nil {
		return clock{}, fmt.Errorf("reading the site's time zone: %w", err)
	}
	return clock{at: at, zone: location}, nil
}

// shift moves points in time.
type shift struct {
	clock
	by    time.Duration
	local time.Duration // by which dates in the site's zone move
}

// to moves an installation to another second.
func (c clock) to(now time.Time) shift {
	now = now.UTC().Truncate(time.Second)
	by := now.Sub(c.at)
	_, then := c.at.In(c.zone).Zone()
	_, offset := now.In(c.zone).Zone()
	return shift{clock: c, by: by, local: by + time.Duration(offset-then)*time.Second}
}

var (
	date   = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)
	number = regexp.MustCompile(`^\d{10}$`)
	inside = regexp.MustCompile(`\bi:\d{10};`) // of PHP's serialization; as long before as after
)

// cell moves the points in time of one cell. A date that has a sibling in UTC (post_date and
// post_date_gmt) is one in the site's zone.
func (s shift) cell(columns []string, k int, text string) string {
	switch {
	case date.MatchString(text):
		by := s.by
		if slices.Contains(columns, columns[k]+"_gmt") {
			by = s.local
		}
		at, err := time.Parse(time.DateTime, text)
		if err != nil || !s.near(at) {
			return text // none, such as 0000-00-00 00:00:00
		}
		return at.Add(by).Format(time.DateTime)
	case number.MatchString(text):
		return s.unix(text)
	}
	return inside.ReplaceAllStringFunc(text, func(m string) string { return "i:" + s.unix(m[2:len(m)-1]) + ";" })
}

func (s shift) unix(text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !s.near(time.Unix(n, 0)) {
		return text
	}
	return strconv.FormatInt(n+int64(s.by/time.Second), 10)
}

func (c clock) near(t time.Time) bool { return t.After(c.at.Add(-before)) && t.Before(c.at.Add(after)) }

// timeless blots out the points in time of a text.
func (c clock) timeless(text string) string {
	blot := func(m string) string {
		if n, err := strconv.ParseInt(m, 10, 64); err == nil && c.near(time.Unix(n, 0)) {
			return "*"
		}
		return m
	}
	switch {
	case date.MatchString(text):
		if at, err := time.Parse(time.DateTime, text); err == nil && c.near(at) {
			return "*"
		}
		return text
	case number.MatchString(text):
		return blot(text)
	}
	return inside.ReplaceAllStringFunc(text, func(m string) string { return "i:" + blot(m[2:len(m)-1]) + ";" })
}
