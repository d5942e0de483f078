package harness

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

// bundleAll makes a bundle of each service, or of each that is due.
func (h *Harness) bundleAll(ctx context.Context, r state.BundleRequest, report tools.Report) (*state.BundleReport, error) {
	if !r.Background {
		return h.eachBundle(ctx, r, report)
	}
	jobs, _, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	r.Background = false
	// It claims no service: the jobs of each do.
	id, err := h.detach(ctx, jobs, job.Spec{Tool: bundleTool, Input: r})
	if err != nil {
		return nil, err
	}
	return &state.BundleReport{State: "running", JobID: id, Warnings: []string{}}, nil
}

// workOnAll does the detached job of all services in this process.
func (h *Harness) workOnAll(ctx context.Context, run *job.Run, r state.BundleRequest) error {
	_, err := job.Do(ctx, run, func(ctx context.Context) (*state.BundleReport, bool, error) {
		result, err := h.eachBundle(ctx, r, onRecord(run, func(tools.Progress) {}))
		if err != nil {
			return nil, false, err
		}
		result.JobID = run.ID
		if result.State == "canceled" {
			err = &fault.Error{Code: fault.Canceled, Message: "the rest was canceled", Hint: "call it again: what was made stays", Err: context.Canceled}
		}
		return result, result.Code() == "", err
	})
	return err
}

// eachBundle takes one service after another. What one fails with is its own.
func (h *Harness) eachBundle(ctx context.Context, r state.BundleRequest, report tools.Report) (*state.BundleReport, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	services, err := stateful(reg, r.Store)
	if err != nil {
		return nil, err
	}
	if r.Due {
		h.notDue(ctx, jobs, reg, services)
	}
	waiting := func(s state.ServiceBundle) bool { return s.Status == state.BundlePending }
	total := len(slices.DeleteFunc(slices.Clone(services), func(s state.ServiceBundle) bool { return !waiting(s) }))
	done := 0
	for i := range services {
		if s := &services[i]; waiting(*s) && ctx.Err() == nil {
			h.oneOfAll(ctx, jobs, reg.Services[s.Service].HostOf(), s, func(p tools.Progress) {
				report(tools.Progress{Done: done, Total: total, Message: s.Service + ": " + p.Message})
			})
			done++
		}
	}
	result := state.SumBundles(services)
	if ctx.Err() != nil {
		result.State = "canceled"
	}
	return result, nil
}

// stateful are the services that have something to keep, by name, those that have a
// named store, and where their bundles go.
func stateful(reg *registry.Registry, named string) ([]state.ServiceBundle, error) {
	if _, err := storesOf(reg, "", named); err != nil {
		return nil, err
	}
	services := []state.ServiceBundle{}
	for _, name := range slices.Sorted(maps.Keys(reg.Services)) {
		s := reg.Services[name].State
		if s == nil || !slices.ContainsFunc(s.Items, func(i registry.StateItem) bool { return i.Class != "recomputable" }) {
			continue
		}
		one := state.ServiceBundle{Service: name, Store: named, Status: state.BundlePending}
		switch {
		case named != "" && !slices.Contains(s.Stores, named):
			continue
		case len(s.Stores) == 0:
			one.Status = state.BundleNoStore
		case named == "":
			one.Store = s.Stores[0]
		}
		services = append(services, one)
	}
	return services, nil
}

// notDue says of services that they are not due, or that their store does not tell. Each
// store is asked once, side by side; no host is.
func (h *Harness) notDue(ctx context.Context, jobs *job.Store, reg *registry.Registry, services []state.ServiceBundle) {
	byStore := map[string][]*state.ServiceBundle{}
	for i := range services {
		if s := &services[i]; s.Status == state.BundlePending {
			byStore[s.Store] = append(byStore[s.Store], s)
		}
	}
	now := time.Now()
	sideBySide(slices.Collect(maps.Keys(byStore)), hostsAtOnce, func(_ int, address string) {
		kept, err := h.keptIn(ctx, jobs, address)
		for _, s := range byStore[address] {
			if err != nil {
				if ctx.Err() == nil {
					s.Fail(err)
				}
				continue
			}
			newest, due := state.Due(reg.Services[s.Service].State.Every, kept[s.Service], now)
			if !newest.IsZero() {
				s.Newest = newest.UTC().Format(time.RFC3339)
			}
			if !due {
				s.Status = state.BundleNotDue
			}
		}
	})
}

// keptIn are the bundles of a store, by service.
func (h *Harness) keptIn(ctx context.Context, jobs *job.Store, address string) (map[string][]state.Kept, error) {
	store, err := h.openStore(jobs, address)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	all, err := listIn(ctx, store, "")
	byService := map[string][]state.Kept{}
	for _, k := range all {
		byService[k.Service] = append(byService[k.Service], k)
	}
	return byService, err
}

// oneOfAll makes the bundle of one service, as a job of its own, where the service is: its
// bundles go on while the registry still names the host that it was moved away from.
func (h *Harness) oneOfAll(ctx context.Context, jobs *job.Store, home string, s *state.ServiceBundle, report tools.Report) {
	host, err := whereabouts(jobs, s.Service, home)
	if err != nil {
		s.Fail(err)
		return
	}
	r := state.BundleRequest{Service: s.Service, Store: s.Store}
	if host != home {
		r.Host = host
	}
	b, err := h.newBundling(ctx, &r)
	if err != nil {
		s.Fail(err)
		return
	}
	run, err := jobs.Begin(ctx, job.Spec{Tool: bundleTool, Services: []string{s.Service}, Input: r})
	if err != nil {
		s.Fail(err)
		return
	}
	s.JobID = run.ID
	var made *state.BundleReport
	err = guarded(filepath.Join(run.Dir, "panic.log"), func() (err error) {
		made, err = b.do(ctx, run, report)
		return err
	})
	if err != nil {
		s.Fail(err)
		return
	}
	s.Tell(made)
	if host != home {
		s.Warnings = append(s.Warnings, fmt.Sprintf("captured on %s, where it was moved to: set services.%s.deploy.host in the registry, which says %s", host, s.Service, home))
	}
}
