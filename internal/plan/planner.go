package plan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"homelab/internal/fault"
	"homelab/registry"
)

// Planner answers questions about one repository and its registry. It is safe
// for concurrent use when its parts are.
type Planner struct {
	Repo   Repo
	Source *Source

	// SystemOf asks a host's engine which Nix system it runs. An error means
	// the next way to know is tried, and a warning.
	SystemOf func(ctx context.Context, name string, host registry.Host) (string, error)
	// Machine is the Nix system of the machine homelab runs on, as Linux would
	// be called there: what its Docker engine runs containers for.
	Machine string
	// Getenv looks up the overrides NIX_<ALIAS>_TARGET and HOMELAB_SYSTEM.
	Getenv func(string) string
	// Deployed says what is on record about services that the registry deploys. A
	// service that it leaves out is decided by the base of the plan: nothing is
	// known of it. Nil where nothing records deployments.
	Deployed func(ctx context.Context, reg *registry.Registry, services []string) (map[string]Deployment, []Warning, error)

	mu   sync.Mutex
	last *prepared
}

// Plan says which services the change from base to head touches, and why.
func (p *Planner) Plan(ctx context.Context, r Request) (*Plan, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r.Limit = cmp.Or(r.Limit, DefaultLimit)
	at, err := parseCursor(r.Cursor)
	if err != nil {
		return nil, err
	}
	a, out, files, err := p.whole(ctx, r)
	if err != nil {
		return nil, err
	}
	if at.plan != "" && !strings.HasPrefix(out.PlanID, at.plan) {
		return nil, fault.New(fault.Conflict, "the cursor belongs to another answer: something moved since", "ask again without cursor")
	}
	a.page(out, files, at, r.Limit)
	return out, nil
}

// whole is the answer before its lists are cut, without the changed files,
// which come beside it.
func (p *Planner) whole(ctx context.Context, r Request) (*analysis, *Plan, []File, error) {
	v, err := p.look(ctx, r.Head)
	if err != nil {
		return nil, nil, nil, err
	}
	selected, err := v.selectServices(r.Services)
	if err != nil {
		return nil, nil, nil, err
	}
	bases, err := p.bases(ctx, v, r, selected)
	if err != nil {
		return nil, nil, nil, err
	}
	a := newAnalysis(v)
	for _, b := range bases.all {
		if err := p.compare(ctx, v, b); err != nil {
			return nil, nil, nil, err
		}
		if err := a.match(ctx, b); err != nil {
			return nil, nil, nil, err
		}
	}
	targets, warnings, err := p.targets(ctx, v.registry(), selected, r.System)
	if err != nil {
		return nil, nil, nil, err
	}
	q := decideRequest{bases: bases, selected: selected, targets: targets, explicit: len(r.Services) > 0}
	if r.evaluates() {
		if q.outputs, err = a.outputs(ctx, q); err != nil {
			return nil, nil, nil, err
		}
	} else {
		r.Mode = "" // the default, asked for or not
	}
	out := &Plan{
		Mode: r.Mode,
		Base: bases.main.side, Head: v.side, Engine: v.snapshot.Engine(), Complete: true,
		GlobalChanges: []GlobalChange{}, InputChanges: []InputChange{},
		Warnings: append(append([]Warning{}, v.warnings...), warnings...),
	}
	if err := a.decide(ctx, out, q); err != nil {
		return nil, nil, nil, err
	}
	if r.Mode == Audit {
		if out.Audit, err = a.findings(ctx, out, q); err != nil {
			return nil, nil, nil, err
		}
	}
	files := a.files(bases.main)
	if len(r.Services) > 0 {
		r.Services = selected
	}
	out.PlanID, err = a.identity(ctx, out, files, r, bases.deployed)
	if err != nil {
		return nil, nil, nil, err
	}
	return a, out, files, nil
}

// identity is a digest of all that the answer depends on: what was asked, the
// registry, both sides, every changed file with its content as far as a hint
// covers it, what is on record as deployed, and every decision. How much of it is listed, and which engine
// read it, is left out.
func (a *analysis) identity(ctx context.Context, p *Plan, files []File, r Request, deployed map[string]Deployment) (string, error) {
	digests := make([]string, 0, len(a.covered))
	for _, c := range a.covered {
		digest, err := a.view.snapshot.Digest(ctx, c)
		if err != nil {
			return "", fmt.Errorf("read %q: %w", c.Path, err)
		}
		digests = append(digests, fmt.Sprintf("%s %q %s", c.Status, c.Path, digest))
	}
	encoded, err := json.Marshal(struct {
		Format       int
		Asked        []string
		MergeBase    bool
		System       string
		Registry     string
		Base, Head   Side
		Services     []Service
		Files        []File
		Digests      []string
		StaleHints   []StaleHint
		InputChanges []InputChange
		Mode         Mode                  `json:",omitempty"`
		Deployed     map[string]Deployment `json:",omitempty"`
	}{1, r.Services, r.MergeBase, r.System, a.view.loaded.Digest, p.Base, p.Head, a.decided, files, digests, p.StaleHints, p.InputChanges, r.Mode, deployed})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}
