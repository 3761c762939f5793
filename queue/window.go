package queue

import (
	"fmt"
	"time"
	_ "time/tzdata" // hosts and containers without a zone database know the zones all the same

	"github.com/wispanel/wptk/tasks"
)

// Window is the part of every day in which work may begin. What has begun is finished after it.
type Window struct {
	From string `json:"from" example:"22:00" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"When it opens."`
	To   string `json:"to" example:"05:00" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"When it closes; before from means on the next day."`
	TZ   string `json:"tz,omitempty" maxLength:"64" example:"Europe/Berlin" doc:"Time zone of both; UTC when left out."`
}

// Problems names everything that is wrong with the window.
func (w *Window) Problems(field string) []tasks.Problem {
	if w == nil {
		return nil
	}
	var found []tasks.Problem
	from, errFrom := minute(w.From)
	to, errTo := minute(w.To)
	if errFrom != nil {
		found = append(found, tasks.Problem{Field: field + ".from", Reason: errFrom.Error()})
	}
	if errTo != nil {
		found = append(found, tasks.Problem{Field: field + ".to", Reason: errTo.Error()})
	}
	if errFrom == nil && errTo == nil && from == to {
		found = append(found, tasks.Problem{Field: field + ".to", Reason: "is the same as from: leave the window out for the whole day"})
	}
	if _, err := zone(w.TZ); err != nil {
		found = append(found, tasks.Problem{Field: field + ".tz", Reason: err.Error()})
	}
	return found
}

// Open reports whether work may begin at a time; nil is always open, and so is one that
// cannot be read, as Problems keeps those out.
func (w *Window) Open(now time.Time) bool {
	if w == nil {
		return true
	}
	loc, errZone := zone(w.TZ)
	from, errFrom := minute(w.From)
	to, errTo := minute(w.To)
	if errZone != nil || errFrom != nil || errTo != nil {
		return true
	}
	now = now.In(loc)
	at := now.Hour()*60 + now.Minute()
	if from < to {
		return from <= at && at < to
	}
	return at >= from || at < to
}

// minute of the day of "22:00". The form is exact: what a lenient reader takes for a time,
// a strict one refuses.
func minute(text string) (int, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("must be a time of the day, like 22:00")
	}
	return t.Hour()*60 + t.Minute(), nil
}

// zone reads a time zone by its name in the IANA database; "" is UTC.
func zone(name string) (*time.Location, error) {
	if name == "Local" { // that of the API's machine, which no client means
		return nil, fmt.Errorf("must be a time zone, like Europe/Berlin")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("must be a time zone, like Europe/Berlin")
	}
	return loc, nil
}
