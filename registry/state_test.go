package registry_test

import (
	"testing"

	"homelab/registry"
)

// keeping is an edit of the state of grafana.
func keeping(state registry.State) func(*registry.Registry) {
	return grafana(func(s *registry.Service) { s.State = &state })
}

func TestValidateState(t *testing.T) {
	const at = "$.services.grafana.state."
	checkRules(t, []rule{
		{"items", keeping(registry.State{Items: []registry.StateItem{
			{}, {Volume: "data", Path: "/srv"}, {Volume: "a b"}, {Path: "srv"}, {Path: "/srv/"},
			{Path: "/srv/g", Exclude: []string{"/tmp", "a[", "../x", "cache/**"}}, {Volume: "data"}, {Volume: "data"}, {Path: "/srv/g"},
		}}), registry.Problems{
			problem(at+"items[0]", "{}", "neither a volume nor a path", "give it one of volume and path"),
			problem(at+"items[1]", `{"volume":"data","path":"/srv"}`, "both a volume and a path", "make it two items"),
			problem(at+"items[2].volume", `"a b"`, "not a name that Docker takes", "use letters, digits, '.', '_' and '-', a letter or digit first, at least two characters"),
			problem(at+"items[3].path", `"srv"`, "not an absolute path", "write an absolute path"),
			problem(at+"items[4].path", `"/srv/"`, "not the plain spelling of the path", `write "/srv"`),
			problem(at+"items[5].exclude[0]", `"/tmp"`, "the path is absolute", "write a path or glob below the item"),
			problem(at+"items[5].exclude[1]", `"a["`, `the path has a "[" without "]"`, "write a path or glob below the item"),
			problem(at+"items[5].exclude[2]", `"../x"`, `the path has a ".." component`, "write a path or glob below the item"),
			problem(at+"items[7].volume", `"data"`, "listed twice", "remove one of them"),
			problem(at+"items[8].path", `"/srv/g"`, "listed twice", "remove one of them")}},
		{"the rest", keeping(registry.State{
			Reauth:         []registry.Reauth{{Name: "key"}, {Name: ""}, {Name: "key"}},
			DowntimeBudget: "a minute",
			Stores: []string{"/srv", "/srv/../x", "bundles", "s3://", "s3://Bundles/x", "s3://bundles", "sftp://nas", "sftp://me:pw@nas/x",
				"https://nas/x", "/srv"},
			Every:     "weekly",
			Retention: &registry.Retention{Last: -1, Daily: -2, Weekly: -3, Monthly: -4},
		}), registry.Problems{
			problem(at+"reauth[1].name", `""`, "an empty name", "write what it is, such as Zigbee network key"),
			problem(at+"reauth[2].name", `"key"`, "listed twice", "choose another name, or remove one of them"),
			problem(at+"downtimeBudget", `"a minute"`, "not a duration", `write a number with a unit, such as "30s", "5m" or "1h30m"`),
			problem(at+"stores[1]", `"/srv/../x"`, "not the plain spelling of the path", `write "/x"`),
			problem(at+"stores[2]", `"bundles"`, "not a place for bundles", "write an absolute path, s3://bucket/prefix, sftp://user@host/path or restic:repository"),
			problem(at+"stores[3]", `"s3://"`, "the name of the bucket is not valid", "write s3://bucket/prefix, the bucket in lowercase letters, digits, '.' and '-'"),
			problem(at+"stores[4]", `"s3://Bundles/x"`, "the name of the bucket is not valid", "write s3://bucket/prefix, the bucket in lowercase letters, digits, '.' and '-'"),
			problem(at+"stores[6]", `"sftp://nas"`, "the path is missing", "write sftp://user@host/path"),
			problem(at+"stores[7]", `"sftp://me:…@nas/x"`, "a password in the address", "remove the password: the registry is read by many; use a key or a file of your own"),
			problem(at+"stores[8]", `"https://nas/x"`, `bundles cannot be kept in "https"`, "write an absolute path, s3://bucket/prefix, sftp://user@host/path or restic:repository"),
			problem(at+"stores[9]", `"/srv"`, "listed twice", "remove one of them"),
			problem(at+"every", `"weekly"`, "not a duration", `write a number with a unit, such as "30s", "5m" or "1h30m"`),
			problem(at+"retention.last", "-1", "a negative number", "write 0 or more"),
			problem(at+"retention.daily", "-2", "a negative number", "write 0 or more"),
			problem(at+"retention.weekly", "-3", "a negative number", "write 0 or more"),
			problem(at+"retention.monthly", "-4", "a negative number", "write 0 or more")}},
	})
}

func TestValidateSharedState(t *testing.T) {
	keep := func(r *registry.Registry, name, host string, items ...registry.StateItem) {
		s := r.Services["loki"]
		s.Deploy, s.State = &registry.Deploy{Host: host, Container: name + "1"}, &registry.State{Items: items}
		r.Services[name] = s
	}
	path := func(p string) registry.StateItem { return registry.StateItem{Path: p} }
	checkRules(t, []rule{
		{"apart", func(r *registry.Registry) {
			keep(r, "a", "", path("/srv/a"), path("/srv/a/cache"), registry.StateItem{Volume: "data"})
			keep(r, "b", "pi", path("/srv/a"), path("/srv"), registry.StateItem{Volume: "data"})
			keep(r, "c", "", path("/srv/a-b"), path("/srv/a.d/x"))
		}, nil},
		{"the same", func(r *registry.Registry) {
			keep(r, "a", "pi", path("/srv/a"), registry.StateItem{Volume: "data"})
			keep(r, "b", "pi", path("/srv/a"), registry.StateItem{Volume: "data", Class: "recomputable"})
		}, registry.Problems{
			problem("$.services.b.state.items[1].volume", `"data"`, "the volume is state of a on host pi already", "let one service keep it"),
			problem("$.services.b.state.items[0].path", `"/srv/a"`, "the path is state of a on host pi already", "let one service keep it")}},
		{"in one another", func(r *registry.Registry) {
			keep(r, "a", "", path("/srv/x/deep/er"), path("/data"), path("/data/own"))
			keep(r, "b", "", path("/srv/x"), path("/data/own/c"), path("/data-b"))
		}, registry.Problems{
			problem("$.services.b.state.items[1].path", `"/data/own/c"`, `the path is in "/data/own", state of a on host local`, "let one service keep both, or move one of them"),
			problem("$.services.a.state.items[0].path", `"/srv/x/deep/er"`, `the path is in "/srv/x", state of b on host local`, "let one service keep both, or move one of them")}},
		{"in the root", func(r *registry.Registry) {
			keep(r, "a", "", path("/"))
			keep(r, "b", "", path("/srv"))
		}, registry.Problems{
			problem("$.services.b.state.items[0].path", `"/srv"`, `the path is in "/", state of a on host local`, "let one service keep both, or move one of them")}},
	})
}

func TestValidateQuiesce(t *testing.T) {
	const at = "$.services.grafana.state.quiesce."
	const commandFix = `write the program and its arguments, such as ["pg_isready", "-q"]`
	const callFix = `write a method and a URL, such as ["POST", "http://localhost:8086/freeze"]`
	const unused = "it only counts with kind exec, http or dump"
	quiesce := func(q registry.Quiesce) func(*registry.Registry) { return keeping(registry.State{Quiesce: &q}) }
	x := []string{"x"}
	checkRules(t, []rule{
		{"default", quiesce(registry.Quiesce{}), nil},
		{"preset", quiesce(registry.Quiesce{Preset: "sqlite", Timeout: "30s"}), nil},
		{"exec", quiesce(registry.Quiesce{Kind: "exec", Freeze: x, Thaw: x}), nil},
		{"http", quiesce(registry.Quiesce{Kind: "http", Freeze: []string{"POST", "http://a/x"}, Thaw: []string{"DELETE", "https://a:1/x"}}), nil},
		{"dump", quiesce(registry.Quiesce{Kind: "dump", Freeze: x}), nil},
		{"dump that cleans up", quiesce(registry.Quiesce{Kind: "dump", Freeze: x, Thaw: x}), nil},
		{"kind and preset", quiesce(registry.Quiesce{Kind: "stop", Preset: "sqlite", Timeout: "soon"}), registry.Problems{
			problem(at+"preset", `"sqlite"`, "a preset brings its own kind", "keep one of them"),
			problem(at+"timeout", `"soon"`, "not a duration", `write a number with a unit, such as "30s", "5m" or "1h30m"`)}},
		{"exec without commands", quiesce(registry.Quiesce{Kind: "exec", Thaw: []string{""}}), registry.Problems{
			problem(at+"freeze", "", "exec needs a command to freeze", commandFix),
			problem(at+"thaw[0]", `""`, "the program has no name", "write the program")}},
		{"http without calls", quiesce(registry.Quiesce{Kind: "http", Freeze: []string{"http://a"}, Thaw: []string{"post", "a/b"}}), registry.Problems{
			problem(at+"freeze", `["http://a"]`, "not an HTTP call", callFix),
			problem(at+"thaw[0]", `"post"`, "not an HTTP method", "did you mean POST, PUT?"),
			problem(at+"thaw[1]", `"a/b"`, "not a URL", "write http://host:port/path")}},
		{"http without thaw", quiesce(registry.Quiesce{Kind: "http", Freeze: []string{"GET", "http://a"}}), registry.Problems{
			problem(at+"thaw", "", "not an HTTP call", callFix)}},
		{"dump without command", quiesce(registry.Quiesce{Kind: "dump", Thaw: []string{}}), registry.Problems{
			problem(at+"freeze", "", "dump needs a command that writes the dump", commandFix),
			problem(at+"thaw", "", "an empty command", commandFix)}},
		{"pause with commands", quiesce(registry.Quiesce{Kind: "pause", Freeze: x, Thaw: x}), registry.Problems{
			problem(at+"freeze", `["x"]`, unused, "remove it"),
			problem(at+"thaw", `["x"]`, unused, "remove it")}},
		{"preset with commands", quiesce(registry.Quiesce{Preset: "sqlite", Freeze: x}), registry.Problems{
			problem(at+"freeze", `["x"]`, unused, "remove it")}},
	})
}
