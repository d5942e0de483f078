package harness

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/registry"
	"homelab/tools"
)

const pruneTool = "docker_prune"

// prune previews what of ours is not needed any more, or has it go.
func (h *Harness) prune(ctx context.Context, r deploy.PruneRequest, report tools.Report) (*deploy.PruneReport, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		return nil, err
	}
	p := &pruning{Harness: h, reg: loaded.Registry, jobs: jobs}
	if err := p.resolve(&r); err != nil {
		return nil, err
	}
	preview, err := p.preview(ctx, r)
	if err != nil || r.Confirm == "" {
		return preview, err
	}
	if preview.Unconfirmed() == "" {
		preview.Settle()
		return preview, nil
	}
	run, err := jobs.Begin(ctx, job.Spec{Tool: pruneTool, Services: preview.Services(), Input: r})
	if err != nil {
		return nil, err
	}
	result, err := job.Do(ctx, run, func(ctx context.Context) (*deploy.PruneReport, bool, error) {
		// Again, now that nobody else of this repository can move anything.
		result, err := p.preview(ctx, r)
		if err != nil {
			return nil, false, err
		}
		result.JobID = run.ID
		p.carryOut(ctx, result, messages(onRecord(run, report)))
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

// pruning is one call of the tool docker_prune.
type pruning struct {
	*Harness
	reg  *registry.Registry
	jobs *job.Store
}

// resolve says which service and host are meant.
func (p *pruning) resolve(r *deploy.PruneRequest) error {
	if r.Service != "" {
		name, err := p.reg.Lookup(r.Service)
		if err != nil {
			return err
		}
		r.Service, r.Host = name, cmp.Or(r.Host, p.reg.Services[name].HostOf())
	}
	if r.Host == "" {
		return nil
	}
	_, err := hostOf(p.reg, r.Host)
	return err
}

// hosts are those that are asked: the one that is named, else all of the registry, and
// this machine where a service is on it.
func (p *pruning) hosts(r deploy.PruneRequest) []string {
	if r.Host != "" {
		return []string{r.Host}
	}
	names := []string{}
	for name := range p.reg.Hosts {
		names = append(names, name)
	}
	for _, s := range p.reg.Services {
		if s.Deploy != nil {
			names = append(names, s.HostOf())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// preview finds out what would go. With confirm it has to be what was confirmed.
func (p *pruning) preview(ctx context.Context, r deploy.PruneRequest) (*deploy.PruneReport, error) {
	names := p.hosts(r)
	hosts, engines := make([]deploy.PruneHost, len(names)), make([]string, len(names)) // IDs
	sideBySide(names, hostsAtOnce, func(i int, name string) {
		ctx, stop := context.WithTimeout(ctx, statusPatience)
		defer stop()
		hosts[i], engines[i] = p.survey(ctx, name, r.Service)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i, name := range names {
		if first := slices.Index(engines, engines[i]); first < i && engines[i] != "" {
			hosts[i] = deploy.PruneHost{Name: name, Answers: true, SameAs: names[first], Items: []deploy.PruneItem{}, Orphans: []deploy.PruneItem{}}
		}
	}
	preview, err := deploy.Sum(hosts)
	if err == nil && r.Confirm != "" {
		err = deploy.Confirms(r.Confirm, preview.PreviewID)
	}
	return preview, err
}

// survey says what would go on a host, and which engine it has.
func (p *pruning) survey(ctx context.Context, name, only string) (host deploy.PruneHost, engineID string) {
	keeping := deploy.Keeping{Services: p.reg.Services, Only: only, Keep: keepGenerations, Busy: map[string]bool{}}
	for service := range p.reg.Services {
		entry, err := switches(p.jobs).Read(name, service)
		keeping.Busy[service] = err != nil || entry != nil && !entry.Leftover || len(halfMoved(p.jobs, name, service)) > 0
	}
	err := p.on(ctx, p.reg.AllHosts()[name], func(engine deploy.Containers) error {
		platform, err := engine.Platform(ctx)
		if err != nil {
			return err
		}
		all, err := engine.List(ctx)
		if err != nil {
			return err
		}
		images, err := engine.Images(ctx)
		host, engineID = deploy.Prunable(all, images, keeping), platform.ID
		return err
	})
	if host.Name = name; err != nil {
		return deploy.PruneHost{Name: name, Items: []deploy.PruneItem{}, Orphans: []deploy.PruneItem{}, Problem: build.ProblemOf(inTime(name, err))}, ""
	}
	return host, engineID
}

// carryOut has everything of a preview go, on all hosts side by side.
func (p *pruning) carryOut(ctx context.Context, r *deploy.PruneReport, say func(string)) {
	var mu sync.Mutex
	sideBySide(r.Hosts, hostsAtOnce, func(i int, _ deploy.PruneHost) {
		h := &r.Hosts[i]
		if len(h.Items) == 0 {
			return
		}
		err := p.on(ctx, p.reg.AllHosts()[h.Name], func(engine deploy.Containers) error {
			deploy.Prune(ctx, engine, h.Items)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			h.Unreached(err)
		}
		mu.Lock()
		defer mu.Unlock()
		say(h.Name + ": done")
	})
}
