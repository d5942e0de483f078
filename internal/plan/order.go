package plan

import (
	"context"
	"slices"

	"homelab/internal/fault"
)

// Order is a plan as whoever carries it out needs it: whole, and with the tree
// to evaluate.
type Order struct {
	Plan     *Plan
	Services []string // all of the registry, in the plan or not

	flake flake             // as of the plan's head
	edits map[string]string // by service
	exact bool              // only if the plan is still what there is to do
}

// Order answers a question as Plan does, of every service, and keeps the tree
// it was answered for. When planID is not empty and the answer has another id,
// it fails with [fault.Conflict].
func (p *Planner) Order(ctx context.Context, r Request, planID string) (*Order, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	a, out, _, err := p.whole(ctx, r)
	if err != nil {
		return nil, err
	}
	if planID != "" && planID != out.PlanID {
		return nil, fault.Newf(fault.Conflict, "plan again with the same arguments, look at what it says now, and pass its planId",
			"plan %.12s… is not what there is to do now: that is %.12s…", planID, out.PlanID)
	}
	out.Services = slices.Clone(a.decided)
	edits, err := a.orderEdits(ctx)
	if err != nil {
		return nil, err
	}
	return &Order{Plan: out, Services: a.view.names, flake: a.view.flake(a.view.state()), edits: edits, exact: planID != ""}, nil
}

// Wanted are the store paths that services are to run, by name: of those whose
// target this order evaluated, or that an equal state of the repository evaluated
// before. It asks no Nix.
func (o *Order) Wanted(ctx context.Context) (map[string]string, error) {
	known, err := o.flake.remembered(ctx)
	if err != nil {
		return nil, err
	}
	outs := map[string]string{}
	for _, s := range o.Plan.Services {
		out := known[s.Target.Attr].Out
		if s.Out != nil && s.Out.New != "" {
			out = s.Out.New
		}
		if out != "" {
			outs[s.Name] = out
		}
	}
	return outs, nil
}

// Evaluate evaluates attributes of the flake as of the plan's head, or
// remembers what they evaluated to, unless fresh is set: a derivation may have
// been collected as garbage meanwhile. Moved says that somebody edited the work
// tree after it was planned; an order for a plan that was named then fails with
// [fault.Conflict].
func (o *Order) Evaluate(ctx context.Context, attrs []string, fresh bool) (known map[string]Evaluated, moved bool, err error) {
	known, moved, err = o.flake.evaluate(ctx, attrs, fresh)
	if err == nil && moved && o.exact {
		return nil, true, fault.Newf(fault.Conflict, "plan again, look at what it says now, and pass its planId",
			"the work tree was edited after plan %.12s… was made", o.Plan.PlanID)
	}
	return known, moved, err
}
