package plan

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxCandidates is how many of the paths that may have caused a change are told.
const maxCandidates = 20

// findings holds what the hints say against what the outputs say.
func (a *analysis) findings(ctx context.Context, out *Plan, q decideRequest) (*Findings, error) {
	f := &Findings{OverWide: []OverWide{}, Missing: []Missing{}, WholeFlake: []WholeFlake{}}
	touched, err := a.touchedByHints(q.bases)
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
		hints := verdict{}
		hints.addTouched(a, i, q.bases.of(name))
		switch {
		case o.changed && !touched(i):
			missing = append(missing, name)
		case !o.changed && o.unknown == nil && hints.count > 0:
			f.OverWide = append(f.OverWide, overWide(name, hints))
		}
	}
	sources, err := q.outputs.head.sources(ctx, slices.Collect(maps.Values(attrs)))
	if err != nil {
		return nil, err
	}
	whole, err := a.wholeFlake(ctx)
	if err != nil {
		return nil, err
	}
	if whole == nil {
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
	f.Patch, err = a.patch(ctx, f.Missing)
	return f, err
}

// touchedByHints says which services a plan by hints would have built for what
// changed, not for being asked for.
func (a *analysis) touchedByHints(b *bases) (func(i int) bool, error) {
	changed := *b
	changed.never = nil
	verdicts := make([]verdict, len(a.view.names))
	for i := range verdicts {
		var err error
		if verdicts[i], err = a.verdict(i, &changed, false); err != nil {
			return nil, err
		}
	}
	return newSpread(a.view.names, needsOf(a.view.registry(), a.view.names), verdicts).touched, nil
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

// wholeFlake hashes the repository, and the folder of the flake; nil when they
// cannot be read, or are too large.
func (a *analysis) wholeFlake(ctx context.Context) (whole, error) {
	w := whole{}
	for _, dir := range slices.Compact([]string{"", a.view.loaded.FlakeDir}) {
		c, err := a.contents(ctx, a.view.state())
		if err != nil {
			return nil, err
		}
		hashes := c.hashes(ctx, dir)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if hashes == nil {
			return nil, nil
		}
		for _, hash := range hashes {
			w[hash] = true
		}
	}
	return w, nil
}

// search looks for what changed the outputs of services.
type search struct {
	*analysis
	q     decideRequest
	head  map[string][]StoreSource // by attribute
	whole whole
}

// lead is a service with the sources that it no longer, or newly, is made from.
type lead struct {
	name string
	c    *comparison
	new  []StoreSource
	old  map[Commit][]StoreSource // by base
}

// causes finds the repository paths whose content is that of a source that
// changed.
func (s *search) causes(ctx context.Context, names []string) ([]Missing, error) {
	leads := make([]lead, 0, len(names))
	var changes []Change
	for _, name := range names {
		l, err := s.lead(ctx, name)
		if err != nil {
			return nil, err
		}
		leads = append(leads, l)
		changes = append(changes, l.c.changes...)
	}
	wanted := map[string]bool{}
	wantedOld := map[Commit]map[string]bool{}
	for _, l := range leads {
		note(wanted, l.new)
		for commit, sources := range l.old {
			if wantedOld[commit] == nil {
				wantedOld[commit] = map[string]bool{}
			}
			note(wantedOld[commit], sources)
		}
	}
	candidates := pathsOf(changes)
	paths, err := s.find(ctx, s.view.state(), wanted, candidates)
	if err != nil {
		return nil, err
	}
	oldPaths := map[Commit]map[string][]string{}
	for commit, hashes := range wantedOld {
		tree, err := s.view.planner.Repo.Tree(ctx, commit)
		if err != nil {
			return nil, err
		}
		if oldPaths[commit], err = s.find(ctx, state{snapshot: tree, commit: commit}, hashes, candidates); err != nil {
			return nil, err
		}
	}
	found := make([]Missing, 0, len(leads))
	for _, l := range leads {
		var causes []string
		for _, source := range l.new {
			causes = append(causes, named(source, paths)...)
			if s.whole[source.NarHash] {
				causes = append(causes, ".")
			}
		}
		for commit, sources := range l.old {
			for _, source := range sources {
				causes = append(causes, named(source, oldPaths[commit])...)
			}
		}
		found = append(found, s.missing(l, outermost(causes)))
	}
	return found, nil
}

func note(hashes map[string]bool, sources []StoreSource) {
	for _, source := range sources {
		hashes[source.NarHash] = true
	}
}

// named are the paths with the content of a source: those of its name, when
// there are some, since files can be equal.
func named(source StoreSource, byHash map[string][]string) []string {
	paths := byHash[source.NarHash]
	same := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !strings.HasSuffix(source.Path, "-"+path.Base(p)) })
	if len(same) > 0 {
		return same
	}
	return paths
}

// lead compares the sources of a service at the head with those at its bases.
func (s *search) lead(ctx context.Context, name string) (lead, error) {
	target, c := s.q.targets[name], s.q.bases.of(name)
	l := lead{name: name, c: c, old: map[Commit][]StoreSource{}}
	is := s.head[target.Attr]
	for i, commit := range c.commits {
		base := s.q.outputs.bases[commit.ID]
		if base == nil || base.err != nil {
			continue
		}
		attr := s.baseAttr(name, target, c, i)
		sources, err := base.sources(ctx, []string{attr})
		if err != nil {
			return l, err
		}
		was := sources[attr]
		if len(was) == 0 {
			continue // new: what it is made from did not change
		}
		l.new = append(l.new, without(is, was)...)
		l.old[commit] = without(was, is)
	}
	return l, nil
}

// without are the sources that are not among others.
func without(sources, others []StoreSource) []StoreSource {
	return slices.DeleteFunc(slices.Clone(sources), func(s StoreSource) bool {
		return slices.ContainsFunc(others, func(o StoreSource) bool { return o.Path == s.Path })
	})
}

// find hashes paths as of a state, and returns those that are wanted, by hash.
func (s *search) find(ctx context.Context, at state, wanted map[string]bool, candidates []string) (map[string][]string, error) {
	found := map[string][]string{}
	if len(wanted) == 0 {
		return found, nil
	}
	c, err := s.contents(ctx, at)
	if err != nil {
		return nil, err
	}
	for _, candidate := range candidates {
		for _, hash := range c.hashes(ctx, candidate) {
			if wanted[hash] {
				found[hash] = append(found[hash], candidate)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// missing says what is known of a service that no hint covers.
func (s *search) missing(l lead, causes []string) Missing {
	at, _ := slices.BinarySearch(s.view.names, l.name)
	m := Missing{Service: l.name, Causes: []Path{}, Candidates: []Path{}, Hints: []string{}}
	suspects := slices.DeleteFunc(slices.Clone(causes), func(p string) bool { return p == "." })
	for _, cause := range causes {
		m.Causes = append(m.Causes, showPath(cause))
	}
	if len(causes) == 0 {
		var open []string
		for _, change := range l.c.changes {
			if change.Status != Untracked {
				open = append(open, change.Path)
			}
		}
		m.Count = len(open)
		for _, p := range cut(open, maxCandidates) {
			m.Candidates = append(m.Candidates, showPath(p))
		}
		if len(open) == 1 && open[0] != s.view.loaded.lockPath() {
			suspects = open
		}
	}
	for _, suspect := range suspects {
		if s.excluded(at, suspect, l.c.changes) {
			m.Excluded = true
		} else {
			m.Hints = append(m.Hints, escapeGlob(suspect))
		}
	}
	return m
}

// excluded says whether the service excludes a changed path at or below one.
func (s *search) excluded(service int, suspect string, changes []Change) bool {
	m := s.index.set.Matcher()
	return slices.ContainsFunc(changes, func(c Change) bool {
		return under(c.Path, suspect) && slices.ContainsFunc(s.index.patternsAt(m, c), func(at int32) bool {
			return slices.Contains(s.index.owners[at], owner{-1, int32(service)})
		})
	})
}

// pathsOf are the changed paths that Nix can have copied, and the folders they
// are in, but for the root; sorted, once each.
func pathsOf(changes []Change) []string {
	set := map[string]bool{}
	for _, c := range changes {
		if c.Status == Untracked || c.Status == Unreadable {
			continue
		}
		for p := strings.TrimSuffix(c.Path, "/"); p != "." && !set[p]; p = path.Dir(p) {
			set[p] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// outermost are the paths that are not below another one; sorted, once each.
func outermost(paths []string) []string {
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return slices.ContainsFunc(paths, func(q string) bool { return q != p && q != "." && under(p, q) })
	})
}

func under(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }
