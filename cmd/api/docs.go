package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/tasks"
)

// apiVersion is the version of the contract, not of the program.
const apiVersion = "1.0.0"

//go:embed docs.html
var docsPage string

// apiConfig leaves out what huma would add by itself: pages that load scripts
// from elsewhere, and $schema links made from the request's Host.
func apiConfig() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "WisPanel WordPress Toolkit", Version: apiVersion,
				Description: "Installs and manages WordPress on a fleet of nodes. Every change is an operation: accepted durably, then followed by its progress."},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas: newRegistry(),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", BearerFormat: "wsp_<48 hex>"},
				},
			},
			Security: []map[string][]string{{"key": {}}},
		},
		Formats:                      map[string]huma.Format{"application/json": strictJSON},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// schemaName names schemas for readers of the document, not after our types.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[problem]():
		return "Error"
	case reflect.TypeFor[tasks.Problem]():
		return "Problem"
	case reflect.TypeFor[mutationBody]():
		return "Accepted"
	}
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "View")
}

// describeOnly is a router that routes nothing: operations registered with it
// are in the document, their handlers are written by hand.
type describeOnly struct{}

func (describeOnly) Handle(*huma.Operation, func(huma.Context))       {}
func (describeOnly) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// add registers one operation. Whatever error a handler returns leaves as a
// problem of the one table.
func add[I, O any](api huma.API, method, path string, h func(context.Context, *I) (*O, error), summary, description string) {
	parts := strings.FieldsFunc(strings.TrimPrefix(path, apiBase), func(r rune) bool { return strings.ContainsRune("/{}", r) })
	op := huma.Operation{
		OperationID:  strings.ToLower(method) + "-" + strings.Join(parts, "-"),
		Method:       method,
		Path:         path,
		Summary:      summary,
		Description:  description,
		Tags:         []string{parts[0]},
		MaxBodyBytes: maxBody + 1, // limitBody has the word
	}
	switch any((*O)(nil)).(type) {
	case *mutation:
		op.DefaultStatus = http.StatusAccepted
	case *deliveryAnswer:
		op.DefaultStatus = http.StatusAccepted
	case *keyAnswer, *consoleLinkAnswer, *scheduleCreated, *webhookSecretAnswer:
		op.DefaultStatus = http.StatusCreated
	}
	if method != get {
		op.Parameters = []*huma.Param{{Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "Makes a repeat within 24 hours answer like the first time instead of acting again."}}
	}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, problemFor(ctx, err)
		}
		return out, nil
	})
}

// document serves the OpenAPI document and a page made of it. Both are made once.
func document(router *mux.Router, api *huma.OpenAPI) {
	spec, err := json.MarshalIndent(api, "", "  ")
	if err != nil {
		panic(fmt.Errorf("encoding OpenAPI document: %w", err)) // built from constants: a mistake of ours
	}
	spec = append(spec, '\n')
	var page bytes.Buffer
	if err := template.Must(template.New("docs").Parse(docsPage)).Execute(&page, pageOf(api)); err != nil {
		panic(fmt.Errorf("rendering docs page: %w", err))
	}
	router.Path("/openapi.json").Methods(get).HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(spec) //nolint:errcheck // the client went away
	})
	router.Path("/docs").Methods(get).HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		// Nothing is loaded and nothing runs; the page is text and one style sheet.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Write(page.Bytes()) //nolint:errcheck // the client went away
	})
}

// docEndpoint is one operation as the page shows it.
type docEndpoint struct {
	Method, Path, Summary, Description string
	Params                             []*huma.Param
	Fields                             []docField
}

type docField struct{ Name, Type, Doc string }

type docPage struct {
	*huma.Info
	Endpoints []docEndpoint
	Codes     map[string]int
}

func pageOf(api *huma.OpenAPI) docPage {
	page := docPage{Info: api.Info, Codes: codes}
	for path, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			page.Endpoints = append(page.Endpoints, docEndpoint{
				Method: op.Method, Path: path, Summary: op.Summary, Description: op.Description,
				Params: op.Parameters, Fields: fieldsOf(api, op),
			})
		}
	}
	slices.SortFunc(page.Endpoints, func(a, b docEndpoint) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return page
}

func fieldsOf(api *huma.OpenAPI, op *huma.Operation) []docField {
	if op.RequestBody == nil {
		return nil
	}
	schema := op.RequestBody.Content["application/json"].Schema
	if schema.Ref != "" {
		schema = api.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	var fields []docField
	for name, f := range schema.Properties {
		fields = append(fields, docField{Name: name, Type: f.Type, Doc: f.Description})
	}
	slices.SortFunc(fields, func(a, b docField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}
