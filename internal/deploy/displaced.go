package deploy

import (
	"path"
	"slices"
	"strings"

	"homelab/internal/fault"
	"homelab/registry"
)

// Displaced is an item of state that a container has elsewhere on its host than another
// one is to have it.
type Displaced struct {
	Item registry.StateItem // as it is to be
	From registry.StateItem // where the container has it
	Why  error              // that it cannot be moved from there to there; nil: it can
}

// DisplacedItems are those among items that a container which mounts was has elsewhere than
// one that mounts will: what the two have at the same place within is the same item.
// Where the first has nothing, nothing is displaced.
func DisplacedItems(items []registry.StateItem, was, will []Mount) []Displaced {
	all := []Displaced{}
	for _, item := range items {
		if d := displaced(item, was, will); d != nil {
			all = append(all, *d)
		}
	}
	return all
}

func displaced(item registry.StateItem, was, will []Mount) *Displaced {
	var found *Displaced
	for _, inside := range insides(item, will) {
		m, below := mountAt(was, inside)
		if m == nil {
			continue
		}
		from := registry.StateItem{Volume: m.Volume, Exclude: item.Exclude, Class: item.Class}
		if m.Volume == "" {
			from.Path, below = path.Join(m.Source, below), ""
		}
		if below == "" && from.Volume == item.Volume && from.Path == item.Path {
			return nil
		}
		if found == nil {
			found = &Displaced{Item: item, From: from, Why: immovable(item, from, inside, below, was, will)}
		}
	}
	if found != nil || item.Volume != "" {
		return found
	}
	for _, m := range will {
		if m.Source == "" || !within(m.Source, item.Path) {
			continue
		}
		if before, below := mountAt(was, m.Target); before != nil && (before.Volume != "" || path.Join(before.Source, below) != m.Source) {
			return &Displaced{Item: item, From: registry.StateItem{Volume: before.Volume, Path: before.Source},
				Why: fault.Newf(fault.Precondition, "name in state.items what is mounted", "%s is mounted in parts, and %s was elsewhere", item.Name(), m.Source)}
		}
	}
	return nil
}

// immovable is why an item cannot be moved from where it is.
func immovable(item, from registry.StateItem, inside, below string, was, will []Mount) error {
	if below != "" {
		return fault.Newf(fault.Precondition, "stop the service, copy it by hand, then deploy", "%s is %s in volume %s, of which only all can be moved", item.Name(), below, from.Volume)
	}
	for _, m := range was {
		if m.Shares(Mount{Volume: item.Volume, Source: item.Path}) {
			return fault.Newf(fault.Precondition, "name another place in the registry", "%s is to be where the container that runs has %s: it would not be kept as it is", item.Name(), m.Target)
		}
		is := func(o Mount) bool { return o.Target == m.Target }
		if m.Target != inside && within(m.Target, inside) && !slices.ContainsFunc(will, is) {
			return fault.Newf(fault.Precondition, "mount that too, and name it in state.items", "of %s the container that runs has %s elsewhere, and the registry does not mount it", item.Name(), m.Target)
		}
	}
	return nil
}

// insides are the places in a container where its mounts have an item.
func insides(item registry.StateItem, mounts []Mount) []string {
	all := []string{}
	for i := range mounts {
		m, inside := &mounts[i], ""
		switch {
		case item.Volume != "" && m.Volume == item.Volume:
			inside = m.Target
		case item.Path != "" && m.Source != "" && within(item.Path, m.Source):
			inside = path.Join(m.Target, strings.TrimPrefix(item.Path, m.Source))
		default:
			continue
		}
		if seen, _ := mountAt(mounts, inside); seen == m {
			all = append(all, inside)
		}
	}
	return all
}

// mountAt is the mount that has a place in a container, and where below it; nil: none has.
func mountAt(mounts []Mount, inside string) (found *Mount, below string) {
	for i := range mounts {
		if m := &mounts[i]; within(inside, m.Target) && (found == nil || len(m.Target) > len(found.Target)) {
			found = m
		}
	}
	if found != nil {
		below = strings.TrimPrefix(strings.TrimPrefix(inside, found.Target), "/")
	}
	return found, below
}

// Kept are those that are not recomputable.
func Kept(all []Displaced) []Displaced {
	return slices.DeleteFunc(all, func(d Displaced) bool { return d.Item.Class == "recomputable" })
}

// MoveWithin is the call that moves the state of a service within its host.
func MoveWithin(service, host string) string {
	return "homelab state migrate " + service + " --to-host " + host
}
