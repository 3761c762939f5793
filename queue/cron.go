package queue

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronForm is five fields (minute, hour, day of the month, month and day of the week) or one
// of @hourly, @daily, @weekly, @monthly, @yearly.
var cronForm = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// calendar is a cron expression in a time zone.
type calendar struct {
	cron cron.Schedule
	zone *time.Location
}

// parseCron reads an expression. The error is for people.
func parseCron(expression, tz string) (calendar, error) {
	loc, err := zone(tz)
	if err != nil {
		return calendar{}, err
	}
	// The zone has a field of its own. Without a space behind it, the library's own form of it
	// panics. @every would count from the last look, not by the clock.
	if len(expression) > maxCron || strings.Contains(expression, "=") || strings.HasPrefix(strings.TrimSpace(expression), "@every") {
		return calendar{}, errCron
	}
	parsed, err := cronForm.Parse(expression)
	if err != nil {
		return calendar{}, errCron
	}
	c := calendar{cron: parsed, zone: loc}
	if c.next(time.Now()).IsZero() {
		return calendar{}, errors.New("names a day that never comes")
	}
	return c, nil
}

const maxCron = 100

var errCron = fmt.Errorf("must be five fields (minute, hour, day, month, weekday), like 0 3 * * *, or @hourly, @daily, @weekly, @monthly")

// next is the first time after another one; zero when there is none within years.
func (c calendar) next(after time.Time) time.Time { return c.cron.Next(after.In(c.zone)).UTC() }
