package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/strictjson"
)

// Validate returns everything that is wrong with what the registry says, nil
// for nothing. Which values the enumerations have is for [Parse] to check.
func (r *Registry) Validate() Problems {
	v := newValidation(r)
	if r.Version != Version {
		v.report(strictjson.Root.Key("version"), r.Version, flawf("write 1", "not a version of the registry format"))
	}
	v.globalHints()
	v.declaredHosts()
	v.bundles()
	for _, name := range v.names {
		v.service(name)
	}
	v.cycles()
	v.overlaps()
	return v.found.List()
}

// validation is one run of [Registry.Validate].
type validation struct {
	registry *Registry
	names    []string          // of the services, sorted
	valid    []string          // those that have a valid name
	owners   map[string]string // of the aliases; the first service where there are two
	hosts    []string          // sorted, with the local one
	claims   claims
	places   map[string]string // of hosts, by name

	variables map[string]called // who has the variable of that name
	asked     int               // suggestions made
	found     strictjson.Collector
}

func newValidation(r *Registry) *validation {
	v := &validation{registry: r, names: r.Names(), owners: map[string]string{}, claims: newClaims(), places: map[string]string{}}
	for _, name := range v.names {
		if nameFlaw(name).none() {
			v.valid = append(v.valid, name)
		}
		for _, alias := range r.Services[name].Aliases {
			if _, taken := v.owners[alias]; !taken {
				v.owners[alias] = name
			}
		}
	}
	v.variables = v.variableOwners()
	v.hosts = slices.Sorted(maps.Keys(r.Hosts))
	if _, declared := r.Hosts[LocalHost]; !declared {
		v.hosts = append(v.hosts, LocalHost)
		slices.Sort(v.hosts)
	}
	return v
}

// flaw is what is wrong with a value and what to write instead; the zero flaw
// is no flaw.
type flaw struct{ message, fix string }

func (f flaw) none() bool { return f.message == "" }

// flawf takes the fix first, so that the arguments of the format stay last.
func flawf(fix, format string, args ...any) flaw {
	return flaw{fmt.Sprintf(format, args...), fix}
}

func (v *validation) report(at strictjson.Path, value any, f flaw) {
	if f.none() || v.found.Full() {
		return
	}
	shown := strictjson.Excerpt(value)
	if shown == "null" {
		shown = "" // it was left out
	}
	v.found.Add(Problem{Path: string(at), Value: shown, Message: cut(f.message), Fix: cut(f.fix)})
}

// cut bounds a sentence that repeats names of the registry, which may be of
// any length where they are wrong.
func cut(sentence string) string {
	const most = 2000
	if len(sentence) <= most {
		return sentence
	}
	return strings.ToValidUTF8(sentence[:most], "") + "…"
}

// field reports a flaw of the optional text under key.
func (v *validation) field(at strictjson.Path, key, value string, check func(string) flaw) {
	if value != "" {
		v.required(at, key, value, check)
	}
}

// required reports a flaw of the text under key, empty or not.
func (v *validation) required(at strictjson.Path, key, value string, check func(string) flaw) {
	if f := check(value); !f.none() {
		v.report(at.Key(key), value, f)
	}
}

// list reports the flaws of the items of a list, and items that are there
// twice.
func (v *validation) list(at strictjson.Path, items []string, check func(string) flaw) {
	if len(items) == 0 {
		return
	}
	seen := make(map[string]struct{}, len(items))
	for i, item := range items {
		if v.found.Full() {
			return
		}
		f := check(item)
		if _, twice := seen[item]; twice && f.none() {
			f = flawf("remove one of them", "listed twice")
		}
		seen[item] = struct{}{}
		if !f.none() {
			v.report(at.Index(i), item, f)
		}
	}
}

// keys reports the flaws of the keys of an object.
func (v *validation) keys(at strictjson.Path, object map[string]string, check func(string) flaw) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if f := check(key); !f.none() {
			v.report(at.Key(key), key, f)
		}
	}
}

// suggest is the fix for a name that is not one of the valid ones.
func (v *validation) suggest(name string, valid []string) string {
	// Each suggestion reads every name: a registry that is wrong throughout
	// would take minutes.
	const most = 25
	if v.asked++; v.asked > most {
		return "write one of the names that exist"
	}
	return fault.DidYouMean(name, valid)
}

// service reports what is wrong with one service.
func (v *validation) service(name string) {
	if v.found.Full() {
		return
	}
	at, s := strictjson.Root.Key("services").Key(name), v.registry.Services[name]
	v.report(at, name, v.serviceFlaw(name))
	v.list(at.Key("aliases"), s.Aliases, func(alias string) flaw { return v.aliasFlaw(alias, name) })
	v.references(at.Key("dependsOn"), s.DependsOn, name)
	v.build(at.Key("build"), s.Build)
	v.hints(at, s)
	v.list(at.Key("inputs"), s.Inputs, inputFlaw)
	if s.Deploy != nil {
		v.deploy(at.Key("deploy"), name, s)
	}
	if s.State != nil {
		v.state(at.Key("state"), name, s)
	}
}

func inputFlaw(input string) flaw {
	if strings.TrimSpace(input) == "" {
		return flawf("write the name of an input of the flake, such as nixpkgs", "an empty name")
	}
	return flaw{}
}
