package registry

import (
	"strings"

	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

var (
	nameSyntax   = lazy.Regexp(`^[a-z0-9][a-z0-9._-]*$`)
	dockerSyntax = lazy.Regexp(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
)

// maxName is the longest name of a service in bytes: that of a DNS label.
const maxName = 63

// nameFlaw checks the name of a service or a host, or an alias.
func nameFlaw(name string) flaw {
	if len(name) <= maxName && nameSyntax().MatchString(name) {
		return flaw{}
	}
	return flawf("use lowercase letters, digits, '.', '_' and '-', a letter or digit first, at most 63 characters",
		"not a valid name")
}

// TargetVariable is the environment variable that chooses what is built for the
// service of that name or alias. Names that differ in '-', '.' and '_' alone have
// the same: no two services can be told apart by that.
func TargetVariable(nameOrAlias string) string {
	return "NIX_" + inVariable.Replace(strings.ToUpper(nameOrAlias)) + "_TARGET"
}

var inVariable = strings.NewReplacer("-", "_", ".", "_")

// called is what a service goes by.
type called struct{ name, service string }

func (c called) String() string {
	if c.name == c.service {
		return "the service " + c.name
	}
	return c.name + ", an alias of " + c.service + ","
}

// variableOwners are the first names, or else aliases, that have each variable.
func (v *validation) variableOwners() map[string]called {
	owners := map[string]called{}
	take := func(c called) {
		if _, taken := owners[TargetVariable(c.name)]; !taken {
			owners[TargetVariable(c.name)] = c
		}
	}
	for _, name := range v.valid {
		take(called{name, name})
	}
	for _, service := range v.names {
		for _, alias := range v.registry.Services[service].Aliases {
			take(called{alias, service})
		}
	}
	return owners
}

// variableFlaw checks that a name or alias of the service has a variable that is
// no other service's.
func (v *validation) variableFlaw(name, service, fix string) flaw {
	variable := TargetVariable(name)
	if owner, taken := v.variables[variable]; taken && owner.service != service {
		return flawf(fix, "the same as %s in %s", owner, variable)
	}
	return flaw{}
}

// serviceFlaw checks the name of a service.
func (v *validation) serviceFlaw(name string) flaw {
	if f := nameFlaw(name); !f.none() {
		return f
	}
	return v.variableFlaw(name, name, "rename one of them")
}

// dockerNameFlaw checks the name of a container, a volume or a network, by the
// rule of the Docker engine (daemon/names in its source).
func dockerNameFlaw(name string) flaw {
	if dockerSyntax().MatchString(name) {
		return flaw{}
	}
	return flawf("use letters, digits, '.', '_' and '-', a letter or digit first, at least two characters",
		"not a name that Docker takes")
}

// aliasFlaw checks an alias of the service.
func (v *validation) aliasFlaw(alias, service string) flaw {
	if f := nameFlaw(alias); !f.none() {
		return f
	}
	if alias == service {
		return flawf("remove it", "the alias is the name of the service itself")
	}
	if _, isName := v.registry.Services[alias]; isName {
		return flawf("choose another alias", "the alias is the name of another service")
	}
	if owner := v.owners[alias]; owner != service {
		return flawf("choose another alias, or take it from "+owner, "the alias belongs to %s already", owner)
	}
	return v.variableFlaw(alias, service, "choose another alias")
}

// references checks a list of names of services. The service self, if there is
// one, cannot be among them.
func (v *validation) references(at strictjson.Path, names []string, self string) {
	v.list(at, names, func(name string) flaw {
		if _, exists := v.registry.Services[name]; exists {
			if name == self {
				return flawf("remove it", "the service depends on itself")
			}
			return flaw{}
		}
		if owner, isAlias := v.owners[name]; isAlias {
			return flawf("write "+owner, "an alias where the name of a service is needed")
		}
		return flawf(v.suggest(name, v.valid), "no service has this name")
	})
}
