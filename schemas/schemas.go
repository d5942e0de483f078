// Package schemas holds the JSON Schemas of the registry and of every tool.
// They are generated from the Go types by schemas/gen, committed, and embedded
// as they are: at run time nothing is reflected.
package schemas

import (
	"embed"
	"encoding/json"
)

//go:generate go run homelab/schemas/gen .

//go:embed registry.json tools/*.json
var files embed.FS

// Registry is the schema of a registry document, for editors.
func Registry() json.RawMessage { return read("registry.json") }

// Input is the schema of a tool's arguments, or nil for a tool that has none
// generated.
func Input(tool string) json.RawMessage { return read("tools/" + tool + ".input.json") }

// Output is the schema of a tool's result, or nil like [Input].
func Output(tool string) json.RawMessage { return read("tools/" + tool + ".output.json") }

func read(name string) json.RawMessage {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil
	}
	return data
}
