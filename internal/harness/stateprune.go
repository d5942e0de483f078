package harness

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

const bundlePruneTool = "state_prune"

// bundlePrune previews which bundles a policy does not keep, or has them go.
func (h *Harness) bundlePrune(ctx context.Context, r state.PruneRequest, report tools.Report) (*state.PruneReport, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	p := &thinning{Harness: h, jobs: jobs, confirm: r.Confirm}
	if err := p.resolve(reg, r); err != nil {
		return nil, err
	}
	preview, err := p.preview(ctx)
	if err != nil || r.Confirm == "" {
		return preview, err
	}
	if preview.Unconfirmed() == "" {
		preview.Settle()
		return preview, nil
	}
	run, err := jobs.Begin(ctx, job.Spec{Tool: bundlePruneTool, Services: preview.Services(), Input: r})
	if err != nil {
		return nil, err
	}
	result, err := job.Do(ctx, run, func(ctx context.Context) (*state.PruneReport, bool, error) {
		// Again, now that nobody else of this repository makes bundles of them.
		result, err := p.preview(ctx)
		if err != nil {
			return nil, false, err
		}
		result.JobID = run.ID
		sideBySide(result.Stores, hostsAtOnce, func(i int, _ state.PruneStore) {
			p.carryOut(ctx, &result.Stores[i], messages(onRecord(run, report)))
		})
		if result.Settle(); ctx.Err() != nil {
			result.State = "canceled"
			return result, false, &fault.Error{Code: fault.Canceled, Message: "the pruning was canceled", Hint: "prune again: what is gone is gone", Err: ctx.Err()}
		}
		return result, result.Code() == "", nil
	})
	if result != nil && result.State == "canceled" {
		return result, nil // it says so, and what is gone
	}
	return result, err
}

// thinning is one call of the tool state_prune.
type thinning struct {
	*Harness
	jobs    *job.Store
	confirm string
	// stores has what is kept of the services that have bundles in a store, by its
	// address.
	stores map[string]map[string]registry.Retention
}

// resolve says which services, stores and policies are meant.
func (p *thinning) resolve(reg *registry.Registry, r state.PruneRequest) (err error) {
	if r.Service != "" {
		if r.Service, err = reg.Lookup(r.Service); err != nil {
			return err
		}
	}
	named, err := storesOf(reg, r.Service, r.Store)
	if err != nil {
		return err
	}
	p.stores = map[string]map[string]registry.Retention{}
	asked, found := r.Policy(), false
	for name, s := range reg.Services {
		if s.State == nil || r.Service != "" && r.Service != name {
			continue
		}
		policy := registry.Retention{}
		if s.State.Retention != nil {
			policy = *s.State.Retention
		}
		if asked != (registry.Retention{}) && (r.Service != "" || policy != (registry.Retention{})) {
			policy = asked
		}
		if policy == (registry.Retention{}) {
			continue
		}
		found = true
		for _, address := range s.State.Stores {
			if !slices.Contains(named, address) {
				continue
			}
			if p.stores[address] == nil {
				p.stores[address] = map[string]registry.Retention{}
			}
			p.stores[address][name] = policy
		}
	}
	return p.meant(r, found)
}

// meant fails when there is nothing that could be pruned.
func (p *thinning) meant(r state.PruneRequest, found bool) error {
	switch {
	case !found && r.Service != "":
		return fault.Newf(fault.Precondition, "say in the registry which are kept: services."+r.Service+".state.retention; or pass last, daily, weekly or monthly",
			"nothing says which bundles of %s are kept", r.Service)
	case !found:
		return fault.New(fault.Precondition, "nothing says which bundles are kept", "say it in the registry: state.retention of a service; or name a service, and pass last, daily, weekly or monthly")
	case len(p.stores) == 0 && r.Store != "":
		return fault.Newf(fault.InvalidArgument, "see state.stores in the registry", "nobody who is meant has bundles in %.200q", r.Store)
	case len(p.stores) == 0:
		return fault.New(fault.Precondition, "there is no place for bundles", "say in the registry where bundles go: state.stores")
	}
	return nil
}

// preview finds out what would go. With confirm it has to be what was confirmed.
func (p *thinning) preview(ctx context.Context) (*state.PruneReport, error) {
	names := slices.Sorted(maps.Keys(p.stores))
	stores := make([]state.PruneStore, len(names))
	now := time.Now()
	sideBySide(names, hostsAtOnce, func(i int, address string) {
		var err error
		if stores[i], err = p.survey(ctx, address, now); err != nil {
			stores[i] = state.PruneStore{Name: address, Answers: stores[i].Answers, Goes: []state.PruneBundle{}, Stays: []state.PruneBundle{}, Problem: build.ProblemOf(err)}
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	preview, err := state.SumPrune(stores)
	if err == nil && p.confirm != "" {
		err = deploy.Confirms(p.confirm, preview.PreviewID)
	}
	return preview, err
}

// survey says what would go from a store.
func (p *thinning) survey(ctx context.Context, address string, now time.Time) (s state.PruneStore, err error) {
	s = state.PruneStore{Name: address, Goes: []state.PruneBundle{}, Stays: []state.PruneBundle{}}
	store, err := p.openStore(p.jobs, address)
	if err != nil {
		return s, err
	}
	defer store.Close()
	for _, service := range slices.Sorted(maps.Keys(p.stores[address])) {
		kept, err := listIn(ctx, store, service)
		if s.Answers = err == nil; err != nil {
			return s, err
		}
		if err := p.sort(&s, store, service, kept, now); err != nil {
			return s, err
		}
	}
	return s, nil
}

// sort adds the bundles of a service, which go or stay.
func (p *thinning) sort(s *state.PruneStore, store state.Store, service string, kept []state.Kept, now time.Time) error {
	verified := func(k state.Kept) (bool, error) {
		_, known, err := evidence(p.jobs).Of(store.Name(), k)
		return known, err
	}
	return s.Add(kept, verified, state.Keeping{Policy: p.stores[s.Name][service], Now: now, Zone: time.Local})
}

// carryOut has everything go from a store that is to. What the store does not let go
// stays, and the others go; a store that does not answer any more is not asked again.
func (p *thinning) carryOut(ctx context.Context, s *state.PruneStore, say func(string)) {
	if len(s.Goes) == 0 {
		return
	}
	store, err := p.openStore(p.jobs, s.Name)
	if err == nil {
		defer store.Close()
	}
	kept := map[string][]state.Kept{} // by service
	for i := range s.Goes {
		b := &s.Goes[i]
		if fault.CodeOf(err) != fault.HostUnreachable && store != nil {
			err = p.remove(ctx, store, s.Name, b, kept)
		}
		switch {
		case err == nil:
			b.Status = state.Pruned
			say(b.ID + " of " + b.Service + " is gone")
		case ctx.Err() != nil:
			return
		default:
			b.Status, b.Problem = state.PruneFailed, build.ProblemOf(err)
		}
	}
}

// remove removes a bundle, and forgets that it was verified. When it is gone already
// somebody else was faster.
func (p *thinning) remove(ctx context.Context, store state.Store, address string, b *state.PruneBundle, kept map[string][]state.Kept) error {
	if err := p.stillGoes(ctx, store, address, b, kept); err != nil {
		return err
	}
	if err := store.Remove(ctx, b.Service, b.ID); err != nil && fault.CodeOf(err) != fault.NotFound {
		return err
	}
	return evidence(p.jobs).Withdraw(store.Name(), b.Service, b.ID)
}

// stillGoes says whether a bundle has become one that is kept: pruning takes its time,
// and whoever verifies meanwhile may find it to be the last good one.
func (p *thinning) stillGoes(ctx context.Context, store state.Store, address string, b *state.PruneBundle, kept map[string][]state.Kept) (err error) {
	if kept[b.Service] == nil {
		if kept[b.Service], err = listIn(ctx, store, b.Service); err != nil {
			return err
		}
	}
	now := state.PruneStore{Name: address}
	if err := p.sort(&now, store, b.Service, kept[b.Service], time.Now()); err != nil {
		return err
	}
	if at := slices.IndexFunc(now.Stays, func(o state.PruneBundle) bool { return o.ID == b.ID }); at >= 0 {
		return fault.Newf(fault.Conflict, "look at a new preview", "%s of %s is kept now: %s", b.ID, b.Service, strings.Join(now.Stays[at].Why, ", "))
	}
	return nil
}
