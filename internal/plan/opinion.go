package plan

import (
	"context"
	"slices"
)

// opinion is what one comparison says of the services that it decides, and of
// those that they depend on. A service has in it what these were when it was
// deployed, whatever has been deployed of them since.
type opinion struct {
	verdicts []verdict
	spread   *spread
	edits    map[string]string // fingerprints of services that were deployed with edits
}

func (a *analysis) opinion(ctx context.Context, c *comparison, q decideRequest) (*opinion, error) {
	names := a.view.names
	needs := needsOf(a.view.registry(), names)
	o := &opinion{verdicts: make([]verdict, len(names))}
	for i := range a.withDependencies(func(name string) bool { return q.bases.of(name) == c }, q.selected) {
		_, asked := slices.BinarySearch(q.selected, names[i])
		var err error
		if o.verdicts[i], err = a.verdict(i, c, q.explicit && asked); err != nil {
			return nil, err
		}
	}
	if q.outputs != nil {
		if err := a.decideByOutputs(o.verdicts, c, q); err != nil {
			return nil, err
		}
		needs = unlessCompared(needs, o.verdicts)
	}
	o.spread = newSpread(names, needs, o.verdicts)
	var dirty []string
	for _, name := range q.selected {
		i, _ := slices.BinarySearch(names, name)
		if q.bases.of(name) == c && q.bases.deployed[name].Dirty && o.verdicts[i].out == nil {
			dirty = append(dirty, name)
		}
	}
	if c.missing || len(dirty) == 0 {
		return o, nil
	}
	var err error
	o.edits, err = a.edits(ctx, c, dirty)
	return o, err
}

// withDependencies are those of some services that are wanted, and all that they
// depend on.
func (a *analysis) withDependencies(wanted func(name string) bool, services []string) map[int]bool {
	found := map[int]bool{}
	var open []string
	for _, name := range services {
		if wanted(name) {
			open = append(open, name)
		}
	}
	for len(open) > 0 {
		name := open[len(open)-1]
		open = open[:len(open)-1]
		if i, _ := slices.BinarySearch(a.view.names, name); !found[i] {
			found[i] = true
			open = append(open, a.view.registry().Services[name].DependsOn...)
		}
	}
	return found
}

// fate is what becomes of one service, before it is put into words.
type fate struct {
	verdict
	chains  [][]string // the dependencies that are touched, each with the way to what changed
	touched bool
	sure    bool // by something certain
}

// of is the fate of a service by the opinion alone.
func (o *opinion) of(i int) fate {
	f := fate{verdict: o.verdicts[i], touched: o.spread.touched(i), sure: o.spread.certain[i].reached}
	for _, dependency := range o.spread.dependencies(i) {
		f.chains = append(f.chains, o.spread.chain(dependency))
	}
	return f
}

// settle adds what is on record about the service's container to its fate.
func (f *fate) settle(d Deployment, edits string, compared bool) {
	if !d.There {
		f.reasons = slices.Insert(slices.Clone(f.reasons), f.asked, Reason{Kind: ByNeverDeployed})
		f.reasons = f.reasons[:min(len(f.reasons), maxReasons)]
		f.count++
		f.touched, f.sure = true, true
		return
	}
	if compared {
		f.compareEdits(edits != "" && d.Edits == edits)
	}
	if d.Drift {
		f.addConfig(Reason{Kind: ByDrift})
	}
}

// compareEdits decides about a service that was deployed with edits on top of the
// commit that it is compared with: when they are all that differs, nothing changed.
func (f *fate) compareEdits(same bool) {
	switch {
	case same:
		asked := f.asked > 0
		f.verdict = verdict{asked: f.asked, reasons: f.reasons[:f.asked], count: f.asked, certain: asked}
		f.chains, f.touched, f.sure = nil, asked, asked
	case !f.touched, f.count == f.asked && len(f.chains) == 0:
		f.add(true, Reason{Kind: ByEdits})
		f.touched, f.sure = true, true
	}
}
