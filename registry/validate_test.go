package registry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/registry"
)

// rule is a change to a valid registry, and the problems it makes.
type rule struct {
	name string
	edit func(r *registry.Registry)
	want registry.Problems
}

// valid is a registry with the services grafana and loki and the host pi.
func valid() *registry.Registry {
	service := func(name string) registry.Service {
		return registry.Service{
			Build:  registry.Build{Targets: map[string]string{"x86_64-linux": "packages.x86_64-linux." + name}},
			Hints:  []string{"services/" + name},
			Deploy: &registry.Deploy{},
			State:  &registry.State{},
		}
	}
	return &registry.Registry{
		Version:  1,
		Hosts:    map[string]registry.Host{"pi": {Docker: "ssh://pi.lan"}},
		Services: map[string]registry.Service{"grafana": service("grafana"), "loki": service("loki")},
	}
}

// grafana is an edit of the service of that name.
func grafana(edit func(s *registry.Service)) func(*registry.Registry) {
	return func(r *registry.Registry) {
		s := r.Services["grafana"]
		edit(&s)
		r.Services["grafana"] = s
	}
}

func checkRules(t *testing.T, rules []rule) {
	t.Helper()
	for _, tt := range rules {
		t.Run(tt.name, func(t *testing.T) {
			r := valid()
			tt.edit(r)
			assert.Equal(t, tt.want, r.Validate())
		})
	}
}

func TestValidateVersionNamesAndInputs(t *testing.T) {
	const badName = "use lowercase letters, digits, '.', '_' and '-', a letter or digit first, at most 63 characters"
	long := strings.Repeat("a", 64)
	checkRules(t, []rule{
		{"valid", func(*registry.Registry) {}, nil},
		{"version", func(r *registry.Registry) { r.Version = 0 }, registry.Problems{
			problem("$.version", "0", "not a version of the registry format", "write 1")}},
		{"service names", func(r *registry.Registry) {
			s := r.Services["loki"]
			s.Deploy = nil
			r.Services = map[string]registry.Service{"": s, "-a": s, "Ha": s, "a b": s, "a.b_c-9": s, "é": s, long: s, long[1:]: s}
		}, registry.Problems{
			problem(`$.services[""]`, `""`, "not a valid name", badName),
			problem(`$.services["-a"]`, `"-a"`, "not a valid name", badName),
			problem("$.services.Ha", `"Ha"`, "not a valid name", badName),
			problem(`$.services["a b"]`, `"a b"`, "not a valid name", badName),
			problem("$.services."+long, `"`+long+`"`, "not a valid name", badName),
			problem(`$.services["é"]`, `"é"`, "not a valid name", badName)}},
		{"host names", func(r *registry.Registry) { r.Hosts["Pi"] = registry.Host{} }, registry.Problems{
			problem("$.hosts.Pi", `"Pi"`, "not a valid name", badName)}},
		{"aliases", func(r *registry.Registry) {
			grafana(func(s *registry.Service) { s.Aliases = []string{"g", "Dash", "grafana", "loki", "g", "logs"} })(r)
			loki := r.Services["loki"]
			loki.Aliases = []string{"l", "logs"}
			r.Services["loki"] = loki
		}, registry.Problems{
			problem("$.services.grafana.aliases[1]", `"Dash"`, "not a valid name", badName),
			problem("$.services.grafana.aliases[2]", `"grafana"`, "the alias is the name of the service itself", "remove it"),
			problem("$.services.grafana.aliases[3]", `"loki"`, "the alias is the name of another service", "choose another alias"),
			problem("$.services.grafana.aliases[4]", `"g"`, "listed twice", "remove one of them"),
			problem("$.services.loki.aliases[1]", `"logs"`, "the alias belongs to grafana already", "choose another alias, or take it from grafana")}},
		{"names that are one in a variable", func(r *registry.Registry) {
			s := r.Services["loki"]
			s.Deploy, s.State = nil, nil
			r.Services["home.assistant"], r.Services["home-assistant"] = s, s
			grafana(func(s *registry.Service) { s.Aliases = []string{"h-a", "h_a", "home_assistant", "gra-fana"} })(r)
			s.Aliases = []string{"h.a", "lo.ki", "lo_ki", "gra.fana"}
			r.Services["loki"] = s
		}, registry.Problems{
			problem("$.services.grafana.aliases[2]", `"home_assistant"`, "the same as the service home-assistant in NIX_HOME_ASSISTANT_TARGET", "choose another alias"),
			problem(`$.services["home.assistant"]`, `"home.assistant"`, "the same as the service home-assistant in NIX_HOME_ASSISTANT_TARGET", "rename one of them"),
			problem("$.services.loki.aliases[0]", `"h.a"`, "the same as h-a, an alias of grafana, in NIX_H_A_TARGET", "choose another alias"),
			problem("$.services.loki.aliases[3]", `"gra.fana"`, "the same as gra-fana, an alias of grafana, in NIX_GRA_FANA_TARGET", "choose another alias")}},
		{"inputs", grafana(func(s *registry.Service) { s.Inputs = []string{"nixpkgs", " ", "nixpkgs"} }), registry.Problems{
			problem("$.services.grafana.inputs[1]", `" "`, "an empty name", "write the name of an input of the flake, such as nixpkgs"),
			problem("$.services.grafana.inputs[2]", `"nixpkgs"`, "listed twice", "remove one of them")}},
	})
}

func TestValidateDependencies(t *testing.T) {
	dependsOn := func(r *registry.Registry, name string, on ...string) {
		s := r.Services["loki"]
		s.DependsOn = on
		s.Deploy = nil
		r.Services[name] = s
	}
	const remove = "remove one of these dependencies"
	checkRules(t, []rule{
		{"names", func(r *registry.Registry) {
			dependsOn(r, "prometheus", "loky", "prometheus", "zz9", "loki", "logs", "loki")
			loki := r.Services["loki"]
			loki.Aliases = []string{"logs"}
			r.Services["loki"] = loki
		}, registry.Problems{
			problem("$.services.prometheus.dependsOn[0]", `"loky"`, "no service has this name", "did you mean loki?"),
			problem("$.services.prometheus.dependsOn[1]", `"prometheus"`, "the service depends on itself", "remove it"),
			problem("$.services.prometheus.dependsOn[2]", `"zz9"`, "no service has this name", "valid: grafana, loki, prometheus"),
			problem("$.services.prometheus.dependsOn[4]", `"logs"`, "an alias where the name of a service is needed", "write loki"),
			problem("$.services.prometheus.dependsOn[5]", `"loki"`, "listed twice", "remove one of them")}},
		{"two cycles through one service", func(r *registry.Registry) {
			dependsOn(r, "a", "b", "c")
			dependsOn(r, "b", "a")
			dependsOn(r, "c", "d")
			dependsOn(r, "d", "a", "grafana")
		}, registry.Problems{
			problem("$.services.b.dependsOn[0]", `"a"`, "dependency cycle: a → b → a", remove),
			problem("$.services.d.dependsOn[0]", `"a"`, "dependency cycle: a → c → d → a", remove)}},
		{"a cycle behind a chain", func(r *registry.Registry) {
			dependsOn(r, "a", "b")
			dependsOn(r, "b", "d")
			dependsOn(r, "c", "b")
			dependsOn(r, "d", "c")
		}, registry.Problems{
			problem("$.services.c.dependsOn[0]", `"b"`, "dependency cycle: b → d → c → b", remove)}},
		{"a diamond", func(r *registry.Registry) {
			dependsOn(r, "a", "b", "c")
			dependsOn(r, "b", "d")
			dependsOn(r, "c", "d")
			dependsOn(r, "d")
		}, nil},
	})
}

func TestValidateHints(t *testing.T) {
	const root = "root of the repository"
	checkRules(t, []rule{
		{"none", grafana(func(s *registry.Service) { s.Hints = nil }), registry.Problems{
			problem("$.services.grafana.hints", "[]", "a service without hints would never be rebuilt",
				"list the files and folders that its image is built from")}},
		{"good", grafana(func(s *registry.Service) {
			s.Hints = []string{".", "a/", `a\[b`, `win\dows`, "a..b", "**/*.{nix,json}", "[!a]*", "...", "a b"}
			s.Exclude = []string{"**/*.md"}
		}), nil},
		{"bad", grafana(func(s *registry.Service) {
			s.Hints = []string{"", "/etc/x", "//", "../x", "a/../../x", "!a", "a\x00b", "a[", "{a,b", "a", "{..,a}/b", "a"}
		}), registry.Problems{
			problem("$.services.grafana.hints[0]", `""`, "the path is empty", `write "." for the whole repository`),
			problem("$.services.grafana.hints[1]", `"/etc/x"`, "the path is absolute", "write it relative to the "+root+`, such as "etc/x"`),
			problem("$.services.grafana.hints[2]", `"//"`, "the path is absolute", "write it relative to the "+root),
			problem("$.services.grafana.hints[3]", `"../x"`, `the path has a ".." component`, "write it relative to the "+root),
			problem("$.services.grafana.hints[4]", `"a/../../x"`, `the path has a ".." component`, "write it relative to the "+root),
			problem("$.services.grafana.hints[5]", `"!a"`, `a hint cannot start with "!"`, `write "a" in exclude`),
			problem("$.services.grafana.hints[6]", `"a\u0000b"`, "the path has a NUL byte, which no path can have", ""),
			problem("$.services.grafana.hints[7]", `"a["`, `the path has a "[" without "]"`, `write \[ for the character`),
			problem("$.services.grafana.hints[8]", `"{a,b"`, `the path has a "{" without "}"`, `write \{ for the character`),
			problem("$.services.grafana.hints[10]", `"{..,a}/b"`, `the path expands to "../b", which has a ".." component`, "write it relative to the "+root),
			problem("$.services.grafana.hints[11]", `"a"`, "listed twice", "remove one of them")}},
		{"exclude", grafana(func(s *registry.Service) { s.Exclude = []string{"!a", "/a", "b", "b"} }), registry.Problems{
			problem("$.services.grafana.exclude[0]", `"!a"`, `what is in exclude is excluded without "!"`, `write "a"`),
			problem("$.services.grafana.exclude[1]", `"/a"`, "the path is absolute", "write it relative to the "+root+`, such as "a"`),
			problem("$.services.grafana.exclude[3]", `"b"`, "listed twice", "remove one of them")}},
		{"global", func(r *registry.Registry) {
			r.GlobalHints = []registry.GlobalHint{
				{Path: "../x"}, {Path: "a", Services: []string{"grafana", "lokki", "grafana"}}, {Path: "a"}, {Path: "b", Services: []string{}},
			}
		}, registry.Problems{
			problem("$.globalHints[0].path", `"../x"`, `the path has a ".." component`, "write it relative to the "+root),
			problem("$.globalHints[1].services[1]", `"lokki"`, "no service has this name", "did you mean loki?"),
			problem("$.globalHints[1].services[2]", `"grafana"`, "listed twice", "remove one of them"),
			problem("$.globalHints[2].path", `"a"`, "the path is at $.globalHints[1] already", "remove one of them, and let the other name the services of both"),
			problem("$.globalHints[3].services", "[]", "an empty list", "leave it out for every service, or name some")}},
	})
}

func TestValidateBuild(t *testing.T) {
	const attrFix = `write a path of names with dots between them, such as packages.x86_64-linux.grafana-oci, other names in quotes ("1password")`
	attrs := func(attrs ...string) func(*registry.Registry) {
		return grafana(func(s *registry.Service) {
			s.Build.Targets = map[string]string{}
			for i, attr := range attrs {
				s.Build.Targets[registry.Systems[i]] = attr
			}
		})
	}
	bad := func(system, value, message, fix string) registry.Problem {
		return problem(`$.services.grafana.build.targets["`+system+`"]`, value, message, fix)
	}
	checkRules(t, []rule{
		{"no targets", grafana(func(s *registry.Service) { s.Build.Targets = map[string]string{} }), registry.Problems{
			problem("$.services.grafana.build.targets", "{}", "a service without targets cannot be built",
				`name the flake attribute of the image for each system, such as "x86_64-linux": "packages.x86_64-linux.grafana-oci"`)}},
		{"systems", grafana(func(s *registry.Service) {
			s.Build.Targets = map[string]string{"aarch64-linux": "a", "arch64-linux": "a", "linux/amd64": "a"}
		}), registry.Problems{
			bad("arch64-linux", `"arch64-linux"`, "not a Nix system that homelab knows", "did you mean aarch64-linux, armv6l-linux, armv7l-linux?"),
			bad("linux/amd64", `"linux/amd64"`, "not a Nix system that homelab knows", "valid: "+strings.Join(registry.Systems, ", "))}},
		{"good attributes", attrs("a", "a.b", `a."b.c".d`, "a-b_c'", "_1", `"1password"`), nil},
		{"bad attributes", attrs("", "-a", ".#a", "a..b", "a b", `a."b`, "1a", `"a#b"`, `a."$x"`), registry.Problems{
			bad("aarch64-darwin", `""`, "an empty flake attribute", attrFix),
			bad("aarch64-linux", `"-a"`, "not a flake attribute", attrFix),
			bad("armv6l-linux", `".#a"`, "not a flake attribute", "write only what comes after the #: the flake is that of the repository"),
			bad("armv7l-linux", `"a..b"`, "not a flake attribute", attrFix),
			bad("i686-linux", `"a b"`, "not a flake attribute", attrFix),
			bad("powerpc64le-linux", `"a.\"b"`, "not a flake attribute", attrFix),
			bad("riscv64-linux", `"1a"`, "not a flake attribute", attrFix),
			bad("s390x-linux", `"\"a#b\""`, "not a flake attribute", "write only what comes after the #: the flake is that of the repository"),
			bad("x86_64-darwin", `"a.\"$x\""`, "not a flake attribute", attrFix)}},
		{"image with a tag", grafana(func(s *registry.Service) { s.Build.Image = "lan:5000/grafana:1" }), registry.Problems{
			problem("$.services.grafana.build.image", `"lan:5000/grafana:1"`, "not the name of a repository of images", "write the name without the tag")}},
		{"image with a digest", grafana(func(s *registry.Service) { s.Build.Image = "a@sha256:00" }), registry.Problems{
			problem("$.services.grafana.build.image", `"a@sha256:00"`, "not the name of a repository of images", "write the name without the digest")}},
		{"image in capitals", grafana(func(s *registry.Service) { s.Build.Image = "Grafana" }), registry.Problems{
			problem("$.services.grafana.build.image", `"Grafana"`, "not the name of a repository of images",
				"write lowercase letters and digits, with '.', '_', '-' and '/' between them")}},
	})
}
