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
	Flake    string   // reference of the flake, as of the plan's head
	Services []string // all of the registry, in the plan or not

	planner *Planner
	at      state
	dir     string // of the flake in the repository
	moves   bool   // the flake is not part of the repository: what it is may change at any time
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
	return a.view.order(out), nil
}

// order is an order for the head that was looked at.
func (v *view) order(answer *Plan) *Order {
	o := &Order{
		Plan: answer, Services: v.names, planner: v.planner,
		at: v.state(), dir: v.loaded.FlakeDir, moves: v.loaded.Flake && v.loaded.outside,
	}
	commit := v.commit.ID
	if v.work {
		commit = ""
	}
	o.Flake = v.loaded.ref
	if !o.moves {
		o.Flake = v.planner.Source.Nix.GitRef(v.planner.Source.Root, commit, o.dir)
	}
	return o
}
