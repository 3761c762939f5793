package main

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/tasks"
)

// nameList stands for tasks.Names in the OpenAPI document, which package tasks knows nothing of.
type nameList []string

// Schema names both forms. What a name may look like is for the kind to judge, which
// answers in better words than a pattern.
func (nameList) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeString},
		{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
	}}
}

// newRegistry makes the schemas of the document.
func newRegistry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", schemaName)
	r.RegisterTypeAlias(reflect.TypeFor[tasks.Names](), reflect.TypeFor[nameList]())
	return r
}
