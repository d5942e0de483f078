// Package schemas holds the JSON Schemas of the registry and of every tool.
// They are generated from the Go types by schemas/gen and committed. Those of
// the tools are embedded as they are: at run time nothing is reflected. That of
// the registry, registry.json, is for editors.
package schemas

import (
	"embed"
	"encoding/json"
)

//go:generate go run homelab/schemas/gen .

//go:embed tools/*.json
var files embed.FS

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
