package harness

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"homelab/internal/build"
	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

// storePatience is how long a store may take to tell what it has.
var storePatience = 30 * time.Second

// bundleList says which bundles there are. Stores are asked side by side, so that one
// that does not answer holds up nobody for longer than its own time.
func (h *Harness) bundleList(ctx context.Context, r state.ListRequest) (*state.Listing, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	if r.Service != "" {
		if r.Service, err = reg.Lookup(r.Service); err != nil {
			return nil, err
		}
	}
	names, err := storesOf(reg, r.Service, r.Store)
	if err != nil {
		return nil, err
	}
	listing := &state.Listing{Bundles: []state.Listed{}, Stores: make([]state.StoreState, len(names))}
	found := make([][]state.Listed, len(names))
	sideBySide(names, hostsAtOnce, func(i int, name string) {
		var err error
		found[i], err = h.listed(ctx, jobs, name, r.Service)
		listing.Stores[i] = state.StoreState{Name: name, Answers: err == nil, Bundles: len(found[i])}
		if err != nil {
			listing.Stores[i].Problem = build.ProblemOf(err)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, bundles := range found {
		listing.Bundles = append(listing.Bundles, bundles...)
	}
	slices.SortStableFunc(listing.Bundles, func(a, b state.Listed) int {
		return cmp.Or(strings.Compare(b.Created, a.Created), strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID))
	})
	listing.Count = len(listing.Bundles)
	listing.Bundles = listing.Bundles[:min(listing.Count, cmp.Or(r.Limit, state.DefaultLimit))]
	return listing, nil
}

func (h *Harness) registryAndJobs(ctx context.Context) (*job.Store, *registry.Registry, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, nil, err
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	return jobs, loaded.Registry, nil
}

// listed are the bundles of one store.
func (h *Harness) listed(ctx context.Context, jobs *job.Store, address, service string) ([]state.Listed, error) {
	store, err := h.openStore(jobs, address)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	kept, err := listIn(ctx, store, service)
	if err != nil {
		return nil, err
	}
	bundles := []state.Listed{}
	for _, k := range kept {
		one := state.Listed{ID: k.ID, Service: k.Service, Store: address, Created: k.Created.UTC().Format(time.RFC3339), Size: k.Size}
		// Evidence that cannot be read is none.
		if v, known, err := evidence(jobs).Of(store.Name(), k); err == nil && known {
			one.Verified, one.Author = v.At.UTC().Format(time.RFC3339), v.Author
		}
		bundles = append(bundles, one)
	}
	return bundles, nil
}

// bundleVerify says whether a bundle is what was written.
func (h *Harness) bundleVerify(ctx context.Context, r state.VerifyRequest, report tools.Report) (*state.VerifyReport, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	store, kept, err := h.findBundle(ctx, jobs, reg, r.Bundle, r.Store)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	b, about, err := openBundle(ctx, jobs, reg, store, kept)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	m := b.Manifest()
	totals := m.Totals()
	result := &state.VerifyReport{
		Bundle: kept.ID, Service: kept.Service, Store: store.Name(), Created: kept.Created.UTC().Format(time.RFC3339), Size: kept.Size,
		Entries: totals.Entries, Bytes: totals.Bytes, Items: []string{}, About: *about,
	}
	for _, item := range m.Items {
		result.Items = append(result.Items, item.Name)
	}
	if !r.Deep {
		return result, nil
	}
	report(tools.Progress{Message: "reading " + tools.Size(kept.Size) + " of " + store.Name()})
	found, err := b.Verify(ctx)
	if err != nil {
		return nil, withdrawn(jobs, store, kept, err)
	}
	result.Deep, result.Index, result.Author = true, found.Index, found.Author
	return result, noteVerified(jobs, store, kept, *found)
}

// openBundle opens a bundle of somebody who is trusted, and tells what it says of its
// service.
func openBundle(ctx context.Context, jobs *job.Store, reg *registry.Registry, store state.Store, kept state.Kept) (state.Bundle, *state.About, error) {
	keys, err := readKeys(reg.Bundles)
	if err != nil {
		return nil, nil, err
	}
	b, err := store.Open(ctx, kept.Service, kept.ID, keys.Trust())
	if err != nil {
		return nil, nil, withdrawn(jobs, store, kept, err)
	}
	about, err := state.AboutOf(b.Manifest(), kept.Service)
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, &about, nil
}

// noteVerified remembers that every byte of a bundle was read, and is right.
func noteVerified(jobs *job.Store, store state.Store, kept state.Kept, found bundle.Report) error {
	return evidence(jobs).Note(state.Verified{
		Store: store.Name(), Service: kept.Service, ID: kept.ID, Size: kept.Size, Index: found.Index, Author: found.Author, At: time.Now().UTC(),
	})
}

// withdrawn forgets that a bundle was good once, when it is damaged now.
func withdrawn(jobs *job.Store, store state.Store, kept state.Kept, err error) error {
	if fault.CodeOf(err) != fault.BundleCorrupt {
		return err
	}
	return errors.Join(err, evidence(jobs).Withdraw(store.Name(), kept.Service, kept.ID))
}
