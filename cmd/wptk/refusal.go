package main

import (
	"io"
	"strings"

	toolkit "github.com/wispanel/wptk/client"
)

type refusal = toolkit.Error

// apiError is a refusal of the API that the command line can print.
type apiError struct{ refusal }

// explain prints everything the API said, one fact a line.
func (e *apiError) explain(w io.Writer) {
	say(w, "wptk: %s", clean(e.Message))
	for _, d := range e.Details {
		if line := clean(d.Field) + ": " + clean(d.Reason); !strings.Contains(e.Message, d.Field+": "+d.Reason) {
			say(w, "  %s", line)
		}
	}
	for _, f := range []struct{ name, value string }{
		{"hint", e.Hint}, {"operation", e.OperationID}, {"install", e.ID},
		{"code", e.Code}, {"request", e.RequestID},
	} {
		if f.value != "" {
			say(w, "  %s: %s", f.name, clean(f.value))
		}
	}
}
