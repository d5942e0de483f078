package harness

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/registry"
)

// switches is the journal of the switches that are under way.
func switches(jobs *job.Store) deploy.Journal {
	return deploy.Journal{Dir: filepath.Join(jobs.Dir, "deploy")}
}

// findings are what hosts have of some services.
type findings struct {
	mu        sync.Mutex
	there     map[string]*deploy.Container
	missing   map[string]bool // the host answers, and has none
	files     map[string][]deploy.Difference
	brokenOff map[string]string
	failed    map[string]error // why one cannot be deployed
}

// concerns says whether a rollout of what there is to do has a part for a service: the
// plan says so, or it is not there, or it runs otherwise than the registry says.
func (f *findings) concerns(p plan.Service, reg *registry.Registry) bool {
	s := reg.Services[p.Name]
	if s.Deploy == nil {
		return false
	}
	if p.Decision != plan.None || f.missing[p.Name] || f.brokenOff[p.Name] != "" || len(f.files[p.Name]) > 0 {
		return true
	}
	c := f.there[p.Name]
	if c == nil || c.State != deploy.Running {
		return false // a service that somebody has stopped is left alone
	}
	spec, err := deploy.NewSpec(p.Name, s, reg.AllHosts()[s.HostOf()], c.Spec.Image)
	return err == nil && len(spec.Differences(c.Spec, false)) > 0
}

// withEnvFiles are services that run with env files, which may be others now.
func (f *findings) withEnvFiles(reg *registry.Registry) []string {
	names := []string{}
	for name, c := range f.there {
		if c != nil && c.State == deploy.Running && len(reg.Services[name].Deploy.EnvFiles) > 0 {
			names = append(names, name)
		}
	}
	return names
}

func (f *findings) fill(w *rollout.Wanted) {
	w.There, w.EnvFiles, w.BrokenOff, w.Err = f.there[w.Name], f.files[w.Name], f.brokenOff[w.Name], f.failed[w.Name]
}

// see keeps what a host that answers has of a service.
func (f *findings) see(name string, there *deploy.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there[name], f.missing[name] = there, there == nil
}

func (f *findings) differ(name string, files []deploy.Difference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[name] = files
}

// fail keeps the first reason why a service cannot be deployed.
func (f *findings) fail(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.failed[name] == nil {
		f.failed[name] = err
	}
}

// look finds out which containers the hosts of services have of them.
func (d *deployment) look(ctx context.Context, reg *registry.Registry, services []plan.Service) (*findings, error) {
	f := &findings{
		there: map[string]*deploy.Container{}, missing: map[string]bool{}, files: map[string][]deploy.Difference{},
		brokenOff: map[string]string{}, failed: map[string]error{},
	}
	names := []string{}
	for _, s := range services {
		if reg.Services[s.Name].Deploy == nil {
			continue
		}
		names = append(names, s.Name)
		entry, err := switches(d.jobs).Read(reg.Services[s.Name].HostOf(), s.Name)
		if f.fail(s.Name, err); entry != nil && !entry.Leftover {
			f.brokenOff[s.Name] = entry.Step
		}
		f.fail(s.Name, here(d.jobs, reg.Services[s.Name].HostOf(), s.Name))
	}
	return f, d.ask(ctx, reg, names, f, func(ctx context.Context, h *hostAsked) error {
		ctx, stop := context.WithTimeout(ctx, statusPatience)
		defer stop()
		all, err := h.engine.List(ctx)
		if err != nil {
			return inTime(h.name, err)
		}
		for _, name := range h.services {
			current, err := deploy.Switchable(all, name, reg.Services[name].ContainerOf(name))
			f.see(name, current)
			if f.brokenOff[name] == "" { // else that is repaired first
				f.fail(name, err)
				current, others := deploy.Generations(all, name, reg.Services[name].ContainerOf(name))
				f.fail(name, deploy.NotMoved(h.name, name, current, others))
			}
		}
		return nil
	})
}

// examine looks closer at the services that are to be deployed: whether something is in
// the way of one, and whether its env files are others now. Each has its own time; when
// one ran out of it, the others go on as long as the engine still answers. None is
// examined twice.
func (d *deployment) examine(ctx context.Context, reg *registry.Registry, names []string, f *findings) error {
	var deployed []string
	for _, name := range names {
		if _, examined := f.files[name]; !examined && reg.Services[name].Deploy != nil && f.failed[name] == nil {
			deployed = append(deployed, name)
		}
	}
	return d.ask(ctx, reg, deployed, f, func(ctx context.Context, h *hostAsked) error {
		ctx, giveUp := context.WithCancelCause(ctx)
		defer giveUp(nil)
		sideBySide(h.services, examinedAtOnce, func(_ int, name string) {
			differences, err := h.examine(ctx, name, reg.Services[name], f.there[name])
			if err = inTime(h.name, err); fault.CodeOf(err) == fault.HostUnreachable && !h.answers(ctx) {
				giveUp(err)
			}
			if cause := context.Cause(ctx); err != nil && cause != nil {
				err = cause
			}
			f.differ(name, differences)
			f.fail(name, err)
		})
		return nil
	})
}

// examinedAtOnce bounds how many services of one host are looked at side by side: each
// may take connections of its own.
const examinedAtOnce = 4

// hostAsked is a host that is asked about services of its.
type hostAsked struct {
	name     string
	host     registry.Host
	engine   deploy.Containers
	way      *dockerhost.Engine
	services []string
}

// answers says whether the engine still does.
func (h *hostAsked) answers(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, pingPatience)
	defer stop()
	_, err := h.engine.Platform(ctx)
	return err == nil
}

const pingPatience = 5 * time.Second

func (h *hostAsked) examine(ctx context.Context, name string, s registry.Service, there *deploy.Container) ([]deploy.Difference, error) {
	ctx, stop := context.WithTimeout(ctx, statusPatience)
	defer stop()
	if there == nil || there.Name != s.ContainerOf(name) {
		if err := deploy.Foreign(ctx, h.engine, h.name, name, s.ContainerOf(name)); err != nil {
			return nil, err
		}
	}
	spec, err := deploy.NewSpec(name, s, h.host, "")
	if err != nil {
		return nil, err
	}
	if err := safeMounts(ctx, &spec, h.way); err != nil || there == nil {
		return nil, err
	}
	return deploy.EnvDifferences(ctx, h.engine, there, spec)
}

// ask asks the hosts of services, side by side; the question bounds how long each may
// take. The services of one that does not answer cannot be deployed.
func (d *deployment) ask(ctx context.Context, reg *registry.Registry, names []string, f *findings, question func(context.Context, *hostAsked) error) error {
	byHost := map[string][]string{}
	for _, name := range names {
		host := reg.Services[name].HostOf()
		byHost[host] = append(byHost[host], name)
	}
	sideBySide(slices.Sorted(maps.Keys(byHost)), hostsAtOnce, func(_ int, host string) {
		h := &hostAsked{name: host, host: reg.AllHosts()[host], services: byHost[host]}
		engine, way, done, err := d.dial(ctx, h.host)
		if err == nil {
			// What closing a connection says changes no answer.
			defer func() { _ = done() }()
			h.engine, h.way = engine, way
			err = question(ctx, h)
		}
		for _, name := range h.services {
			f.fail(name, err)
		}
	})
	return ctx.Err()
}
