package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"homelab/internal/fault"
	"homelab/registry"
)

// List is the registry in brief.
func (p *Planner) List(ctx context.Context, r ListRequest) (*Listing, error) {
	limit, err := checkLimit(r.Limit)
	if err != nil {
		return nil, err
	}
	loaded, err := p.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := loaded.Registry
	names := reg.Names()
	used, hosts := reg.UsedHosts(), reg.AllHosts()
	out := &Listing{
		Source: loaded.Where, Count: len(names), HostCount: len(hosts), GlobalCount: len(reg.GlobalHints),
		Services: []ListedEntry{}, Hosts: []ListedHost{}, Globals: []string{},
	}
	for _, name := range cut(names, limit) {
		out.Services = append(out.Services, listed(name, reg.Services[name]))
	}
	for _, name := range cut(slices.Sorted(maps.Keys(hosts)), limit) {
		out.Hosts = append(out.Hosts, ListedHost{Name: name, Docker: hosts[name].Docker, System: hosts[name].System, Services: used[name]})
	}
	for _, globalHint := range cut(reg.GlobalHints, limit) {
		out.Globals = append(out.Globals, globalHint.Path)
	}
	return out, nil
}

func listed(name string, service registry.Service) ListedEntry {
	return ListedEntry{
		Name: name, Aliases: cut(service.Aliases, len(service.Aliases)), Description: service.Description,
		Host: service.HostOf(), Image: service.Build.Image,
		Systems:   slices.Sorted(maps.Keys(service.Build.Targets)),
		DependsOn: cut(service.DependsOn, len(service.DependsOn)),
		State:     stateClass(service.State),
	}
}

// stateClass is the most precious class among the items of a service's state.
func stateClass(state *registry.State) string {
	order := []string{"none", "recomputable", "durable", "secret"}
	most := 0
	if state == nil {
		return order[0]
	}
	for _, item := range state.Items {
		class := item.Class
		if class == "" {
			class = "durable"
		}
		most = max(most, slices.Index(order, class))
	}
	return order[most]
}

// Load reads the registry as it is in the work tree.
func (p *Planner) Load(ctx context.Context) (*Loaded, error) {
	if p.Source.plain() {
		return p.Source.readPlain(ctx)
	}
	v, err := p.look(ctx, "")
	if err != nil {
		return nil, err
	}
	return v.loaded, nil
}

// Get is one service, whole, with the target chosen for its host.
func (p *Planner) Get(ctx context.Context, r GetRequest) (*Resolved, error) {
	if err := (Request{System: r.System}).Validate(); err != nil {
		return nil, err
	}
	loaded, err := p.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := loaded.Registry
	name, err := reg.Lookup(r.Name)
	if err != nil {
		return nil, err
	}
	service := reg.Services[name]
	targets, warnings, err := p.targets(ctx, reg, []string{name}, r.System)
	if err != nil {
		return nil, err
	}
	out := &Resolved{
		Name: name, Source: loaded.Where, Host: service.HostOf(), Target: targets[name], Service: service,
		Dependents: dependents(reg, name), Warnings: append(slices.Clone(loaded.Warnings), warnings...),
	}
	if missing := noTarget(name, service, out.Target); missing != nil {
		out.Warnings = append(out.Warnings, *missing)
	}
	out.Warnings = capWarnings(out.Warnings)
	return out, nil
}

// dependents are all services that depend on one, directly or not.
func dependents(reg *registry.Registry, name string) []string {
	names := reg.Names()
	verdicts := make([]verdict, len(names))
	i, _ := slices.BinarySearch(names, name)
	verdicts[i].certain = true
	s := newSpread(names, needsOf(reg, names), verdicts)
	out := []string{}
	for at := range names {
		if at != i && s.touched(at) {
			out = append(out, names[at])
		}
	}
	return out
}

func checkLimit(limit int) (int, error) {
	if limit < 0 || limit > MaxLimit {
		return 0, fault.Newf(fault.InvalidArgument, fmt.Sprintf("limit goes from 1 to %d; left out it is %d", MaxLimit, DefaultLimit),
			"limit: %d is out of range", limit)
	}
	if limit == 0 {
		return DefaultLimit, nil
	}
	return limit, nil
}
