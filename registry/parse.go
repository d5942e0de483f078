package registry

import (
	"fmt"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/strictjson"
)

// MaxSize is the largest registry that [Parse] reads, in bytes.
const MaxSize = 32 << 20

// Parse reads a registry and validates it. Its error is a [fault.Error] that
// unwraps to [Problems], all of them.
func Parse(data []byte) (*Registry, error) {
	if len(data) > MaxSize {
		return nil, fault.Newf(fault.InvalidArgument,
			"check that the file or attribute is the registry: one with 10,000 services has about 10 MiB",
			"the registry has %d MiB, more than the %d MiB that are read", len(data)>>20, MaxSize>>20)
	}
	var r Registry
	problems := Problems(strictjson.Decode(data, &r, strictjson.Options{}))
	if meaning := r.Validate(); len(problems) == 0 {
		problems = meaning
	} else {
		problems = merge(problems, meaning)
	}
	if len(problems) == 0 {
		return &r, nil
	}
	return nil, &fault.Error{
		Code:    fault.InvalidArgument,
		Message: fmt.Sprintf("the registry has %s:\n%s", problems.count(), problems.Error()),
		Hint:    "correct the registry, then check it with: homelab registry check",
		Err:     problems,
	}
}

// merge adds to the problems of form those of meaning that do not merely
// follow from them: what could not be read is empty, and emptiness is often
// wrong too.
func merge(form, meaning Problems) Problems {
	unread := map[string]bool{}
	for _, p := range form {
		unread[p.Path] = true
	}
	// Without the hosts or the services every reference to one is unknown.
	if unread["$.hosts"] || unread["$.services"] {
		return form
	}
	var all strictjson.Collector
	for _, p := range form {
		all.Add(p)
	}
	for _, p := range meaning {
		if !within(p.Path, unread) {
			all.Add(p)
		}
	}
	return all.List()
}

// within says whether one of the paths is path or contains it.
func within(path string, paths map[string]bool) bool {
	for path != "" {
		if paths[path] {
			return true
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return false
}
