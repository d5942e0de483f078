package plan

import (
	"slices"

	"homelab/registry"
)

// spread follows dependsOn from the services that are touched themselves to
// all that depend on them.
type spread struct {
	names   []string
	needs   [][]int // direct dependencies, by service
	own     []bool  // touched by a change of its own
	certain []reach // from services that certainly changed
	any     []reach // from these and the doubtful ones
}

// reach says whether, and from where, a service was reached: next is the
// dependency that leads to root, the service that changed.
type reach struct {
	reached    bool
	next, root int
}

// needsOf gives the direct dependencies of a service.
func needsOf(reg *registry.Registry, names []string) func(i int) []string {
	return func(i int) []string { return reg.Services[names[i]].DependsOn }
}

func newSpread(names []string, needs func(i int) []string, verdicts []verdict) *spread {
	s := &spread{names: names, needs: make([][]int, len(names)), own: make([]bool, len(names))}
	dependents := make([][]int, len(names))
	for i := range names {
		for _, dependency := range needs(i) {
			at, _ := slices.BinarySearch(names, dependency)
			s.needs[i] = append(s.needs[i], at)
			dependents[at] = append(dependents[at], i)
		}
		slices.Sort(s.needs[i])
		s.own[i] = verdicts[i].certain || verdicts[i].doubtful
	}
	s.certain = flood(dependents, func(i int) bool { return verdicts[i].certain })
	s.any = flood(dependents, func(i int) bool { return s.own[i] })
	return s
}

// flood goes breadth first, so that every chain is a shortest one.
func flood(dependents [][]int, source func(int) bool) []reach {
	reached := make([]reach, len(dependents))
	var queue []int
	for i := range dependents {
		if source(i) {
			reached[i] = reach{true, i, i}
			queue = append(queue, i)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, dependent := range dependents[at] {
			if !reached[dependent].reached {
				reached[dependent] = reach{true, at, reached[at].root}
				queue = append(queue, dependent)
			}
		}
	}
	return reached
}

func (s *spread) touched(i int) bool { return s.any[i].reached }

// dependencies are the direct dependencies of a service that are touched.
func (s *spread) dependencies(i int) []int {
	return slices.DeleteFunc(slices.Clone(s.needs[i]), func(at int) bool { return !s.any[at].reached })
}

// namesOf are the names of services.
func (s *spread) namesOf(services []int) []string {
	names := make([]string, len(services))
	for i, at := range services {
		names[i] = s.names[at]
	}
	return names
}

// maxVia bounds a chain; the middle of a longer one is left out.
const maxVia = 16

// chain names the services from a touched one to that which changed by itself.
func (s *spread) chain(from int) []string {
	names := []string{s.names[from]}
	for at := from; !s.own[at]; {
		if len(names) == maxVia-2 {
			return append(names, "…", s.names[s.any[at].root])
		}
		at = s.any[at].next
		names = append(names, s.names[at])
	}
	return names
}
