package plan

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// search looks for what changed the outputs of services.
type search struct {
	*analysis
	q     decideRequest
	head  map[string][]StoreSource // by attribute
	whole whole

	incomplete error // why some of the candidates could not be compared
}

// lead is a service with the sources that it no longer, or newly, is made from.
type lead struct {
	name string
	c    *comparison
	new  []StoreSource
	old  map[Commit][]StoreSource // by base
	same bool                     // it evaluated at every base, and its sources are those of the head
}

// causes finds the repository paths whose content is that of a source that
// changed.
func (s *search) causes(ctx context.Context, names []string) ([]Missing, error) {
	leads, err := s.leads(ctx, names)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, l := range leads {
		changes = append(changes, l.c.changes...)
	}
	added, gone := wanted{}, map[Commit]wanted{}
	for _, l := range leads {
		added.note(l.new)
	}
	candidates := pathsOf(changes)
	paths, err := s.find(ctx, s.view.state(), added, candidates)
	if err != nil {
		return nil, err
	}
	for _, l := range leads {
		for commit, sources := range l.old {
			if gone[commit] == nil {
				gone[commit] = wanted{}
			}
			gone[commit].note(slices.DeleteFunc(slices.Clone(sources), func(old StoreSource) bool { return s.replaced(old, l, paths) }))
		}
	}
	oldPaths := map[Commit]map[string][]string{}
	for commit, sources := range gone {
		tree, err := s.view.planner.Repo.Tree(ctx, commit)
		if err != nil {
			return nil, err
		}
		if oldPaths[commit], err = s.find(ctx, state{snapshot: tree, commit: commit}, sources, candidates); err != nil {
			return nil, err
		}
	}
	found := make([]Missing, 0, len(leads))
	for _, l := range leads {
		var equals [][]string // one list for each source
		for _, source := range l.new {
			equals = append(equals, named(source, paths))
			if s.whole[source.NarHash] {
				equals = append(equals, []string{"."})
			}
		}
		for commit, sources := range l.old {
			for _, source := range sources {
				equals = append(equals, named(source, oldPaths[commit]))
			}
		}
		found = append(found, s.missing(l, equals))
	}
	return found, nil
}

// replaced says that a source of a base is now one of the same name, and certain:
// what it was equal to adds nothing, and commits are slow to read.
func (s *search) replaced(old StoreSource, l lead, byHash map[string][]string) bool {
	now := slices.DeleteFunc(slices.Clone(l.new), func(n StoreSource) bool { return n.name() != old.name() })
	unsure := func(n StoreSource) bool { return !s.whole[n.NarHash] && len(named(n, byHash)) != 1 }
	return len(now) > 0 && !slices.ContainsFunc(now, unsure)
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

// leads compares the sources of services at the head with those at their bases,
// asking Nix once for each base.
func (s *search) leads(ctx context.Context, names []string) ([]lead, error) {
	bases, attrs := s.q.outputs.bases, map[string][]string{}
	for _, name := range names {
		for commit, attr := range s.at(name) {
			attrs[commit.ID] = append(attrs[commit.ID], attr)
		}
	}
	sources := map[string]map[string][]StoreSource{} // by commit and attribute
	for id, list := range attrs {
		var err error
		if sources[id], err = bases[id].sources(ctx, list); err != nil {
			return nil, err
		}
	}
	leads := make([]lead, 0, len(names))
	for _, name := range names {
		leads = append(leads, s.lead(name, sources))
	}
	return leads, nil
}

// lead compares the sources of one service at the head with those at its
// bases, by commit and attribute.
func (s *search) lead(name string, sources map[string]map[string][]StoreSource) lead {
	l := lead{name: name, c: s.q.bases.of(name), old: map[Commit][]StoreSource{}}
	is, differ := s.head[s.q.targets[name].Attr], 0
	for commit, attr := range s.at(name) {
		if s.q.outputs.bases[commit.ID].found[attr].Err != nil {
			continue // new: what it is made from did not change
		}
		was := sources[commit.ID][attr]
		added, gone := without(is, was), without(was, is)
		l.new, l.old[commit] = append(l.new, added...), gone
		differ += len(added) + len(gone)
	}
	l.same = differ == 0 && len(l.old) == len(l.c.commits)
	return l
}

// at goes through the bases of a service that evaluated, with the attribute
// that it had there.
func (s *search) at(name string) iter.Seq2[Commit, string] {
	return func(yield func(Commit, string) bool) {
		c := s.q.bases.of(name)
		for i, commit := range c.commits {
			base := s.q.outputs.bases[commit.ID]
			if base != nil && base.err == nil && !yield(commit, s.baseAttr(name, s.q.targets[name], c, i)) {
				return
			}
		}
	}
}

// without are the sources that are not among others.
func without(sources, others []StoreSource) []StoreSource {
	return slices.DeleteFunc(slices.Clone(sources), func(s StoreSource) bool {
		return slices.ContainsFunc(others, func(o StoreSource) bool { return o.Path == s.Path })
	})
}

// find looks for sources among paths as of a state, and returns the paths that
// are equal to each, by hash. What cannot be told is left out, and noted.
func (s *search) find(ctx context.Context, at state, sources wanted, candidates []string) (map[string][]string, error) {
	found := map[string][]string{}
	if len(sources) == 0 {
		return found, nil
	}
	c, err := s.contents(ctx, at, sources)
	if err != nil {
		return nil, err
	}
	for _, candidate := range candidates {
		hashes, err := c.equal(ctx, candidate)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && s.incomplete == nil {
			s.incomplete = fmt.Errorf("%s: %w", showPath(candidate), err)
		}
		for _, hash := range hashes {
			found[hash] = append(found[hash], candidate)
		}
	}
	return found, nil
}

// missing says what is known of a service that no hint covers, from the paths
// that are equal to each of its sources. Only these become hints: that a path
// changed, and no other did, is no evidence.
func (s *search) missing(l lead, equals [][]string) Missing {
	at, _ := slices.BinarySearch(s.view.names, l.name)
	m := Missing{Service: l.name, Causes: []Path{}, Candidates: []Path{}, Hints: []string{}}
	causes, open := s.settle(at, equals, l.c.changes)
	if len(causes)+len(open) == 0 {
		m.SameSources, open = l.same, visible(l.c.changes)
	}
	for _, cause := range causes {
		m.Causes = append(m.Causes, showPath(cause))
	}
	m.Count = len(open)
	for _, p := range cut(open, maxCandidates) {
		m.Candidates = append(m.Candidates, showPath(p))
	}
	var folders []string
	for _, cause := range causes {
		switch folder := asText(cause); {
		case cause == ".": // no hint mends that
		case s.ofService(at, cause, l.c.changes, s.excludes):
			m.Excluded = true
		case folder != ".":
			folders = append(folders, folder)
		}
	}
	for _, folder := range outermost(folders) {
		m.Hints = append(m.Hints, escapeGlob(folder))
	}
	return m
}

// visible are the changed paths that Nix can see.
func visible(changes []Change) []string {
	var paths []string
	for _, c := range changes {
		if c.Status != Untracked {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// settle tells the paths that a service is certainly made from. Of several that
// are equal only one that its hints name, or that is certain anyway, is: else
// they stay open.
func (s *search) settle(service int, equals [][]string, changes []Change) (causes, open []string) {
	var unsettled [][]string
	for _, paths := range equals {
		hinted := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !s.ofService(service, p, changes, s.hints) })
		switch {
		case len(paths) == 1:
			causes = append(causes, paths[0])
		case len(hinted) == 1:
			causes = append(causes, hinted[0])
		case len(paths) > 0:
			unsettled = append(unsettled, paths)
		}
	}
	for _, paths := range unsettled {
		if !slices.ContainsFunc(paths, func(p string) bool { return slices.Contains(causes, p) }) {
			open = append(open, paths...)
		}
	}
	return outermost(causes), outermost(open)
}

// asText is a path, or where it is not text, which a hint must be, the first
// folder above it that is.
func asText(p string) string {
	for !utf8.ValidString(p) {
		p = path.Dir(p)
	}
	return p
}

// ofService says whether some pattern of a service, of a kind, matches a changed
// path at or below one.
func (s *search) ofService(service int, suspect string, changes []Change, kind func(o owner, service int) bool) bool {
	m := s.index.set.Matcher()
	return slices.ContainsFunc(changes, func(c Change) bool {
		return under(c.Path, suspect) && slices.ContainsFunc(s.index.patternsAt(m, c), func(at int32) bool {
			return slices.ContainsFunc(s.index.owners[at], func(o owner) bool { return kind(o, service) })
		})
	})
}

func (s *search) excludes(o owner, service int) bool { return o == owner{-1, int32(service)} }

func (s *search) hints(o owner, service int) bool {
	return o.hint >= 0 && s.index.hints[o.hint].service == service
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
