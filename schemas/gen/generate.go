package main

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"

	"homelab/registry"
	"homelab/tools"
)

// generate returns every schema by its path below the folder.
func generate() (map[string][]byte, error) {
	document := schemaOf(reflect.TypeFor[registry.Registry]())
	document.Version = jsonschema.Version
	document.Title = "homelab registry"
	document.Description = "The services of a homelab: what to build, what touches them, where they run, and what they must not lose."
	schemas := map[string]*jsonschema.Schema{"registry.json": document}
	for _, tool := range tools.Catalog(tools.Core{}) {
		schemas["tools/"+tool.Name+".input.json"] = schemaOf(tool.Input())
		schemas["tools/"+tool.Name+".output.json"] = schemaOf(tool.Output())
	}

	files := make(map[string][]byte, len(schemas))
	for name, schema := range schemas {
		data, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = append(data, '\n')
	}
	return files, nil
}

// schemaOf is strict and without references: not every MCP client follows
// them. Fields without omitempty are required, others may not come.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	reflector := jsonschema.Reflector{DoNotReference: true, Anonymous: true, ExpandedStruct: true}
	schema := reflector.ReflectFromType(t)
	schema.Version = ""
	if schema.Properties == nil {
		schema.Properties = jsonschema.NewProperties()
	}
	return schema
}
