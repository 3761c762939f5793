package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

type generator struct {
	doc          openAPI
	inRequests   map[string]bool // schemas that are sent
	types, calls bytes.Buffer
}

// findRequests marks what is sent: there, what is left out and what is zero differ.
func (g *generator) findRequests() {
	var mark func(s *schema)
	mark = func(s *schema) {
		if s == nil {
			return
		}
		if name := s.name(); name != "" && !g.inRequests[name] {
			g.inRequests[name] = true
			mark(g.doc.Components.Schemas[name])
		}
		for _, p := range s.Properties {
			mark(p)
		}
		mark(s.Items)
	}
	for _, op := range g.doc.operations() {
		mark(op.body())
	}
}

// writeTypes writes the schemas that have a name. Error is written by hand.
func (g *generator) writeTypes() {
	schemas := g.doc.Components.Schemas
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		if name != "Error" {
			g.writeStruct(name, schemas[name], g.inRequests[name])
		}
	}
}

func (g *generator) writeStruct(name string, s *schema, sent bool) {
	what := "is a part of answers."
	if sent {
		what = "is a part of requests; what is left out is as the API's document says."
	}
	if s.Description != "" {
		what = "is: " + s.Description
	}
	fmt.Fprintf(&g.types, "\n// %s %s\ntype %s struct {\n", name, oneLine(what), name)
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[field]
		if text := describe(p); text != "" {
			fmt.Fprintf(&g.types, "// %s\n", text)
		}
		required := slices.Contains(s.Required, field)
		tag := field
		if !required {
			tag += ",omitempty"
		}
		fmt.Fprintf(&g.types, "%s %s `json:%q`\n", goName(field), g.goType(p, sent, required), tag)
	}
	g.types.WriteString("}\n")
}

func describe(s *schema) string {
	text := oneLine(s.Description)
	if len(s.Enum) > 0 {
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		text = strings.TrimSpace(text + " One of: " + strings.Join(values, ", ") + ".")
	}
	return text
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// goType is a schema in Go. Optional switches and numbers that are sent are pointers:
// false and 0 are not the same as nothing there.
func (g *generator) goType(s *schema, sent, required bool) string {
	may := func(t string) string {
		if slices.Contains(s.Type, "null") || sent && !required {
			return "*" + t
		}
		return t
	}
	switch {
	case s.Ref != "" && required && sent:
		return s.name()
	case s.Ref != "":
		return "*" + s.name()
	case listOrOne(s):
		return "[]string"
	case len(s.OneOf) > 0 || len(s.Type) == 0:
		return raw(sent)
	case s.Type.only("string") && s.Format == "date-time":
		return "*time.Time"
	case s.Type.only("string"):
		if slices.Contains(s.Type, "null") {
			return "*string"
		}
		return "string"
	case s.Type.only("boolean"):
		return may("bool")
	case s.Type.only("integer"):
		return may("int64")
	case s.Type.only("number"):
		return may("float64")
	case s.Type.only("array"):
		return "[]" + strings.TrimPrefix(g.goType(s.Items, sent, true), "*")
	}
	var values schema
	if len(s.Properties) == 0 && json.Unmarshal(s.Additional, &values) == nil && len(values.Type)+len(values.Ref) > 0 {
		return "map[string]" + strings.TrimPrefix(g.goType(&values, sent, true), "*")
	}
	return raw(sent)
}

// raw is what has many forms.
func raw(sent bool) string {
	if sent {
		return "any"
	}
	return "json.RawMessage"
}

// listOrOne tells a list of words that may also be a single one.
func listOrOne(s *schema) bool {
	return len(s.OneOf) == 2 && s.OneOf[0].Type.only("string") && s.OneOf[1].Type.only("array") && s.OneOf[1].Items.Type.only("string")
}
