package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// table prints rows under a header; the cells are clean already.
func (a *app) table(header string, rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	titles := strings.Fields(header)
	for i, title := range titles {
		if title == "STATUS" {
			titles[i] = a.paint(plainColour, title) // as wide in bytes as the cells below
		}
	}
	fmt.Fprintln(w, strings.Join(titles, "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

// facts prints names and values below each other; empty values are left out.
func (a *app) facts(pairs ...string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], pairs[i+1])
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing facts: %w", err)
	}
	return nil
}

// line prints an answer of the API as one line of JSON.
func (a *app) line(raw []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("reading the API's JSON: %w", err)
	}
	b.WriteByte('\n')
	if _, err := a.out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// object prints a value of ours as one line of JSON.
func (a *app) object(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	return a.line(raw)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return clean(s)
}
