package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// writeCalls writes a method for each operation.
func (g *generator) writeCalls() error {
	taken := map[string]string{}
	for _, op := range g.doc.operations() {
		if answer, _ := op.answer(); answer != nil && answer.Encoding != "" {
			continue // a stream: package client has methods written by hand for those
		}
		name := methodName(op.ID)
		if taken[name] != "" {
			return fmt.Errorf("naming %s: %s has the name %s already", op.ID, taken[name], name)
		}
		taken[name] = op.ID
		if err := g.writeCall(name, op); err != nil {
			return fmt.Errorf("writing %s: %w", op.ID, err)
		}
	}
	return nil
}

func (g *generator) writeCall(name string, op *operation) error {
	answer, paged := op.answer()
	if answer == nil {
		return errors.New("it has no answer in JSON")
	}
	params := []string{"ctx context.Context"}
	for _, p := range op.Parameters {
		if p.In == "path" {
			params = append(params, lowerName(p.Name)+" string")
		}
	}
	request := fmt.Sprintf("Request{Method: http.Method%s, Path: %s", methodWords[op.method], pathExpression(op.path))
	queried := g.writeQuery(name, op)
	switch body := op.body(); {
	// What may be in the body or the query, as for delete, is sent in the body.
	case body != nil && body.Ref != "":
		params = append(params, "body "+body.name())
		request += ", Body: body"
	case body != nil:
		g.writeStruct(name+"Request", body, true)
		params = append(params, "body "+name+"Request")
		request += ", Body: body"
	case queried:
		params = append(params, "query "+name+"Query")
		request += ", Query: query.values()"
	}
	request += "}"
	result := g.goType(answer, false, true)
	list := strings.HasPrefix(result, "[]")
	if paged && list {
		result = "*Page[" + strings.TrimPrefix(result, "[]") + "]"
	}
	fmt.Fprintf(&g.calls, "\n// %s: %s.", name, oneLine(op.Summary))
	if op.Description != "" {
		fmt.Fprintf(&g.calls, " %s", oneLine(op.Description))
	}
	fmt.Fprintf(&g.calls, "\n//\n//\t%s %s\nfunc (c *Client) %s(%s) (%s, error) {\n", op.method, op.path, name, strings.Join(params, ", "), result)
	switch {
	case paged && list:
		fmt.Fprintf(&g.calls, "return page[%s](ctx, c, %s)\n}\n", strings.TrimSuffix(strings.TrimPrefix(result, "*Page["), "]"), request)
	case list:
		fmt.Fprintf(&g.calls, "var got %s\n_, err := c.Do(ctx, %s, &got)\nreturn got, err\n}\n", result, request)
	default:
		fmt.Fprintf(&g.calls, "return call[%s](ctx, c, %s)\n}\n", strings.TrimPrefix(result, "*"), request)
	}
	return nil
}

// writeQuery writes the parameters of a call without a body, if it has any.
func (g *generator) writeQuery(name string, op *operation) bool {
	var fields, values strings.Builder
	for _, p := range op.Parameters {
		if p.In != "query" {
			continue
		}
		kind, add := "string", "addText"
		switch {
		case p.Schema.Type.only("boolean"):
			kind, add = "bool", "addBool"
		case p.Schema.Type.only("integer"):
			kind, add = "int", "addInt"
		case p.Schema.Type.only("array"):
			kind, add = "[]string", "addList"
		}
		if text := describe(p.Schema); text != "" {
			fmt.Fprintf(&fields, "// %s\n", text)
		}
		fmt.Fprintf(&fields, "%s %s\n", goName(p.Name), kind)
		fmt.Fprintf(&values, "%s(v, %q, q.%s)\n", add, p.Name, goName(p.Name))
	}
	if fields.Len() == 0 || op.body() != nil {
		return false
	}
	fmt.Fprintf(&g.calls, "\n// %sQuery narrows [Client.%s]; what is zero is left out.\ntype %sQuery struct {\n%s}\n", name, name, name, fields.String())
	fmt.Fprintf(&g.calls, "\nfunc (q %sQuery) values() url.Values {\nv := url.Values{}\n%sreturn v\n}\n", name, values.String())
	return true
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// pathExpression is the path below /api/v1 in Go, its parameters escaped.
func pathExpression(path string) string {
	path = strings.TrimPrefix(path, "/api/v1")
	var parts []string
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(path, -1) {
		parts = append(parts, fmt.Sprintf("%q", path[at:m[0]]), "url.PathEscape("+lowerName(path[m[2]:m[3]])+")")
		at = m[1]
	}
	if at < len(path) {
		parts = append(parts, fmt.Sprintf("%q", path[at:]))
	}
	return strings.Join(parts, " + ")
}
