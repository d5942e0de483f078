package registry

import (
	"fmt"
	"slices"
	"strings"

	"homelab/internal/strictjson"
)

// cycles reports each dependency that closes a cycle when the services are
// followed by name: without these there would be no cycle left. It keeps its
// own stack, for a chain may be as long as the registry.
func (v *validation) cycles() {
	const (
		open = 1 + iota // on the stack
		done
	)
	state := make(map[string]int, len(v.names))
	var stack []string
	var next []int // for each on the stack, the dependency to follow
	push := func(name string) {
		state[name] = open
		stack, next = append(stack, name), append(next, 0)
	}
	for _, root := range v.names {
		if state[root] == 0 {
			push(root)
		}
		for len(stack) > 0 && !v.found.Full() {
			top := len(stack) - 1
			name, i := stack[top], next[top]
			dependsOn := v.registry.Services[name].DependsOn
			if i == len(dependsOn) {
				state[name] = done
				stack, next = stack[:top], next[:top]
				continue
			}
			next[top]++
			dependency := dependsOn[i]
			_, exists := v.registry.Services[dependency]
			switch {
			case !exists || dependency == name:
				// Reported with the names in dependsOn.
			case state[dependency] == 0:
				push(dependency)
			case state[dependency] == open:
				at := strictjson.Root.Key("services").Key(name).Key("dependsOn").Index(i)
				cycle := stack[slices.Index(stack, dependency):]
				v.report(at, dependency, flawf("remove one of these dependencies", "dependency cycle: %s", chain(cycle)))
			}
		}
	}
}

// chain spells a cycle; a long one is cut in the middle.
func chain(cycle []string) string {
	const most, tail = 20, 3
	names := slices.Concat(cycle, cycle[:1])
	if between := len(names) - most; between > 0 {
		names = slices.Concat(names[:most-tail], []string{fmt.Sprintf("… %d more …", between)}, names[len(names)-tail:])
	}
	return strings.Join(names, " → ")
}
