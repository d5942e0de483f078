package harness

import (
	"context"
	"maps"
	"slices"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/plan"
	"homelab/registry"
)

// statusPatience is how long a host may take to say what runs.
const statusPatience = 10 * time.Second

// status says what runs. Hosts are asked side by side, so that one that does not
// answer holds up nobody for longer than its own time.
func (h *Harness) status(ctx context.Context, r deploy.StatusRequest) (*deploy.StatusReport, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		return nil, err
	}
	asked, err := asked(loaded.Registry, r.Services)
	if err != nil {
		return nil, err
	}
	journal := switches(jobs)
	names := slices.Sorted(maps.Keys(asked))
	hosts, found := make([]deploy.HostStatus, len(names)), make([][]deploy.ServiceStatus, len(names))
	all := make(chan struct{})
	go func() {
		defer close(all)
		sideBySide(names, hostsAtOnce, func(i int, name string) {
			ctx, stop := context.WithTimeout(ctx, statusPatience)
			defer stop()
			engine, _, done, err := h.dial(ctx, asked[name][0].Host)
			if err == nil {
				// What closing a connection says changes no answer.
				defer func() { _ = done() }()
			}
			hosts[i], found[i] = deploy.OnHost(ctx, engine, err, name, asked[name], journal)
			tellMoves(jobs, found[i])
		})
	}()
	// Of all services, whichever were asked for: naming one would count as a change.
	wish := wished(ctx, planner, r.Exact)
	<-all
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return deploy.Gather(hosts, append([]deploy.ServiceStatus{}, slices.Concat(found...)...), wish), nil
}

// wished is what all services are to run.
func wished(ctx context.Context, planner *plan.Planner, exact bool) deploy.Wish {
	ask := plan.Request{}
	if exact {
		ask.Mode = plan.Exact
	}
	order, err := planner.Order(ctx, ask, "")
	if err != nil {
		return deploy.Wish{Err: err}
	}
	outs, err := order.Wanted(ctx)
	return deploy.Wish{Plan: order.Plan, Outs: outs, Err: err}
}

// asked are the services that are asked about, by host: those that are named, else
// all that are deployed.
func asked(reg *registry.Registry, named []string) (map[string][]deploy.Deployed, error) {
	names := []string{}
	for _, name := range named {
		known, err := reg.Lookup(name)
		if err != nil {
			return nil, err
		}
		names = append(names, known)
	}
	if len(named) == 0 {
		for _, name := range reg.Names() {
			if reg.Services[name].Deploy != nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	byHost := map[string][]deploy.Deployed{}
	for _, name := range slices.Compact(names) {
		s := reg.Services[name]
		byHost[s.HostOf()] = append(byHost[s.HostOf()], deploy.Deployed{Name: name, Service: s, Host: reg.AllHosts()[s.HostOf()]})
	}
	return byHost, nil
}
