package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// openAPI is what the generator reads of OpenAPI 3.1.
type openAPI struct {
	Paths      map[string]map[string]*operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID          string      `json:"operationId"`
	Summary     string      `json:"summary"`
	Description string      `json:"description"`
	Parameters  []parameter `json:"parameters"`
	Tags        []string    `json:"tags"`
	RequestBody *struct {
		Content content `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content content                    `json:"content"`
		Headers map[string]json.RawMessage `json:"headers"`
	} `json:"responses"`

	method, path string
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Description string  `json:"description"`
	Schema      *schema `json:"schema"`
}

type content map[string]struct {
	Schema *schema `json:"schema"`
}

type schema struct {
	Ref         string             `json:"$ref"`
	Type        types              `json:"type"`
	Format      string             `json:"format"`
	Description string             `json:"description"`
	Enum        []any              `json:"enum"`
	Examples    []any              `json:"examples"`
	Default     any                `json:"default"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	OneOf       []*schema          `json:"oneOf"`
	Encoding    string             `json:"contentEncoding"`
	Additional  json.RawMessage    `json:"additionalProperties"`
}

// types is one type or several.
type types []string

func (t *types) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte(`"`)) {
		*t = types{""}
		return json.Unmarshal(raw, &(*t)[0])
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

func (t types) only(name string) bool {
	return slices.Contains(t, name) && !slices.ContainsFunc(t, func(s string) bool { return s != name && s != "null" })
}

func (s *schema) name() string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

// operations are all of them, in the order of their paths.
func (d *openAPI) operations() []*operation {
	var all []*operation
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			op := d.Paths[path][method]
			op.method, op.path = strings.ToUpper(method), path
			all = append(all, op)
		}
	}
	return all
}

// body is the schema of the request, nil without one.
func (op *operation) body() *schema {
	if op.RequestBody == nil {
		return nil
	}
	return op.RequestBody.Content["application/json"].Schema
}

// answer is the schema of the answer, and whether it is one of several pages.
func (op *operation) answer() (s *schema, paged bool) {
	for status, r := range op.Responses {
		if strings.HasPrefix(status, "2") {
			_, paged = r.Headers["Link"]
			s = r.Content["application/json"].Schema
		}
	}
	return s, paged
}
