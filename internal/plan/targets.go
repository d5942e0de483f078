package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"homelab/internal/fault"
	"homelab/registry"
)

// machine is what chooses the system when nothing else does.
const decidedByMachine = "machine"

// targets chooses what to build for each service. The order of who decides:
// the argument, NIX_<ALIAS>_TARGET, HOMELAB_SYSTEM, the host's system in the
// registry, the host's engine, this machine.
func (p *Planner) targets(ctx context.Context, reg *registry.Registry, names []string, asked string) (map[string]Target, []Warning, error) {
	targets := make(map[string]Target, len(names))
	undecided := map[string]bool{} // hosts whose engine must be asked
	for _, name := range names {
		service := reg.Services[name]
		target, err := p.decidedTarget(name, service, reg.Hosts[service.HostOf()], asked)
		if err != nil {
			return nil, nil, err
		}
		if target.DecidedBy == "" {
			undecided[service.HostOf()] = true
		}
		targets[name] = target
	}
	systems, warnings := p.askHosts(ctx, reg, slices.Sorted(maps.Keys(undecided)))
	for name, target := range targets {
		service := reg.Services[name]
		if target.DecidedBy == "" {
			target = systems[service.HostOf()]
		}
		if target.Attr == "" {
			target.Attr = service.Build.Targets[target.System]
		}
		targets[name] = target
	}
	return targets, warnings, nil
}

func (p *Planner) decidedTarget(name string, service registry.Service, host registry.Host, asked string) (Target, error) {
	if asked != "" {
		return Target{System: asked, DecidedBy: "argument"}, nil
	}
	for _, alias := range append(slices.Clone(service.Aliases), name) {
		variable := registry.TargetVariable(alias)
		if value := p.getenv(variable); value != "" {
			return overridden(service, variable, value)
		}
	}
	if system := p.getenv("HOMELAB_SYSTEM"); system != "" {
		return Target{System: system, DecidedBy: "HOMELAB_SYSTEM"}, checkSystem("HOMELAB_SYSTEM", system)
	}
	if host.System != "" {
		return Target{System: host.System, DecidedBy: "host"}, nil
	}
	return Target{}, nil
}

// checkSystem refuses a system that no registry can have a target for.
func checkSystem(from, system string) error {
	if registry.KnownSystem(system) {
		return nil
	}
	return fault.Newf(fault.InvalidArgument, fault.DidYouMean(system, registry.Systems), "%s: %.100q is not a Nix system homelab knows", from, system)
}

// overridden is the target that a variable names: a system, or a whole flake
// attribute, with or without the reference before it.
func overridden(service registry.Service, variable, value string) (Target, error) {
	if !strings.ContainsAny(value, ".#") {
		return Target{System: value, DecidedBy: variable}, checkSystem(variable, value)
	}
	_, attr, found := strings.Cut(value, "#")
	if !found {
		attr = value
	}
	target := Target{Attr: attr, DecidedBy: variable}
	for system, known := range service.Build.Targets {
		if known == attr {
			target.System = system
			return target, nil
		}
	}
	for _, part := range strings.Split(attr, ".") {
		if registry.KnownSystem(part) {
			target.System = part
		}
	}
	return target, nil
}

func (p *Planner) getenv(name string) string {
	if p.Getenv == nil {
		return ""
	}
	return p.Getenv(name)
}

const (
	hostsAtOnce = 16 // each may be an ssh process
	// hostsPatience is how long all hosts together may take to answer.
	hostsPatience = 30 * time.Second
)

// askHosts asks the engines of several hosts what they run, and assumes that it
// is what this machine does of those that do not say.
func (p *Planner) askHosts(ctx context.Context, reg *registry.Registry, hosts []string) (map[string]Target, []Warning) {
	ctx, cancel := context.WithTimeout(ctx, hostsPatience)
	defer cancel()
	answers := make([]Target, len(hosts))
	failures := make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(hostsAtOnce)
	for i, name := range hosts {
		group.Go(func() error {
			answers[i], failures[i] = p.askHost(ctx, name, reg.Hosts[name])
			return nil
		})
	}
	_ = group.Wait() // failures has the errors
	systems := make(map[string]Target, len(hosts))
	var silent []string
	var first error
	for i, name := range hosts {
		systems[name] = answers[i]
		if failures[i] != nil {
			silent = append(silent, name)
			first = cmp.Or(first, failures[i])
		}
	}
	return systems, p.hostsAssumed(silent, first)
}

func (p *Planner) askHost(ctx context.Context, name string, host registry.Host) (Target, error) {
	assumed := Target{System: p.Machine, DecidedBy: decidedByMachine}
	if p.SystemOf == nil {
		return assumed, nil
	}
	system, err := "", ctx.Err()
	if err == nil {
		system, err = p.SystemOf(ctx, name, host)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return assumed, fmt.Errorf("all hosts together have %s to answer", hostsPatience)
	case err == nil && system == "":
		return assumed, errors.New("its answer names no system")
	case err != nil:
		return assumed, err
	}
	return Target{System: system, DecidedBy: "daemon"}, nil
}

// hostsAssumed warns about the hosts that did not say what they run, with what
// the first of them said instead.
func (p *Planner) hostsAssumed(silent []string, first error) []Warning {
	if len(silent) == 0 {
		return nil
	}
	who, start := "engine of host "+silent[0], "start it"
	if len(silent) > 1 {
		who, start = fmt.Sprintf("engines of %d hosts (%s)", len(silent), some(silent)), "start them"
	}
	message, _, _ := strings.Cut(first.Error(), "\n")
	return []Warning{{"hostSystemAssumed",
		fmt.Sprintf("the Docker %s did not say what runs there (%s): assumed %s, as this machine", who, message, p.Machine),
		fmt.Sprintf("%s, or set hosts.%s.system in the registry, or pass system", start, silent[0])}}
}

// noTarget says that a service cannot be built for the system chosen for it.
func noTarget(name string, service registry.Service, target Target) *Warning {
	if target.Attr != "" {
		return nil
	}
	return &Warning{"noTarget",
		fmt.Sprintf("%s has no target for %s (chosen by %s); it has: %s", name, target.System, target.DecidedBy,
			strings.Join(slices.Sorted(maps.Keys(service.Build.Targets)), ", ")),
		fmt.Sprintf("add services.%s.build.targets.%s to the registry, or choose another system", name, target.System)}
}
