package plan

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"homelab/internal/fault"
)

// decideRequest is what decisions are made from, beside the matches.
type decideRequest struct {
	bases    *bases
	selected []string
	targets  map[string]Target
	explicit bool     // the services were asked for by name
	outputs  *outputs // nil: by hints
}

// verdict is what is known of one service by itself, before its dependencies.
type verdict struct {
	reasons  []Reason
	count    int
	asked    int  // how many of the reasons are that it was asked for
	certain  bool // some reason is sure
	doubtful bool // something could not be told
	config   bool // its container is to be made anew, whatever is in its image
	problem  *Warning
	out      *Outputs // where they were compared
	broken   bool     // it does not evaluate: nothing else counts
}

func (d *verdict) add(certain bool, r Reason) {
	d.certain = d.certain || certain
	d.doubtful = d.doubtful || !certain
	d.tell(r)
}

// addConfig adds a reason to deploy the image again as it is.
func (d *verdict) addConfig(r Reason) {
	d.config = true
	d.tell(r)
}

func (d *verdict) tell(r Reason) {
	d.count++
	if len(d.reasons) < maxReasons {
		d.reasons = append(d.reasons, r)
	}
}

// decide fills in the decisions, and what was found on the way to them.
func (a *analysis) decide(ctx context.Context, out *Plan, q decideRequest) error {
	opinions := map[*comparison]*opinion{}
	for _, c := range q.bases.all {
		var err error
		if opinions[c], err = a.opinion(ctx, c, q); err != nil {
			return err
		}
	}
	for _, name := range q.selected {
		i, _ := slices.BinarySearch(a.view.names, name)
		o := opinions[q.bases.of(name)]
		f := o.of(i)
		if d, known := q.bases.deployed[name]; known {
			f.settle(d, o.edits[name], o.edits != nil && d.Dirty && f.out == nil)
		}
		a.decided = append(a.decided, a.service(i, q, f))
	}
	for _, s := range a.decided {
		out.Counts.count(s.Decision)
		out.Complete = out.Complete && s.Decision != Unknown
	}
	out.Services = a.decided
	return a.describe(ctx, out, q)
}

// unlessCompared leaves out the dependencies of services whose outputs were
// compared: an output has them in it. The others are still decided by hints.
func unlessCompared(needs func(int) []string, verdicts []verdict) func(int) []string {
	return func(i int) []string {
		if verdicts[i].out != nil {
			return nil
		}
		return needs(i)
	}
}

func (c *Counts) count(d Decision) {
	c.Total++
	switch d {
	case Rebuild:
		c.Rebuild++
	case Redeploy:
		c.Redeploy++
	case None:
		c.None++
	case Unknown:
		c.Unknown++
	case Blocked:
		c.Blocked++
	}
}

// verdict gathers a service's own reasons by hints, most direct first.
func (a *analysis) verdict(i int, c *comparison, explicit bool) (verdict, error) {
	name := a.view.names[i]
	d := verdict{}
	d.addAsked(explicit)
	if c.missing {
		d.add(false, Reason{Kind: ByBaseMissing})
		problem := missingBase(c, a.view.planner.Repo.Shallow())
		d.problem = &problem
		return d, nil
	}
	m := a.matched[c]
	t := &m.services[i]
	d.addHints(t)
	d.addInputs(a.view, name, m.moves)
	if err := d.addRegistry(a.view, name, c, false); err != nil {
		return d, err
	}
	unmerged, unreadable := d.addGlobals(a, i, m)
	unmerged, unreadable = slices.Concat(t.unmerged, unmerged), slices.Concat(t.unreadable, unreadable)
	switch {
	case len(unmerged) > 0:
		d.problem = unfinishedMerge(unmerged)
	case len(unreadable) > 0:
		d.problem = &Warning{"unreadable", "cannot be read, so it may have changed: " + some(unreadable), "make it readable for the user who runs homelab"}
	}
	return d, nil
}

func unfinishedMerge(paths []string) *Warning {
	return &Warning{"unmerged", "a merge is not finished: " + some(paths), "resolve the conflicts and git add them"}
}

// addAsked adds that a service counts as touched whatever changed.
func (d *verdict) addAsked(explicit bool) {
	if explicit {
		d.add(true, Reason{Kind: ByExplicit})
		d.asked = d.count
	}
}

// addHints adds the changes under the service's own hints.
func (d *verdict) addHints(t *touch) {
	for _, r := range t.reasons {
		d.add(r.Status != Unreadable, r)
	}
	d.count += t.count - len(t.reasons)
	d.certain = d.certain || t.count > len(t.unreadable)
}

// addGlobals adds the global hints that touch the service, and tells which of
// the paths under them are unfinished or cannot be read.
func (d *verdict) addGlobals(a *analysis, i int, m *matches) (unmerged, unreadable []string) {
	for g := range m.globals {
		touched := &m.globals[g]
		globalHint := a.view.registry().GlobalHints[g]
		if !touched.touches(i) || len(globalHint.Services) > 0 && !slices.Contains(globalHint.Services, a.view.names[i]) {
			continue
		}
		first := a.firstTouching(i, touched)
		d.add(touched.count > len(touched.problem.unreadable), Reason{
			Kind: ByGlobal, Path: first.Path, PathBase64: first.PathBase64, Status: first.Status, Hint: globalHint.Path,
		})
		unmerged = slices.Concat(unmerged, touched.problem.unmerged)
		unreadable = slices.Concat(unreadable, touched.problem.unreadable)
	}
	return unmerged, unreadable
}

// addTouched adds all that changes under hints and inputs touch, and tells
// which of the paths are unfinished.
func (d *verdict) addTouched(a *analysis, i int, c *comparison) (unmerged []string) {
	m := a.matched[c]
	d.addHints(&m.services[i])
	d.addInputs(a.view, a.view.names[i], m.moves)
	unmerged, _ = d.addGlobals(a, i, m)
	return slices.Concat(m.services[i].unmerged, unmerged)
}

// addInputs adds the flake inputs that moved and matter to the service.
func (d *verdict) addInputs(v *view, name string, moves inputMoves) {
	if !moves.changed {
		return
	}
	for _, input := range v.registry().Services[name].Inputs {
		if moves.moved(input) {
			d.add(true, Reason{Kind: ByInput, Path: v.loaded.lockPath(), Status: moves.status, Hint: input})
		}
	}
}

// service puts the final decision about one service into words.
func (a *analysis) service(i int, q decideRequest, f fate) Service {
	name := a.view.names[i]
	entry := a.view.registry().Services[name]
	out := Service{
		Name: name, Decision: None, Target: q.targets[name], Host: entry.HostOf(), Out: f.out,
		Reasons: f.reasons, ReasonCount: f.count,
	}
	if c := q.bases.byService[name]; c != nil && c.side != q.bases.main.side {
		out.Base = &c.side
	}
	for _, chain := range f.chains {
		out.ReasonCount++
		if len(out.Reasons) < maxReasons {
			out.Reasons = append(out.Reasons, Reason{Kind: ByDependency, Via: chain})
		}
	}
	if out.Reasons == nil {
		out.Reasons = []Reason{}
	}
	missing := noTarget(name, entry, out.Target)
	switch {
	case !f.touched && !f.config:
	case f.problem != nil && f.problem.Code == "unmerged":
		out.Decision, out.Problem = Blocked, f.problem
	case missing != nil:
		out.Decision, out.Problem = Blocked, missing
	case !f.touched:
		out.Decision = Redeploy
	case f.broken:
		out.Decision, out.Problem = Unknown, f.problem
	case f.sure:
		out.Decision = Rebuild
	default:
		out.Decision, out.Problem = Unknown, f.problem
		if f.problem == nil {
			out.Problem = &Warning{"dependencyUnknown", "it depends on a service of which it is not known whether it changed", "see that service's problem"}
		}
	}
	return out
}

// firstTouching is a change under a global hint that the service does not
// exclude; without a path when that is not among the first.
func (a *analysis) firstTouching(service int, g *globalTouch) File {
	if g.excluded[service] == 0 {
		return g.files[0]
	}
	lock := a.view.loaded.lockPath()
	byInput := a.view.registry().Services[a.view.names[service]].Inputs != nil
	m := a.index.set.Matcher()
	for _, file := range g.files {
		excludes := slices.ContainsFunc(m.Match(file.Path), func(at int32) bool {
			return slices.Contains(a.index.owners[at], owner{-1, int32(service)})
		})
		if !excludes && !(byInput && file.Path == lock) {
			return file
		}
	}
	return File{}
}

// describe fills in what is said of the repository rather than of a service.
func (a *analysis) describe(ctx context.Context, out *Plan, q decideRequest) error {
	main := a.matched[q.bases.main]
	for g := range main.globals {
		if touched := &main.globals[g]; touched.count > 0 {
			globalHint := a.view.registry().GlobalHints[g]
			services := globalHint.Services
			out.GlobalChanges = append(out.GlobalChanges, GlobalChange{
				globalHint.Path, cut(services, maxGlobalServices), len(services), touched.count, touched.files,
			})
		}
	}
	out.GlobalChangeCount = len(out.GlobalChanges)
	out.InputChanges = main.moves.list()
	slices.Sort(main.open)
	out.Unmatched = PathList{Count: len(main.open), Paths: main.open}
	all, err := a.stale(ctx)
	if err != nil {
		return err
	}
	for _, stale := range all {
		if stale.Service == "" || slices.Contains(q.selected, stale.Service) {
			out.StaleHints = append(out.StaleHints, stale)
		}
	}
	out.StaleHintCount = len(out.StaleHints)
	out.Warnings = capWarnings(append(out.Warnings, a.warnings(out, q)...))
	return nil
}

// warnings are what the answer should be read with.
func (a *analysis) warnings(out *Plan, q decideRequest) []Warning {
	var warnings []Warning
	var untracked, ignored, without []string
	for _, c := range a.covered {
		if c.Status == Untracked {
			untracked = append(untracked, c.Path)
		}
	}
	if len(untracked) > 0 {
		warnings = append(warnings, Warning{"untracked",
			fmt.Sprintf("%d untracked under a hint, which Nix cannot see: %s", len(untracked), some(untracked)),
			"git add them, or add them to .gitignore"})
	}
	for _, stale := range out.StaleHints {
		if stale.Ignored {
			ignored = append(ignored, stale.Hint)
		}
	}
	if len(ignored) > 0 {
		warnings = append(warnings, Warning{"hintIgnored",
			"hints that name only what git ignores, which Nix cannot see: " + some(ignored), "track them, or drop the hints"})
	}
	var first *Warning
	for _, s := range a.decided {
		if missing := noTarget(s.Name, a.view.registry().Services[s.Name], s.Target); missing != nil && s.Decision == None {
			without = append(without, s.Name)
			if first == nil {
				first = missing
			}
		}
	}
	switch {
	case len(without) == 1:
		warnings = append(warnings, *first)
	case len(without) > 1:
		warnings = append(warnings, Warning{"noTarget", "no target for the system chosen for: " + some(without), first.Hint})
	}
	return append(warnings, a.unknownInputs(a.matched[q.bases.main].moves, q.selected)...)
}

// unknownInputs are names of inputs that the flake does not have, each told once
// whichever services give it.
func (a *analysis) unknownInputs(moves inputMoves, names []string) []Warning {
	if moves.new == nil {
		return nil
	}
	by := map[string][]string{}
	for _, name := range names {
		for _, input := range a.view.registry().Services[name].Inputs {
			if _, ok := moves.new.input(input); !ok {
				by[input] = append(by[input], name)
			}
		}
	}
	var warnings []Warning
	for _, input := range slices.Sorted(maps.Keys(by)) {
		who := by[input][0] + " names"
		if many := len(by[input]); many > 1 {
			who = fmt.Sprintf("%d services (%s) name", many, some(by[input]))
		}
		warnings = append(warnings, Warning{"unknownInput",
			fmt.Sprintf("%s the flake input %.100q, which %s does not have", who, input, a.view.loaded.lockPath()),
			cmp.Or(fault.DidYouMean(input, moves.new.roots()), "the flake has no inputs")})
	}
	return warnings
}

// maxWarnings bounds the warnings of an answer.
const maxWarnings = 50

// capWarnings keeps the first warnings, never nil, and says how many more there are.
func capWarnings(warnings []Warning) []Warning {
	if len(warnings) <= maxWarnings {
		return cut(warnings, maxWarnings)
	}
	kept := maxWarnings - 1
	return append(slices.Clone(warnings[:kept]), Warning{"truncated", fmt.Sprintf("%d more warnings are not listed", len(warnings)-kept), "mend some of these first"})
}

// cut is the first limit of a list, never nil.
func cut[T any](list []T, limit int) []T {
	if list == nil {
		return []T{}
	}
	return list[:min(len(list), limit)]
}

// some names the first few of many.
func some(names []string) string {
	const most = 5
	shown := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, showPath(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
