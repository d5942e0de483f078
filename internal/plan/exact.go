package plan

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"homelab/internal/fault"
)

// outputs are what the targets of services evaluate to, as of the head and as
// of every commit that something is compared with.
type outputs struct {
	head  *evaluatedState
	bases map[string]*evaluatedState // by commit; the head's where that is the same state
}

// evaluatedState is one state of the flake.
type evaluatedState struct {
	flake flake
	attrs []string
	found map[string]Evaluated
	err   error // of a base: why nothing of it evaluates
	moved bool
}

// outputs evaluates the targets of the services in question.
func (a *analysis) outputs(ctx context.Context, q decideRequest) (*outputs, error) {
	v := a.view
	if err := v.planner.Source.Nix.Available(ctx); err != nil {
		return nil, err
	}
	if v.loaded.Flake && v.loaded.outside {
		return nil, fault.Newf(fault.Precondition, "plan by hints, or keep the flake in this repository",
			"the flake of the registry, %s, is not part of this repository: there is no base of it to compare with", v.loaded.ref)
	}
	o := &outputs{head: &evaluatedState{flake: v.flake(v.state())}, bases: map[string]*evaluatedState{}}
	headKey, err := o.head.flake.key(ctx, o.head.flake.at)
	if err != nil {
		return nil, err
	}
	for _, name := range q.selected {
		target, c := q.targets[name], q.bases.of(name)
		if !q.compares(name) {
			continue
		}
		o.head.attrs = append(o.head.attrs, target.Attr)
		if q.bases.deployed[name].Out != "" {
			continue // that is what is compared with
		}
		for i, commit := range c.commits {
			if commit.Empty() {
				continue
			}
			base := o.bases[commit.ID]
			if base == nil {
				if base, err = a.baseState(ctx, commit, headKey, o.head); err != nil {
					return nil, err
				}
				o.bases[commit.ID] = base
			}
			base.attrs = append(base.attrs, a.baseAttr(name, target, c, i))
		}
	}
	return o, o.evaluate(ctx, v)
}

// baseState is the flake as of a commit.
func (a *analysis) baseState(ctx context.Context, commit Commit, headKey string, head *evaluatedState) (*evaluatedState, error) {
	tree, err := a.view.planner.Repo.Tree(ctx, commit)
	if err != nil {
		return nil, err
	}
	f := a.view.flake(state{snapshot: tree, commit: commit})
	key, err := f.key(ctx, f.at)
	if key != "" && key == headKey {
		return head, err
	}
	return &evaluatedState{flake: f}, err
}

// baseAttr is the attribute that a service had at one of its bases.
func (a *analysis) baseAttr(name string, target Target, c *comparison, i int) string {
	if i < len(c.old) && c.old[i] != nil && a.view.registry().Services[name].Build.Targets[target.System] == target.Attr {
		if was := c.old[i].Registry.Services[name].Build.Targets[target.System]; was != "" {
			return was
		}
	}
	return target.Attr
}

// evaluate evaluates every state; [Evaluator] bounds how many at once. A head that does not evaluate as a whole is
// an error; of such a base nothing can be told.
func (o *outputs) evaluate(ctx context.Context, v *view) error {
	group, inGroup := errgroup.WithContext(ctx)
	if len(o.head.attrs) > 0 {
		group.Go(func() error { return o.head.evaluate(inGroup, false) })
	}
	for _, base := range o.bases {
		if base == o.head {
			continue
		}
		group.Go(func() error {
			err := base.evaluate(inGroup, false)
			switch fault.CodeOf(err) {
			case fault.EvalFailed, fault.NotFound, fault.Precondition:
				base.err = err
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if o.head.moved {
		v.warnings = append(v.warnings, Warning{"changedMeanwhile", "files changed while Nix evaluated them: outputs may be of a later state", "plan again"})
	}
	for _, base := range o.bases {
		if base.err != nil && fault.CodeOf(base.err) != fault.NotFound {
			v.warnings = append(v.warnings, baseNotEvaluated(base.flake.at.commit.ID, base.err))
		}
	}
	return nil
}

func (s *evaluatedState) evaluate(ctx context.Context, fresh bool) (err error) {
	s.found, s.moved, err = s.flake.evaluate(ctx, s.attrs, fresh)
	return err
}

// outcome is what the outputs say of one service.
type outcome struct {
	out     Outputs
	changed bool     // it differs from some base, or is new
	broken  *Warning // it does not evaluate at the head
	unknown *Warning // it does not evaluate at a base, and so may have changed
}

// compares says whether the outputs of a service are compared: not for want of a
// target or of a base, nor when that is not all that it was built from.
func (q decideRequest) compares(name string) bool {
	d := q.bases.deployed[name]
	return q.targets[name].Attr != "" && (d.Out != "" || !q.bases.of(name).missing && !d.Dirty)
}

// of compares the outputs of one service; nil when they were not evaluated.
func (o *outputs) of(a *analysis, name string, q decideRequest) *outcome {
	target, c := q.targets[name], q.bases.of(name)
	if !q.compares(name) {
		return nil
	}
	is := o.head.found[target.Attr]
	r := &outcome{out: Outputs{New: is.Out}}
	if is.Err != nil {
		r.broken = notEvaluated(name, is.Err)
	}
	if deployed := q.bases.deployed[name].Out; deployed != "" {
		r.out.Old, r.changed = deployed, r.broken == nil && deployed != is.Out
		return r
	}
	for i, commit := range c.commits {
		var was Evaluated
		base := o.bases[commit.ID]
		switch {
		case base == nil: // the empty tree
		case base.err != nil:
			was.Err = base.err
		default:
			was = base.found[a.baseAttr(name, target, c, i)]
		}
		switch {
		case was.Err != nil && fault.CodeOf(was.Err) != fault.NotFound:
			w := baseNotEvaluated(commit.ID, was.Err)
			r.unknown = &w
		case was.Out != is.Out:
			if !r.changed || r.out.Old == "" {
				r.out.Old = was.Out
			}
			r.changed = true
		case r.out.Old == "" && !r.changed:
			r.out.Old = was.Out
		}
	}
	if r.broken != nil {
		r.changed = false
	}
	return r
}

func notEvaluated(name string, err error) *Warning {
	f := fault.Of(err)
	code := "evalFailed"
	if f.Code == fault.NotFound {
		code = "noAttribute"
	}
	return &Warning{code, name + " does not evaluate: " + firstProblem(err), f.Hint}
}

func baseNotEvaluated(commit string, err error) Warning {
	return Warning{"baseEvalFailed",
		fmt.Sprintf("the base %.12s does not evaluate, so that its outputs cannot be compared: %s", commit, firstProblem(err)),
		"compare with a base that evaluates, or plan by hints"}
}

// decideByOutputs puts the verdict of the outputs in place of that of the
// hints, for the services that a comparison decides, wherever there are outputs.
func (a *analysis) decideByOutputs(verdicts []verdict, c *comparison, q decideRequest) error {
	for _, name := range q.selected {
		if q.bases.of(name) != c {
			continue
		}
		i, _ := slices.BinarySearch(a.view.names, name)
		o := q.outputs.of(a, name, q)
		if o == nil {
			continue
		}
		var err error
		if verdicts[i], err = a.outputVerdict(i, q, o); err != nil {
			return err
		}
	}
	return nil
}

// outputVerdict gathers the reasons of one service by its outputs. Hints only
// say what changed where an output did.
func (a *analysis) outputVerdict(i int, q decideRequest, o *outcome) (verdict, error) {
	name := a.view.names[i]
	c := q.bases.of(name)
	d := verdict{out: &o.out}
	d.addAsked(q.explicit)
	if o.changed {
		d.add(true, Reason{Kind: ByOutput})
	}
	if !c.missing {
		if err := d.addChanges(a, i, c, o.changed); err != nil {
			return d, err
		}
	}
	switch {
	case o.broken != nil:
		d.broken, d.doubtful, d.problem = true, true, o.broken
	case o.unknown != nil && !o.changed:
		d.doubtful, d.problem = true, o.unknown
	}
	return d, nil
}

// addChanges adds what changed in the registry since the base, and, where the
// output did, what hints and inputs say.
func (d *verdict) addChanges(a *analysis, i int, c *comparison, output bool) error {
	if err := d.addRegistry(a.view, a.view.names[i], c, true); err != nil {
		return err
	}
	if c.unreadable != nil {
		d.problem = &Warning{"baseRegistryUnreadable", "the registry of the base cannot be read: " + firstProblem(c.unreadable), ""}
	}
	if output {
		if unmerged := d.addTouched(a, i, c); len(unmerged) > 0 {
			d.problem = unfinishedMerge(unmerged)
		}
	}
	return nil
}

// sources are the sources of derivations that were evaluated, by attribute. A
// derivation that was collected as garbage is evaluated once more.
func (s *evaluatedState) sources(ctx context.Context, attrs []string) (map[string][]StoreSource, error) {
	nix := s.flake.source.Nix
	drvs := func() []string {
		var list []string
		for _, attr := range attrs {
			if e := s.found[attr]; e.Err == nil && e.Drv != "" {
				list = append(list, e.Drv)
			}
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	if len(drvs()) == 0 {
		return nil, nil
	}
	found, err := nix.Sources(ctx, drvs())
	if fault.CodeOf(err) == fault.NotFound {
		if err := s.evaluate(ctx, true); err != nil {
			return nil, err
		}
		found, err = nix.Sources(ctx, drvs())
	}
	if err != nil {
		return nil, err
	}
	byAttr := make(map[string][]StoreSource, len(attrs))
	for _, attr := range attrs {
		byAttr[attr] = found[s.found[attr].Drv]
	}
	return byAttr, nil
}
