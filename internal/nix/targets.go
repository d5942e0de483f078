package nix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"homelab/internal/fault"
)

// Target is a derivation of a flake, evaluated. Its .drv file is in the store,
// ready for [Nix.Realise].
type Target struct {
	Drv        string // /nix/store/….drv
	Out        string // store path of its default output, built or not
	OutputName string // of the default output, mostly out
	Name       string // such as homelab-ha-oci.tar.gz
	System     string // that builds it, such as x86_64-linux
	ImageName  string // of the image it is, without tag (dockerTools, nix2container); empty when it does not say
	ImageTag   string // empty when it does not say
	Executable bool   // the output is a program that writes the image (isExe)
}

// Evaluated is what became of one attribute: a target, or an error.
type Evaluated struct {
	Target Target
	Err    error
}

// Targets evaluates attributes of a flake, such as
// packages.x86_64-linux.homelab-ha-oci, to derivations. One process evaluates
// all that start with the same name; what fails there gets one of its own, so
// that a broken service does not hide the others. The map has every attribute.
//
// An attribute fails with [fault.NotFound] and near names when the flake has
// none of that name, with [fault.InvalidArgument] when it is no attribute
// path, else with [fault.EvalFailed]. What keeps all of them from evaluating,
// as a syntax error of the flake does, is the error of Targets, which is that
// of [Nix.EvalJSON].
func (n Nix) Targets(ctx context.Context, flake string, attrs []string) (map[string]Evaluated, error) {
	e := evaluation{Nix: n, flake: flake, done: make(map[string]Evaluated, len(attrs))}
	var again []wanted
	var broken error
	for _, group := range e.group(attrs) {
		rest, failure, err := e.together(ctx, group)
		if err != nil {
			return nil, err
		}
		again = append(again, rest...)
		broken = cmp.Or(broken, failure)
	}
	if broken != nil && e.hopeless == len(e.done) {
		return nil, broken
	}
	e.apart(ctx, again)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", evalOp, err)
	}
	return e.done, nil
}

// wanted is an attribute and its names, at least one.
type wanted struct {
	attr  string
	names []string
}

// set is the attribute path of the set that holds it.
func (w wanted) set() []string { return w.names[:len(w.names)-1] }

// evaluation is the work of one call of [Nix.Targets].
type evaluation struct {
	Nix
	flake    string
	done     map[string]Evaluated
	hopeless int // of done, that are in a set that does not evaluate
}

// maxApply bounds the text of one expression: Linux takes 128 KiB in an
// argument.
const maxApply = 100 << 10

// group puts attributes with the same first name together, as many as one
// expression holds. Those that are no attribute paths are done.
func (e *evaluation) group(attrs []string) [][]wanted {
	var groups [][]wanted
	last, size := map[string]int{}, map[string]int{} // by first name
	for _, attr := range slices.Compact(slices.Sorted(slices.Values(attrs))) {
		names, err := parseAttr(attr)
		e.done[attr] = Evaluated{Err: err}
		if err != nil {
			continue
		}
		root, need := names[0], len(nixStrings(names))
		at, ok := last[root]
		if !ok || size[root]+need > maxApply {
			at = len(groups)
			groups = append(groups, nil)
			last[root], size[root] = at, 0
		}
		groups[at] = append(groups[at], wanted{attr, names})
		size[root] += need
	}
	return groups
}

// together evaluates a group in one process. It returns those that have to be
// evaluated on their own, for an error of theirs kept the others from
// evaluating, or lost its message; and why sets did not evaluate.
func (e *evaluation) together(ctx context.Context, group []wanted) (again []wanted, failure, err error) {
	found, err := e.describe(ctx, group, true)
	switch {
	case errors.Is(err, errNoAttribute):
		for _, w := range group {
			e.done[w.attr] = Evaluated{Err: e.missing(w, 0, nil)}
		}
		return nil, nil, nil
	case fault.CodeOf(err) == fault.EvalFailed:
		return e.sets(ctx, group)
	case err != nil:
		return nil, nil, err
	}
	for i, w := range group {
		if found[i].Failed {
			again = append(again, w)
			continue
		}
		e.done[w.attr] = e.evaluated(w, found[i])
	}
	return again, nil, nil
}

// sets looks for sets of attributes that do not evaluate themselves: it saves
// asking for each attribute in them. It returns the attributes in other sets.
func (e *evaluation) sets(ctx context.Context, group []wanted) (again []wanted, failure, err error) {
	tried := map[string]error{}
	for _, w := range group {
		if len(w.names) == 1 {
			again = append(again, w) // in the flake itself
			continue
		}
		name := attrPath(w.set())
		broken, ok := tried[name]
		if !ok {
			_, broken = e.describe(ctx, []wanted{{name, w.set()}}, false)
			if code := fault.CodeOf(broken); broken != nil && code != fault.EvalFailed && code != fault.NotFound {
				return nil, nil, broken
			}
			tried[name] = broken
		}
		if broken == nil {
			again = append(again, w)
			continue
		}
		e.done[w.attr] = Evaluated{Err: broken}
		e.hopeless++
		failure = cmp.Or(failure, broken)
	}
	return again, failure, nil
}

// apart evaluates each attribute in a process of its own.
func (e *evaluation) apart(ctx context.Context, attrs []wanted) {
	results := make([]Evaluated, len(attrs))
	var all sync.WaitGroup
	for i := range attrs {
		all.Go(func() {
			found, err := e.describe(ctx, attrs[i:i+1], false)
			if err != nil {
				results[i] = Evaluated{Err: err}
				return
			}
			results[i] = e.evaluated(attrs[i], found[0])
		})
	}
	all.Wait()
	for i, w := range attrs {
		e.done[w.attr] = results[i]
	}
}

// attrPath is the attribute path of names, to be read by people and by Nix.
func attrPath(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quoteName(name)
	}
	return strings.Join(quoted, ".")
}
