package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// stampLayout is RFC 3339 with milliseconds, which is as exact as the ledger is.
const stampLayout = "2006-01-02T15:04:05.000Z07:00"

// stamp is a time on the wire; null when there is none yet.
type stamp time.Time

// MarshalJSON writes RFC 3339 in UTC, or null.
func (t stamp) MarshalJSON() ([]byte, error) { return appendStamp(nil, time.Time(t)), nil }

// UnmarshalJSON reads what MarshalJSON writes.
func (t *stamp) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*time.Time)(t)) }

// Schema says the same in the OpenAPI document.
func (stamp) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

func appendStamp(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, stampLayout)
	return append(b, '"')
}

// appendText appends a JSON string; invalid UTF-8 becomes U+FFFD.
func appendText[S string | []byte](b []byte, s S) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error only tells of replaced bytes
	return b
}

// object is JSON that a node wrote and the API passes on; null when there is none.
type object json.RawMessage

// MarshalJSON passes the object on.
func (o object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte("null"), nil
	}
	return o, nil
}

// Schema says that its fields depend on the kind of operation.
func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: true}
}

// with returns the object with one more field at its end.
func (o object) with(name, value string) object {
	b := []byte("{")
	if len(o) > 2 && o[len(o)-1] == '}' {
		b = append(append(b[:0], o[:len(o)-1]...), ',')
	}
	b = append(appendText(b, name), ':')
	return append(appendText(b, value), '}')
}

// multisite is "", "subdirectories" or "subdomains"; true stands for the first.
type multisite string

// UnmarshalJSON takes true and false as well as the names.
func (m *multisite) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "true":
		*m = "subdirectories"
		return nil
	case "false", "null":
		*m = ""
		return nil
	}
	return json.Unmarshal(data, (*string)(m))
}

// Schema names every form.
func (multisite) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A network of sites; true means subdirectories.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeBoolean},
			{Type: huma.TypeString, Enum: []any{"", "subdirectories", "subdomains"}},
		},
	}
}

// marshal encodes a payload without escaping for HTML, which nobody reads it in.
func marshal(v any) ([]byte, error) {
	data, err := jsonv2.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding payload: %w", err)
	}
	return data, nil
}
