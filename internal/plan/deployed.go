package plan

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
)

// Deployment is what is on record about a service on its host.
type Deployment struct {
	There    bool   // its host has a container of it, which the rest is about
	ID       string // of the container
	Revision string // full id of the commit that it was built from; empty: nothing was committed, or it is not known
	Dirty    bool   // it was built from edits on top of that
	Edits    string // fingerprint of the edits that touched it, see [Order.Edits]; empty: not known
	Out      string // store path of its artifact; empty: not known
	Drift    bool   // it is configured otherwise than the registry says
}

// asksDeployed says whether the question is about what is deployed: no base was
// named, the head is the work tree, and trees are not compared for their own sake.
func (r Request) asksDeployed() bool {
	return r.Base == "" && r.Head == "" && !r.MergeBase && r.Mode != Audit
}

// deployedBases compares the services that are on record as deployed each with
// what it was deployed from.
func (p *Planner) deployedBases(ctx context.Context, v *view, b *bases, selected []string) error {
	var asked []string
	for _, name := range selected {
		if v.registry().Services[name].Deploy != nil {
			asked = append(asked, name)
		}
	}
	if len(asked) == 0 || p.Deployed == nil {
		return nil
	}
	found, warnings, err := p.Deployed(ctx, v.registry(), asked)
	if err != nil {
		return fmt.Errorf("what is deployed: %w", err)
	}
	v.warnings = append(v.warnings, warnings...)
	b.deployed = found
	byOrigin := map[string]*comparison{}
	for _, name := range asked {
		d, known := found[name]
		if !known || !d.There {
			continue
		}
		origin := d.origin()
		c := byOrigin[origin]
		if c == nil {
			if c, err = p.deployedBase(ctx, v, b.main, d); err != nil {
				return err
			}
			byOrigin[origin] = c
			if c != b.main {
				b.all = append(b.all, c)
			}
		}
		c.deployed = append(c.deployed, name)
		if c != b.main {
			b.byService[name] = c
		}
	}
	b.promote(selected)
	return nil
}

const unknownOrigin = "?"

// origin is the commit that a service was built from, as a revision.
func (d Deployment) origin() string {
	_, err := hex.DecodeString(d.Revision)
	switch {
	case d.Revision == "" && d.Dirty:
		return strings.Repeat("0", 40) // edits on top of nothing
	case err != nil || len(d.Revision) != 40 && len(d.Revision) != 64:
		return unknownOrigin // whoever wrote that
	}
	return d.Revision
}

// deployedBase is the comparison with what a service was deployed from: the main
// one, where that is with the same commit.
func (p *Planner) deployedBase(ctx context.Context, v *view, main *comparison, d Deployment) (*comparison, error) {
	origin := d.origin()
	if origin == unknownOrigin {
		return &comparison{missing: true, side: Side{Ref: "the deployed revision", State: StateMissing, Relation: "unknown", Why: noOrigin}}, nil
	}
	if len(main.commits) == 1 && main.commits[0].ID == d.Revision {
		return main, nil
	}
	return p.comparisonWith(ctx, v, origin, "recorded as deployed")
}

// noOrigin is the reason of a base that is missing because nothing is on record of it.
const noOrigin = "recorded as deployed, without a commit"

// promote makes what all services were deployed from the base of the plan, where
// that is one commit.
func (b *bases) promote(selected []string) {
	var one *comparison
	for _, name := range selected {
		c := b.byService[name]
		if d, known := b.deployed[name]; known && !d.There {
			continue // whatever it is compared with
		}
		if c == nil || one != nil && c != one {
			return
		}
		one = c
	}
	if one != nil {
		b.main, b.all, b.byService = one, []*comparison{one}, nil
	}
}
