package plan

import (
	"context"
	"maps"
	"slices"
)

// maxCandidates is how many of the paths that may have caused a change are told.
const maxCandidates = 20

// findings holds what the hints say against what the outputs say. All services
// are compared with the base of the plan.
func (a *analysis) findings(ctx context.Context, out *Plan, q decideRequest) (*Findings, error) {
	f := &Findings{OverWide: []OverWide{}, Missing: []Missing{}, WholeFlake: []WholeFlake{}}
	all, err := a.byHints(q.bases.main)
	if err != nil {
		return nil, err
	}
	tracked := a.trackedIn(q.bases.main)
	seen, err := a.byHints(tracked)
	if err != nil {
		return nil, err
	}
	var missing []string
	attrs := map[string]string{}
	for _, name := range q.selected {
		i, _ := slices.BinarySearch(a.view.names, name)
		o := q.outputs.of(a, name, q)
		if o == nil || o.broken != nil {
			continue
		}
		attrs[name] = q.targets[name].Attr
		if o.changed && !all.touched(i) {
			missing = append(missing, name)
		}
		if o.changed || o.unknown != nil {
			continue
		}
		hints := verdict{}
		hints.addTouched(a, i, tracked)
		switch via := seen.dependencies(i); {
		case hints.count > 0:
			f.OverWide = append(f.OverWide, overWide(name, hints))
		case len(via) > 0 && !seen.own[i]:
			f.OverWide = append(f.OverWide, OverWide{Service: name, Hints: []string{}, Paths: []Path{}, Via: seen.namesOf(via)})
		}
	}
	sources, err := q.outputs.head.sources(ctx, slices.Collect(maps.Values(attrs)))
	if err != nil {
		return nil, err
	}
	whole, told, err := a.wholeFlake(ctx, sources)
	if err != nil {
		return nil, err
	}
	if !told {
		out.Warnings = append(out.Warnings, wholeFlakeUnknown)
	}
	for _, name := range q.selected {
		target := q.targets[name]
		if source := whole.in(sources[attrs[name]]); attrs[name] != "" && source != "" {
			f.WholeFlake = append(f.WholeFlake, WholeFlake{name, target.System, target.Attr, source})
		}
	}
	s := search{analysis: a, q: q, head: sources, whole: whole}
	if f.Missing, err = s.causes(ctx, missing); err != nil {
		return nil, err
	}
	if s.incomplete != nil {
		out.Warnings = append(out.Warnings, auditIncomplete(s.incomplete))
	}
	f.Patch, err = a.patch(ctx, f.Missing)
	return f, err
}

// byHints says which services a plan by hints would have built for what
// changed, not for being asked for.
func (a *analysis) byHints(c *comparison) (*spread, error) {
	verdicts := make([]verdict, len(a.view.names))
	for i := range verdicts {
		var err error
		if verdicts[i], err = a.verdict(i, c, false); err != nil {
			return nil, err
		}
	}
	return newSpread(a.view.names, needsOf(a.view.registry(), a.view.names), verdicts), nil
}

// trackedIn is a comparison without what Nix cannot see, matched.
func (a *analysis) trackedIn(c *comparison) *comparison {
	isUntracked := func(c Change) bool { return c.Status == Untracked }
	if !slices.ContainsFunc(c.changes, isUntracked) {
		return c
	}
	seen := *c
	seen.changes = slices.DeleteFunc(slices.Clone(c.changes), isUntracked)
	m := &matches{
		services: make([]touch, len(a.view.names)),
		globals:  make([]globalTouch, len(a.view.registry().GlobalHints)),
		moves:    a.matched[c].moves,
	}
	lock, byInput, matcher := a.view.loaded.lockPath(), a.servicesWithInputs(), a.index.set.Matcher()
	for i := range seen.changes {
		var skip map[int32]bool
		if seen.changes[i].Path == lock {
			skip = byInput
		}
		a.touch(m, matcher, &seen.changes[i], skip)
	}
	a.matched[&seen] = m
	return &seen
}

func overWide(name string, d verdict) OverWide {
	o := OverWide{Service: name, Hints: []string{}, Paths: []Path{}, Count: d.count}
	for _, r := range d.reasons {
		if !slices.Contains(o.Hints, r.Hint) {
			o.Hints = append(o.Hints, r.Hint)
		}
		if r.Path != "" && !slices.Contains(o.Paths, r.Path) {
			o.Paths = append(o.Paths, r.Path)
		}
	}
	return o
}

// whole are the hashes of all that counts as the flake's whole source.
type whole map[string]bool

// in is the first source that is the whole flake; empty for none.
func (w whole) in(sources []StoreSource) string {
	for _, source := range sources {
		if w[source.NarHash] {
			return source.Path
		}
	}
	return ""
}

var wholeFlakeUnknown = Warning{"wholeFlakeUnknown", "the repository could not be read whole, so which services are built from all of it cannot be told", ""}

func auditIncomplete(err error) Warning {
	return Warning{"auditIncomplete", "not everything that changed could be compared with what outputs are made from, so causes may be missing: " + firstProblem(err),
		"look at the candidates, and add hints by hand"}
}

// wholeFlake looks for the repository, and for the folder of the flake, among
// sources. It is not told when they cannot be read or are too large: then an equal
// hash is still proof, and another is none.
func (a *analysis) wholeFlake(ctx context.Context, sources map[string][]StoreSource) (w whole, told bool, err error) {
	all := wanted{}
	for _, list := range sources {
		all.note(list)
	}
	w, told = whole{}, true
	if len(all) == 0 {
		return w, told, nil
	}
	for _, dir := range slices.Compact([]string{"", a.view.loaded.FlakeDir}) {
		c, err := a.contents(ctx, a.view.state(), all)
		if err != nil {
			return nil, false, err
		}
		hashes, err := c.equal(ctx, dir)
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		told = told && err == nil
		for _, hash := range hashes {
			w[hash] = true
		}
	}
	return w, told, nil
}
