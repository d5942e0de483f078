package plan

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"homelab/internal/hint"
)

// Bounds of what one service, or one global hint, is told.
const (
	maxReasons        = 10
	maxGlobalFiles    = 20
	maxGlobalServices = 20
)

// analysis is one question being answered.
type analysis struct {
	view    *view
	index   *hintIndex
	idle    []int32        // patterns that match nothing tracked
	marks   *hint.Matcher  // remembers which patterns matched a change
	through map[int32]bool // patterns that a change touches with all that is seen through it
	matched map[*comparison]*matches
	covered []Change // changes some hint covers, once each
	inCover map[string]bool
	entries []Entry
	decided []Service // every decision, before bounds
}

// matches is what one comparison touches.
type matches struct {
	services []touch       // by service
	globals  []globalTouch // by global hint
	moves    inputMoves
	open     []Path // changed paths that no hint covers
}

// touch is what connects changes to one service.
type touch struct {
	reasons    []Reason // the first of them
	count      int
	unreadable []string
	unmerged   []string
	last       *Change // told already, whichever of its hints matched first
}

func (t *touch) add(r Reason) {
	t.count++
	if len(t.reasons) < maxReasons {
		t.reasons = append(t.reasons, r)
	}
}

// globalTouch is what changed under one global hint.
type globalTouch struct {
	count    int
	files    []File
	problem  touch       // unreadable and unmerged paths only
	last     *Change     // counted already
	excluded map[int]int // by service: how many of the changes it excludes
}

func newAnalysis(v *view) *analysis {
	return &analysis{view: v, matched: map[*comparison]*matches{}, inCover: map[string]bool{}, through: map[int32]bool{}}
}

// prepare compiles the hints and finds which of them match nothing that is
// tracked, or remembers both from a question about the same files.
func (a *analysis) prepare(ctx context.Context) error {
	if a.index != nil {
		return nil
	}
	entries, err := a.view.snapshot.Entries(ctx)
	if err != nil {
		return err
	}
	p, err := a.view.planner.prepared(ctx, a.view, entries)
	if err != nil {
		return err
	}
	a.entries, a.index, a.idle = entries, p.index, p.idle
	a.view.warnings = append(a.view.warnings, a.index.warnings...)
	a.marks = a.index.set.Matcher()
	return ctx.Err()
}

// match connects the changes of one comparison to services.
func (a *analysis) match(ctx context.Context, c *comparison) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	m := &matches{
		services: make([]touch, len(a.view.names)),
		globals:  make([]globalTouch, len(a.view.registry().GlobalHints)),
	}
	a.matched[c] = m
	var err error
	if m.moves, err = a.view.inputMoves(ctx, c); err != nil {
		return err
	}
	byInput := a.servicesWithInputs()
	matcher := a.index.set.Matcher()
	for i := range c.changes {
		change := &c.changes[i]
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if change.Status != Unreadable {
			a.marks.Mark(strings.TrimSuffix(change.Path, "/"))
		}
		skip := map[int32]bool(nil)
		isLock := change.Path == a.view.loaded.lockPath()
		if isLock {
			skip = byInput
		}
		covered := a.touch(m, matcher, change, skip) || isLock && len(byInput) > 0
		if !covered && change.Path != a.view.loaded.File {
			m.open = append(m.open, showPath(change.Path))
		} else if covered && !a.inCover[change.Path] {
			a.inCover[change.Path] = true
			if change.Status != Unreadable {
				a.covered = append(a.covered, *change)
			}
		}
	}
	return nil
}

// servicesWithInputs are the services for which a changed flake.lock counts only
// through the inputs they name.
func (a *analysis) servicesWithInputs() map[int32]bool {
	services := map[int32]bool{}
	for i, name := range a.view.names {
		if a.view.registry().Services[name].Inputs != nil {
			services[int32(i)] = true
		}
	}
	return services
}

// touch records what one change touches, but for the services in skip, and says
// whether any hint covers it.
func (a *analysis) touch(m *matches, matcher *hint.Matcher, c *Change, skip map[int32]bool) bool {
	covered := false
	patterns := a.index.patternsAt(matcher, *c)
	if c.opaque() && c.Status != Unreadable {
		for _, at := range patterns {
			a.through[at] = true
		}
	}
	excluded := a.excludes(patterns, c)
	for _, at := range patterns {
		for _, o := range a.index.owners[at] {
			if o.hint < 0 {
				continue
			}
			covered = true
			h := &a.index.hints[o.hint]
			if h.global >= 0 {
				m.globals[h.global].add(c, excluded, skip)
				continue
			}
			if excluded[o.service] || skip[o.service] {
				continue
			}
			t := &m.services[o.service]
			if t.last == c {
				continue
			}
			t.last = c
			t.note(c)
			t.add(reasonFor(c, h.text))
		}
	}
	return covered
}

// excludes are the services that exclude a change, of which the patterns are
// given that it touches; nil for none.
func (a *analysis) excludes(patterns []int32, c *Change) (services map[int32]bool) {
	if c.opaque() {
		return nil
	}
	for _, at := range patterns {
		for _, o := range a.index.owners[at] {
			if o.hint < 0 {
				if services == nil {
					services = map[int32]bool{}
				}
				services[o.service] = true
			}
		}
	}
	return services
}

func reasonFor(c *Change, text string) Reason {
	r := Reason{Kind: ByHint, Path: showPath(c.Path), PathBase64: pathBase64(c.Path), Status: c.Status, Hint: text}
	if c.Old == Submodule || c.New == Submodule {
		r.Kind = BySubmodule
	}
	return r
}

// note remembers what keeps a change from being understood or built.
func (t *touch) note(c *Change) {
	switch c.Status {
	case Unreadable:
		t.unreadable = append(t.unreadable, c.Path)
	case Unmerged:
		t.unmerged = append(t.unmerged, c.Path)
	}
}

func (g *globalTouch) add(c *Change, excluded, skip map[int32]bool) {
	if g.last == c {
		return
	}
	g.last = c
	g.count++
	if len(g.files) < maxGlobalFiles {
		g.files = append(g.files, fileOf(*c))
	}
	g.problem.note(c)
	if g.excluded == nil && len(excluded)+len(skip) > 0 {
		g.excluded = map[int]int{}
	}
	for service := range excluded {
		g.excluded[int(service)]++
	}
	for service := range skip {
		if !excluded[service] {
			g.excluded[int(service)]++
		}
	}
}

// touches says whether something under the global hint touches the service.
func (g *globalTouch) touches(service int) bool { return g.count > g.excluded[service] }

// files lists all that differs from the base, as the answer shows it.
func (a *analysis) files(c *comparison) []File {
	out := make([]File, len(c.changes))
	for i, change := range c.changes {
		out[i] = fileOf(change)
	}
	return out
}

func fileOf(c Change) File {
	return File{Path: showPath(c.Path), PathBase64: pathBase64(c.Path), Status: c.Status}
}

// stale lists the hints that match nothing, and says of which git ignores what
// they name.
func (a *analysis) stale(ctx context.Context) ([]StaleHint, error) {
	hints := a.index.unmatched(a.idle, a.marks, a.through)
	ignored, err := a.ignored(ctx, hints)
	if err != nil {
		return nil, err
	}
	out := make([]StaleHint, len(hints))
	for i, h := range hints {
		out[i] = StaleHint{Hint: h.text, Ignored: ignored[i]}
		if h.service != global {
			out[i].Service = a.view.names[h.service]
		}
	}
	slices.SortStableFunc(out, func(a, b StaleHint) int { return strings.Compare(a.Service, b.Service) })
	return out, nil
}

// ignored says of each hint that matches nothing whether it names something that
// exists and that git ignores.
func (a *analysis) ignored(ctx context.Context, hints []ownHint) ([]bool, error) {
	out := make([]bool, len(hints))
	texts := make([]string, len(hints))
	open := make([]bool, len(hints)) // to be held against what is ignored
	for i, h := range hints {
		texts[i] = hint.Clean(h.text)
		// What a glob can name is known once its folder has been asked about.
		prefix, whole := hint.Literal(texts[i])
		some, err := a.view.snapshot.Ignores(ctx, prefix)
		if err != nil {
			return nil, err
		}
		out[i] = whole && some
		open[i] = whole != some
	}
	found := a.view.snapshot.Ignored()
	if len(found) == 0 || !slices.Contains(open, true) {
		return out, nil
	}
	set, err := hint.Compile(texts)
	if err != nil {
		return nil, err
	}
	m := set.Matcher()
	for _, name := range found {
		folder, isFolder := strings.CutSuffix(name, "/")
		matched := m.Match(folder)
		if isFolder {
			matched = slices.Concat(matched, set.Above(folder))
		}
		for _, at := range matched {
			out[at] = out[at] || open[at]
		}
	}
	return out, nil
}

func sortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
}
