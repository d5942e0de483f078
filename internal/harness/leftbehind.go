package harness

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
	"homelab/tools"
)

// leftBehind warns of what this machine has deployed to hosts where the registry does
// not have it any more: moved to another host, or taken out, it goes on running. The
// containers that are current where the registry has them are no such, whatever their
// host was called before.
func (l *ledger) leftBehind(ctx context.Context, journal deploy.Ledger, reg *registry.Registry, about func(service string) bool, current []string) []plan.Warning {
	byHost := map[string][]deploy.Record{}
	for _, r := range journal.Records() {
		s, known := reg.Services[r.Service]
		stays := known && s.Deploy != nil && s.HostOf() == r.Host
		if known && s.Deploy != nil && !stays {
			stays = journal.Dir != "" && movedTo(filepath.Dir(journal.Dir), r.Service, s.HostOf()) == r.Host // what is to follow is the registry
		}
		if !stays && about(r.Service) && !slices.Contains(current, r.Container) {
			byHost[r.Host] = append(byHost[r.Host], r)
		}
	}
	found := make([]*plan.Warning, len(byHost))
	sideBySide(slices.Sorted(maps.Keys(byHost)), hostsAtOnce, func(i int, name string) {
		found[i] = l.behindOn(ctx, journal, reg, byHost[name], current)
	})
	warnings := []plan.Warning{}
	for _, w := range found {
		if w != nil {
			warnings = append(warnings, *w)
		}
	}
	return warnings
}

// behindOn is the warning of one host; nil when nothing of the records runs there.
func (l *ledger) behindOn(ctx context.Context, journal deploy.Ledger, reg *registry.Registry, records []deploy.Record, current []string) *plan.Warning {
	name, services := records[0].Host, []string{}
	for _, r := range records {
		services = append(services, r.Service)
	}
	warning := func(hint, format string, args ...any) *plan.Warning {
		return &plan.Warning{Code: "leftBehind", Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	forget := "remove " + journal.Path(name, services[0])
	if len(services) > 1 {
		forget += ", and so on"
	}
	host, known := reg.AllHosts()[name]
	if !known {
		return warning("end what runs there by hand, then "+forget,
			"%s: deployed to host %s, which the registry does not have any more; it may go on running there", tools.Some(services, 5), name)
	}
	h := l.ask(ctx, name, host)
	if h.err != nil {
		return warning("check it with homelab doctor; when the host is gone for good, "+forget,
			"%s: deployed to host %s, where the registry does not have it any more; it may go on running there (%s)", tools.Some(services, 5), name, fault.Of(h.err).Message)
	}
	running := []string{}
	for _, c := range h.containers {
		if slices.Contains(services, c.Labels[deploy.LabelService]) && c.Runs() && !slices.Contains(current, c.ID) {
			running = append(running, c.Name)
		}
	}
	if len(running) == 0 {
		return nil
	}
	return warning("end it there when it is not needed any more (docker rm --force "+running[0]+"): its volumes stay, with what is in them",
		"host %s goes on running %s, which the registry does not have there any more", name, tools.Some(running, 5))
}
