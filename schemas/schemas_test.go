package schemas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/schemas"
	"homelab/tools"
)

func TestEverySchemaKeepsTheRules(t *testing.T) {
	registry, err := os.ReadFile("registry.json")
	require.NoError(t, err, "run make schemas")
	all := map[string]json.RawMessage{"registry": registry}
	for _, tool := range tools.Catalog(tools.Core{}) {
		all[tool.Name+" input"] = schemas.Input(tool.Name)
		all[tool.Name+" output"] = schemas.Output(tool.Name)
	}
	// What a job answered is described by its own tool.
	open := map[string][]string{"job_get output": {"$.result: open to unknown properties"}}
	for name, data := range all {
		t.Run(name, func(t *testing.T) {
			compile(t, data)
			assert.Equal(t, open[name], broken(t, data))
		})
	}
}

// The rules themselves must be able to fail.
func TestTheRulesFindWhatTheyForbid(t *testing.T) {
	for schema, rule := range map[string]string{
		`{"type":"array","items":{"type":"string"}}`:                                                   "$: the root is not an object",
		`{"type":"object","properties":{},"additionalProperties":false,"oneOf":[]}`:                    "$: oneOf",
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`:          "$.a: no description",
		`{"type":"object","properties":{"a":true},"additionalProperties":false}`:                       "$.a: a bare boolean",
		`{"type":"object","properties":{}}`:                                                            "$: open to unknown properties",
		`{"type":"object","properties":{"a":{"$ref":"#/x","description":"d"}}}`:                        "$.a: $ref",
		`{"type":"object","properties":{"a":{"description":"d"}},"additionalProperties":false}`:        "$.a: no type",
		`{"type":"object","properties":{"a":{"type":["string","null"],"description":"d"}}}`:            "$.a: no type",
		`{"type":"object","properties":{"a":{"type":"array","description":"d"}}}`:                      "$.a: a list of anything",
		`{"type":"object","properties":{"a":{"type":"array","items":{},"description":"d"}}}`:           "$.a[]: no type",
		`{"type":"object","properties":{"a":{"type":"object","additionalProperties":true}}}`:           "$.a: open to unknown properties",
		`{"$id":"x","type":"object","properties":{},"additionalProperties":false}`:                     "$: $id",
		`{"type":"object","properties":{"a":{"type":"string","description":"d"}},"required":["b"]}`:    "$: requires b, which it does not have",
		`{"type":"object","properties":{"a":{"type":"string","description":"no full stop anywhere"}}}`: "$.a: the description is not a sentence",
	} {
		assert.Contains(t, broken(t, json.RawMessage(schema)), rule, schema)
	}
}

func TestEveryExampleFitsItsSchema(t *testing.T) {
	for _, tool := range tools.Catalog(tools.Core{}) {
		schema := compile(t, schemas.Input(tool.Name))
		require.NotEmpty(t, tool.Examples, tool.Name)
		for _, example := range tool.Examples {
			assert.NoError(t, schema.Validate(parse(t, []byte(example.Input))), "%s %s", tool.Name, example.Input)
		}
		assert.Error(t, schema.Validate(parse(t, []byte(`{"bogus":1}`))), "%s takes an unknown argument", tool.Name)
	}
}

func TestUnknownToolHasNoSchema(t *testing.T) {
	assert.Nil(t, schemas.Input("../registry"))
	assert.Nil(t, schemas.Output("nothing"))
}

// broken lists the rules that a schema breaks, each with where.
func broken(t *testing.T, data json.RawMessage) []string {
	t.Helper()
	root, ok := parse(t, data).(map[string]any)
	require.True(t, ok, "a schema is a JSON object")
	var found []string
	say := func(at, format string, args ...any) {
		found = append(found, at+": "+fmt.Sprintf(format, args...))
	}
	if root["type"] != "object" {
		say("$", "the root is not an object")
	}
	var walk func(at string, node any)
	walk = func(at string, node any) {
		schema, ok := node.(map[string]any)
		if !ok {
			say(at, "a bare boolean")
			return
		}
		for _, keyword := range []string{"$ref", "$id", "$defs", "oneOf", "anyOf", "allOf", "not", "if"} {
			if _, used := schema[keyword]; used {
				say(at, "%s", keyword)
			}
		}
		switch schema["type"] {
		case "object":
			walkObject(at, schema, say, walk)
		case "array":
			if items, ok := schema["items"]; ok {
				walk(at+"[]", items)
			} else {
				say(at, "a list of anything")
			}
		case "string", "integer", "number", "boolean":
		default:
			say(at, "no type")
		}
	}
	walk("$", root)
	return found
}

// walkObject takes an object for a map when it has no properties but a schema
// for all of them.
func walkObject(at string, schema map[string]any, say func(string, string, ...any), walk func(string, any)) {
	if values, isMap := schema["additionalProperties"].(map[string]any); isMap {
		walk(at+".*", values)
		return
	}
	if schema["additionalProperties"] != false {
		say(at, "open to unknown properties")
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		walk(at+"."+name, property)
		if described, ok := property.(map[string]any); ok {
			switch text, _ := described["description"].(string); {
			case text == "":
				say(at+"."+name, "no description")
			case text[len(text)-1] != '.':
				say(at+"."+name, "the description is not a sentence")
			}
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := properties[name.(string)]; !ok {
			say(at, "requires %s, which it does not have", name)
		}
	}
}

func parse(t *testing.T, data []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	return value
}

func compile(t *testing.T, data json.RawMessage) *jsonschema.Schema {
	t.Helper()
	require.NotEmpty(t, data, "there is no schema: run make schemas")
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	require.NoError(t, compiler.AddResource("schema.json", parse(t, data)))
	schema, err := compiler.Compile("schema.json")
	require.NoError(t, err)
	return schema
}
