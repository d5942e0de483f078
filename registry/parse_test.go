package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/strictjson"
	"homelab/registry"
)

func problem(path, value, message, fix string) registry.Problem {
	return registry.Problem{Path: path, Value: value, Message: message, Fix: fix}
}

// problemsOf parses what cannot be parsed.
func problemsOf(t *testing.T, data string) registry.Problems {
	t.Helper()
	r, err := registry.Parse([]byte(data))
	require.Nil(t, r)
	var problems registry.Problems
	require.ErrorAs(t, err, &problems)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
	return problems
}

func complete(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/complete.json")
	require.NoError(t, err)
	return data
}

func TestParseComplete(t *testing.T) {
	got, err := registry.Parse(complete(t))
	require.NoError(t, err)

	var want registry.Registry
	decoder := json.NewDecoder(bytes.NewReader(complete(t)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&want))
	assert.Equal(t, &want, got)
	assert.NotNil(t, got.Services["grafana"].Inputs, "no input matters")
	assert.Nil(t, got.Services["prometheus"].Inputs, "every input matters")

	written, err := json.Marshal(got)
	require.NoError(t, err)
	again, err := registry.Parse(written)
	require.NoError(t, err)
	assert.Equal(t, got, again)

	unused := map[string]bool{}
	markUnused(reflect.ValueOf(*got), unused)
	for field, isUnused := range unused {
		assert.False(t, isUnused, "testdata/complete.json does not use %s", field)
	}
}

// markUnused finds the fields that are zero wherever their struct occurs.
func markUnused(v reflect.Value, unused map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			markUnused(v.Elem(), unused)
		}
	case reflect.Slice:
		for i := range v.Len() {
			markUnused(v.Index(i), unused)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			markUnused(v.MapIndex(key), unused)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			before, seen := unused[name]
			unused[name] = v.Field(i).IsZero() && (before || !seen)
			markUnused(v.Field(i), unused)
		}
	}
}

func TestParseReportsAllProblemsAtOnce(t *testing.T) {
	got := problemsOf(t, `{
		"version": 2,
		"host": {},
		"services": {
			"a": {"build": {"targets": {"x86_64-linx": "packages.a"}}, "hints": ["/etc", "a"], "dependsOn": ["b"],
				"deploy": {"host": "attic", "container": "web", "restart": "allways"}},
			"b": {"build": {"image": 7}, "hints": [], "dependsOn": ["a"], "deploy": {"container": "web", "ports": "80:80"}},
			"c": {"builds": {}, "hints": ["c", 3]}
		}
	}`)
	assert.Equal(t, registry.Problems{
		problem("$.version", "2", "not the valid value", "write 1"),
		problem("$.host", "{}", `unknown field "host"`, "did you mean hosts? valid: $schema, version, globalHints, hosts, bundles, services"),
		problem("$.services.a.deploy.restart", `"allways"`, "not one of the valid values", "did you mean always? valid: no, always, on-failure, unless-stopped"),
		problem("$.services.b.build.image", "7", "wanted a string, got a number", `write "7"`),
		problem("$.services.b.build.targets", "", "missing required field", `add "targets", an object`),
		problem("$.services.b.deploy.ports", `"80:80"`, "wanted a list of strings, got a string", `write ["80:80"]`),
		problem("$.services.c.builds", "{}", `unknown field "builds"`, "did you mean build? valid: description, aliases, dependsOn, build, hints, exclude, inputs, deploy, state"),
		problem("$.services.c.hints[1]", "3", "wanted a string, got a number", `write "3"`),
		problem("$.services.c.build", "", "missing required field", `add "build", an object`),
		problem(`$.services.a.build.targets["x86_64-linx"]`, `"x86_64-linx"`, "not a Nix system that homelab knows", "did you mean x86_64-linux?"),
		problem("$.services.a.hints[0]", `"/etc"`, "the path is absolute", `write it relative to the root of the repository, such as "etc"`),
		problem("$.services.a.deploy.host", `"attic"`, "no host has this name", "valid: local"),
		problem("$.services.b.hints", "[]", "a service without hints would never be rebuilt", "list the files and folders that its image is built from"),
		problem("$.services.b.dependsOn[0]", `"a"`, "dependency cycle: a → b → a", "remove one of these dependencies"),
	}, got)
}

func TestParseLeavesOutWhatFollowsFromAnotherProblem(t *testing.T) {
	for name, tt := range map[string]struct{ data, path string }{
		"no services":      {`{"version":1,"globalHints":[{"path":"a","services":["b"]}]}`, "$.services"},
		"hosts unreadable": {`{"version":1,"hosts":[],"services":{"a":{"build":{"targets":{"x86_64-linux":"a"}},"hints":["a"],"deploy":{"host":"pi"}}}}`, "$.hosts"},
		"service":          {`{"version":1,"services":{"a.b":3}}`, `$.services["a.b"]`},
		"not an object":    {`[]`, "$"},
		"syntax":           {`{"version":1,"services":{}`, "$"},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemsOf(t, tt.data)
			require.Len(t, got, 1)
			assert.Equal(t, tt.path, got[0].Path)
		})
	}
}

func TestParseErrorCountsAndShowsProblems(t *testing.T) {
	_, err := registry.Parse([]byte(`{"version":2,"services":{}}`))
	assert.EqualError(t, err, "the registry has 1 problem:\n$.version: not the valid value (2); write 1")

	_, err = registry.Parse([]byte(`{"version":1,"services":{` + strings.Repeat(`"A":0,`, 11) + `"a":0}}`))
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 12)
	assert.Equal(t, "the registry has 22 problems:", lines[0])
	assert.Equal(t, "… and 12 more", lines[11])
}

func TestParseRefusesAFileThatIsTooLarge(t *testing.T) {
	data := append(complete(t), bytes.Repeat([]byte(" "), 50<<20)...)
	_, err := registry.Parse(data)
	assert.Equal(t, &fault.Error{
		Code:    fault.InvalidArgument,
		Message: "the registry has 50 MiB, more than the 32 MiB that are read",
		Hint:    "check that the file or attribute is the registry: one with 10,000 services has about 10 MiB",
	}, err)
}

// fleet is a registry of so many services with ten hints each; extra is more
// fields of each service.
func fleet(services int, extra func(i int) string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"version":1,"services":{`)
	for i := range services {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"service-%d":{"build":{"targets":{"x86_64-linux":"packages.x86_64-linux.service-%d-oci"}},"hints":[`, i, i)
		for j := range 8 {
			fmt.Fprintf(&b, `"services/group-%02d/service-%d/part-%d/of-the-sources/main.go",`, i%50, i, j)
		}
		fmt.Fprintf(&b, `"modules/group-%02d/**/service-%d-*.nix","dashboards/service-%d.{json,yaml}"`, i%50, i, i)
		b.WriteByte(']')
		if extra != nil {
			b.WriteString("," + extra(i))
		}
		b.WriteByte('}')
	}
	b.WriteString("}}")
	return b.Bytes()
}

func TestParseManyServices(t *testing.T) {
	const n = 10_000
	deploy := `"deploy":{"ports":["10.0.%d.%d:80:80"]},"state":{"items":[{"path":"/srv/%d"}]}`
	chain := func(last int) []byte {
		return fleet(n, func(i int) string {
			next := i + 1
			if next == n {
				next = last
			}
			dependsOn := fmt.Sprintf(`"service-%d"`, next)
			if next < 0 {
				dependsOn = ""
			}
			return fmt.Sprintf(`"dependsOn":[%s],"aliases":["s%d"],`+deploy, dependsOn, i, i/250, i%250, i)
		})
	}
	t.Run("a long chain", func(t *testing.T) {
		r, err := registry.Parse(chain(-1))
		require.NoError(t, err)
		assert.Len(t, r.Services, n)
	})
	t.Run("a long cycle", func(t *testing.T) {
		got := problemsOf(t, string(chain(0)))
		require.Len(t, got, 1)
		assert.Equal(t, `$.services["service-9999"].dependsOn[0]`, got[0].Path)
		assert.Equal(t, "dependency cycle: service-0 → service-1 → service-2 → service-3 → service-4 → service-5 → service-6 → "+
			"service-7 → service-8 → service-9 → service-10 → service-11 → service-12 → service-13 → service-14 → service-15 → "+
			"service-16 → … 9981 more … → service-9998 → service-9999 → service-0", got[0].Message)
	})
	t.Run("wrong throughout", func(t *testing.T) {
		start := time.Now()
		_, err := registry.Parse(fleet(n, func(i int) string {
			return fmt.Sprintf(`"dependsOn":["servise-%d"],"deploy":{"host":"h%d","ports":["80:80"]},"state":{"items":[{"path":"/srv/a"}]}`, i, i%3)
		}))
		var problems registry.Problems
		require.ErrorAs(t, err, &problems)
		assert.Len(t, problems, strictjson.MaxProblems+1)
		assert.True(t, strings.HasPrefix(err.Error(), "the registry has more than 1000 problems:\n"))
		assert.Less(t, len(err.Error()), 5000)
		assert.Less(t, time.Since(start), 10*time.Second, "quadratic")
	})
	t.Run("names without end", func(t *testing.T) {
		long := strings.Repeat("x", 1<<20)
		_, err := registry.Parse(fleet(10, func(i int) string {
			return fmt.Sprintf(`"dependsOn":[%q,"service-%d"],"aliases":[%q],"deploy":{"host":%q,"container":%q}`, long, (i+1)%10, long, long, long)
		}))
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 10_000)
	})
}

func BenchmarkParse(b *testing.B) {
	data := fleet(1000, nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
