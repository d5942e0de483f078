package harness

import (
	"cmp"
	"context"
	"slices"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/quiesce"
	"homelab/registry"
)

// subject is a service on a host.
type subject struct {
	name    string
	service registry.Service // the zero value: the registry does not have it, or is not asked
	host    string
	at      registry.Host
}

// subjectOf resolves the name or alias of a service, and the name of a host; empty: that
// of the service.
func subjectOf(reg *registry.Registry, service, host string) (s subject, err error) {
	if s.name, err = reg.Lookup(service); err != nil {
		return s, err
	}
	s.service = reg.Services[s.name]
	s.host = cmp.Or(host, s.service.HostOf())
	s.at, err = hostOf(reg, s.host)
	return s, err
}

// quiescer puts a service to rest, and wakes it as was said then, or else as the
// registry says now.
func (s subject) quiescer(jobs *job.Store, engine deploy.Containers, say func(string)) *quiesce.Quiescer {
	q := &quiesce.Quiescer{
		Engine: engine, Host: s.host, At: s.at, Journal: rests(jobs), Report: say,
		Watch: func(e *quiesce.Entry) (func(), error) { return watchdog(jobs.Dir, e.Host, e.Service, e.Token) },
	}
	if s.service.State != nil {
		method := quiesce.NewMethod(s.service.State.Quiesce)
		q.Method = &method
	}
	return q
}

// alone is the container of a service; nil: it has none. It fails when an earlier version
// runs too.
func (s subject) alone(ctx context.Context, engine deploy.Containers) (*deploy.Container, error) {
	all, err := engine.List(ctx)
	if err != nil {
		return nil, err
	}
	current, others := deploy.Generations(all, s.name, s.service.ContainerOf(s.name))
	for _, other := range others {
		if other.Runs() {
			return nil, fault.Newf(fault.Conflict, "end it by hand, or run homelab deploy repair", "%s, an earlier version of %s, runs too: it may write to the same state", other.Name, s.name)
		}
	}
	return current, nil
}

// strays are the volumes among items that a container does not mount: the registry may
// be ahead of what is deployed.
func strays(c *deploy.Container, items []registry.StateItem) []string {
	volumes := []string{}
	for _, item := range items {
		if c != nil && item.Volume != "" && !slices.ContainsFunc(c.Spec.Mounts, func(m deploy.Mount) bool { return m.Volume == item.Volume }) {
			volumes = append(volumes, item.Volume)
		}
	}
	return volumes
}
