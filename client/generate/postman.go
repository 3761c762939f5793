package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// What a Postman collection has, see https://schema.getpostman.com/collection/json/v2.1.0/draft-07/docs/index.html.
type (
	collection struct {
		Info struct {
			Name        string `json:"name"`
			Description string `json:"description"`
			Schema      string `json:"schema"`
		} `json:"info"`
		Auth     auth    `json:"auth"`
		Variable []pair  `json:"variable"`
		Item     []*item `json:"item"`
	}
	auth struct {
		Type   string `json:"type"`
		Bearer []pair `json:"bearer"`
	}
	pair struct {
		Key         string `json:"key"`
		Value       string `json:"value"`
		Type        string `json:"type,omitempty"`
		Description string `json:"description,omitempty"`
		Disabled    bool   `json:"disabled,omitempty"`
	}
	// item is a folder of others, or a request.
	item struct {
		Name    string   `json:"name"`
		Item    []*item  `json:"item,omitempty"`
		Request *request `json:"request,omitempty"`
	}
	request struct {
		Method      string `json:"method"`
		Description string `json:"description,omitempty"`
		Header      []pair `json:"header"`
		URL         struct {
			Raw      string   `json:"raw"`
			Host     []string `json:"host"`
			Path     []string `json:"path"`
			Query    []pair   `json:"query,omitempty"`
			Variable []pair   `json:"variable,omitempty"`
		} `json:"url"`
		Body *body `json:"body,omitempty"`
	}
	body struct {
		Mode    string `json:"mode"`
		Raw     string `json:"raw"`
		Options struct {
			Raw struct {
				Language string `json:"language"`
			} `json:"raw"`
		} `json:"options"`
	}
)

// postman is the collection: a folder for each tag, address and key as variables.
func (g *generator) postman() ([]byte, error) {
	var c collection
	c.Info.Name = "WisPanel WordPress Toolkit"
	c.Info.Description = "Set the variables api and key; the key goes into Postman's vault or a secret variable. Made of the OpenAPI document by client/generate."
	c.Info.Schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
	c.Auth = auth{Type: "bearer", Bearer: []pair{{Key: "token", Value: "{{key}}", Type: "string"}}}
	c.Variable = []pair{{Key: "api", Value: "http://127.0.0.1:2083"}, {Key: "key", Type: "secret"}, {Key: "id", Value: "wp_4e8a1b2c3d4e5f60"}}
	folders := map[string]*item{}
	for _, op := range g.doc.operations() {
		folder := strings.Join(op.Tags, " ")
		if folders[folder] == nil {
			folders[folder] = &item{Name: folder}
			c.Item = append(c.Item, folders[folder])
		}
		folders[folder].Item = append(folders[folder].Item, &item{Name: op.Summary, Request: g.request(op)})
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("writing the collection: %w", err)
	}
	return out.Bytes(), nil
}

var inBraces = regexp.MustCompile(`\{(\w+)\}`)

// request is one call. What is optional is there and switched off, or left out of the body.
func (g *generator) request(op *operation) *request {
	r := &request{Method: op.method, Description: op.Description, Header: []pair{}}
	path := inBraces.ReplaceAllString(op.path, ":$1")
	r.URL.Raw, r.URL.Host, r.URL.Path = "{{api}}"+path, []string{"{{api}}"}, strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, p := range op.Parameters {
		switch one := (pair{Key: p.Name, Description: p.Description, Disabled: p.Name != "id"}); p.In {
		case "path":
			one.Disabled = false
			one.Value = "{{" + p.Name + "}}"
			r.URL.Variable = append(r.URL.Variable, one)
		case "query":
			if p.Name == "id" {
				one.Value = "{{id}}"
			}
			if op.body() == nil {
				r.URL.Query = append(r.URL.Query, one)
			}
		case "header":
			if p.Name == "Idempotency-Key" {
				one.Value = "{{$guid}}"
			}
			r.Header = append(r.Header, one)
		}
	}
	if s := op.body(); s != nil {
		r.Header = append(r.Header, pair{Key: "Content-Type", Value: "application/json"})
		r.Body = &body{Mode: "raw", Raw: g.sample(s)}
		r.Body.Options.Raw.Language = "json"
	}
	return r
}

// sample is a body with what is required, as far as the document can tell, and the id.
func (g *generator) sample(s *schema) string {
	if s.Ref != "" {
		s = g.doc.Components.Schemas[s.name()]
	}
	fields := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		if name == "id" {
			fields[name] = "{{id}}"
		} else if slices.Contains(s.Required, name) || strings.HasPrefix(p.Description, "Required.") {
			fields[name] = g.value(p)
		}
	}
	raw, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return "{}" // examples of a document that was read are JSON
	}
	return string(raw)
}

func (g *generator) value(s *schema) any {
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Ref != "":
		return json.RawMessage(g.sample(s))
	case s.Type.only("boolean"):
		return true
	case s.Type.only("integer"), s.Type.only("number"):
		return 1
	case s.Type.only("array"):
		return []any{}
	}
	return ""
}
