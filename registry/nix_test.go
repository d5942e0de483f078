package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/registry"
)

// evalNix evaluates an expression in this folder. It does not go through
// internal/nix, which is a floor above and evaluates flakes only.
func evalNix(t *testing.T, expression string) command.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := command.Run(ctx, command.Cmd{
		Name: "nix",
		Args: []string{"--extra-experimental-features", "nix-command", "eval", "--impure", "--json", "--expr", expression},
	})
	require.NoError(t, err)
	return result
}

func evalJSON(t *testing.T, expression string) []byte {
	t.Helper()
	result := evalNix(t, expression)
	require.Zero(t, result.Exit, "%s", result.Stderr)
	return result.Stdout
}

func TestNixRegistry(t *testing.T) {
	ways := map[string]string{
		"plain":  `import ./. { }`,
		"module": `import ./. { lib = import ./testdata/nix/stub-lib.nix; }`,
	}
	for way, check := range ways {
		for _, name := range []string{"minimal", "full"} {
			t.Run(way+"/"+name, func(t *testing.T) {
				got := evalJSON(t, fmt.Sprintf(`%s (import ./testdata/nix/%s.nix)`, check, name))
				want, err := os.ReadFile("testdata/nix/" + name + ".json")
				require.NoError(t, err)
				assert.JSONEq(t, string(want), string(got))

				_, err = registry.Parse(got)
				assert.NoError(t, err)
			})
		}
	}
}

// problemLine does not match the source excerpts in the traces of newer Nix.
var problemLine = regexp.MustCompile(`(?:wrong: |; )\$\.?`)

func TestNixRegistryRefuses(t *testing.T) {
	const service = `build.targets.x86_64-linux = "packages.x86_64-linux.a"; hints = [ "a" ];`
	tests := []struct {
		name     string
		registry string
		problems []string
	}{
		{"not a set", `[ ]`, []string{`$: must be an attribute set, not a list`}},
		{"nothing", `{ }`, []string{`$.services: is required: The services, by name.`, `$.version: is required`}},
		{"version", `{ version = 2; services = { }; }`, []string{`$.version: must be one of 1, not 2`}},
		{"unknown field", `{ version = 1; services.a = { ` + service + ` hint = "b"; }; }`,
			[]string{`$.services.a.hint: unknown field; valid: aliases, build, dependsOn, deploy, description, exclude, hints, inputs, state`}},
		{"name that needs quotes", `{ version = 1; services.home-assistant = { ` + service + ` image = "x"; }; }`,
			[]string{`$.services["home-assistant"].image: unknown field`}},
		{"required in a service", `{ version = 1; services.a = { }; }`,
			[]string{`$.services.a.build: is required: What to build.`, `$.services.a.hints: is required`}},
		{"deep in lists", `{ version = 1; services.a = { ` + service + ` state.items = [ { volume = "a"; } { class = "durabel"; } ]; }; }`,
			[]string{`$.services.a.state.items[1].class: must be one of "durable", "recomputable", "secret", not "durabel"`}},
		{"port as a string", `{ version = 1; services.a = { ` + service + ` deploy.health = { kind = "http"; port = "80"; }; }; }`,
			[]string{`$.services.a.deploy.health.port: must be an integer, not "80"`}},
		{"path for a string", `{ version = 1; services.a = { build.targets = { }; hints = [ ./x ]; }; }`,
			[]string{`$.services.a.hints[0]: must be a string, not a path`}},
		{"string for a list", `{ version = 1; services.a = { build.targets = { }; hints = "x"; }; }`,
			[]string{`$.services.a.hints: must be a list, not "x"`}},
		{"function", `{ version = 1; services.a = { lib }: { }; }`,
			[]string{`$.services.a: must be an attribute set, not a function`}},
		{"boolean", `{ version = 1; services.a = { ` + service + ` deploy.volumes = [ { name = "a"; target = "/a"; readOnly = 1; } ]; }; }`,
			[]string{`$.services.a.deploy.volumes[0].readOnly: must be true or false, not 1`}},
		{"fraction of bytes", `{ version = 1; services.a = { ` + service + ` deploy.resources.memoryBytes = 1.5; }; }`,
			[]string{`$.services.a.deploy.resources.memoryBytes: must be an integer, not 1.5`}},
		{"null in a list", `{ version = 1; services.a = { ` + service + ` aliases = [ null ]; }; }`,
			[]string{`$.services.a.aliases[0]: must be a string, not null`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := evalNix(t, `import ./. { } (`+test.registry+`)`)
			require.NotZero(t, result.Exit, "accepted: %s", result.Stdout)
			said := string(result.Stderr)
			assert.Contains(t, said, "the registry is wrong: "+test.problems[0])
			for _, problem := range test.problems {
				assert.Contains(t, said, problem)
			}
			assert.Len(t, problemLine.FindAllString(said, -1), len(test.problems), "says more than what is wrong: %s", said)
		})
	}
}

// shape is a type of options.nix, and what it must be by registry.go.
type shape struct {
	Kind   string           `json:"kind"`
	Values []any            `json:"values"`
	Of     *shape           `json:"of"`
	Fields map[string]field `json:"fields"`
}

type field struct {
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Type        shape  `json:"type"`
}

func TestNixOptionsAreTheGoTypes(t *testing.T) {
	var declared shape
	const simplify = `
		let simplify = type: type
			// (if type ? of then { of = simplify type.of; } else { })
			// (if type ? fields then { fields = builtins.mapAttrs (_: option: {
				inherit (option) description;
				required = !(option ? default);
				type = simplify option.type;
			}) type.fields; } else { });
		in simplify (import ./schema.nix)`
	require.NoError(t, json.Unmarshal(evalJSON(t, simplify), &declared))

	assert.Equal(t, shapeOf(t, reflect.TypeFor[registry.Registry](), ""), declared)
}

func shapeOf(t *testing.T, goType reflect.Type, tag reflect.StructTag) shape {
	t.Helper()
	var values []any
	for rule := range strings.SplitSeq(tag.Get("jsonschema"), ",") {
		if value, ok := strings.CutPrefix(rule, "enum="); ok {
			values = append(values, value)
		}
	}
	switch goType.Kind() {
	case reflect.Pointer:
		return shapeOf(t, goType.Elem(), tag)
	case reflect.Struct:
		fields := map[string]field{}
		for member := range goType.Fields() {
			name, options, _ := strings.Cut(member.Tag.Get("json"), ",")
			fields[name] = field{
				Description: member.Tag.Get("jsonschema_description"),
				Required:    options == "",
				Type:        shapeOf(t, member.Type, member.Tag),
			}
		}
		return shape{Kind: "record", Fields: fields}
	case reflect.Slice:
		of := shapeOf(t, goType.Elem(), "")
		return shape{Kind: "list", Of: &of}
	case reflect.Map:
		of := shapeOf(t, goType.Elem(), "")
		return shape{Kind: "table", Of: &of}
	case reflect.String:
		if values != nil {
			return shape{Kind: "enum", Values: values}
		}
		return shape{Kind: "string"}
	case reflect.Int, reflect.Int64:
		if values != nil {
			require.Equal(t, []any{fmt.Sprint(registry.Version)}, values)
			return shape{Kind: "enum", Values: []any{float64(registry.Version)}}
		}
		return shape{Kind: "int"}
	case reflect.Float64:
		return shape{Kind: "number"}
	case reflect.Bool:
		return shape{Kind: "bool"}
	}
	require.FailNow(t, "options.nix has no word for this type", "%s", goType)
	return shape{}
}
