package harness

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/plan"
	"homelab/registry"
	"homelab/tools"
)

// How long all hosts have to tell their containers, and how long one that let us wait
// for nothing is not asked again.
const (
	ledgerPatience = 15 * time.Second
	longWait       = time.Second
	waitedFor      = 5 * time.Second
)

// ledger says what is deployed. The labels on containers tell, and for hosts that are
// silent the journal of this machine. Answers are not kept: somebody may deploy in
// between.
type ledger struct {
	list func(ctx context.Context, host registry.Host) (containers []dockerhost.Container, local bool, err error)
	now  func() time.Time

	mu     sync.Mutex
	silent map[string]silence // by the address of the engine
}

// silence is the failure of a host that let us wait.
type silence struct {
	heard
	until time.Time
}

// heard is what was heard of one host.
type heard struct {
	host       string
	containers []deploy.Container
	local      bool // its engine is on this machine
	err        error
}

// deployed says what is on record about services, all of which the registry deploys.
// Nothing at all is known while nothing of the registry is on record anywhere: a
// homelab that was never deployed is planned as one without hosts.
func (l *ledger) deployed(ctx context.Context, journal deploy.Ledger, reg *registry.Registry, services []string) (map[string]plan.Deployment, []plan.Warning, error) {
	byHost := map[string][]deploy.Deployed{}
	for _, name := range services {
		s := reg.Services[name]
		// The host local need not be declared: then there is nothing to say of it.
		byHost[s.HostOf()] = append(byHost[s.HostOf()], deploy.Deployed{Name: name, Service: s, Host: reg.Hosts[s.HostOf()]})
	}
	all := l.askAll(ctx, byHost)
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	known := func(name string) bool { _, there := reg.Services[name]; return there }
	onRecord := slices.ContainsFunc(all, func(h heard) bool {
		return slices.ContainsFunc(h.containers, func(c deploy.Container) bool { return known(c.Labels[deploy.LabelService]) })
	}) || journal.Any(known)
	found := map[string]plan.Deployment{}
	warnings := []plan.Warning{}
	for _, h := range all {
		open := []string{}
		for _, d := range byHost[h.host] {
			record, err := journal.Read(h.host, d.Name)
			if err != nil {
				warnings = append(warnings, plan.Warning{Code: "recordUnreadable", Message: err.Error(), Hint: "remove it: the next deployment writes it anew"})
			}
			deployment, there, err := h.deployment(d, record)
			switch {
			case err != nil:
				return nil, nil, err
			case there && onRecord:
				found[d.Name] = deployment
			case !there:
				open = append(open, d.Name)
			}
		}
		// What this machine's own engine runs this machine would have on record.
		if h.err != nil && (onRecord || !h.local) {
			warnings = append(warnings, h.warning(open))
		}
	}
	return found, warnings, nil
}

// askAll asks the hosts side by side, and returns what was heard by name.
func (l *ledger) askAll(ctx context.Context, hosts map[string][]deploy.Deployed) []heard {
	ctx, stop := context.WithTimeout(ctx, ledgerPatience)
	defer stop()
	all := make([]heard, len(hosts))
	sideBySide(slices.Sorted(maps.Keys(hosts)), hostsAtOnce, func(i int, name string) {
		all[i] = l.ask(ctx, name, hosts[name][0].Host)
	})
	return all
}

// ask asks one host for our containers.
func (l *ledger) ask(ctx context.Context, name string, host registry.Host) heard {
	h := heard{host: name}
	l.mu.Lock()
	before := l.silent[host.Docker]
	l.mu.Unlock()
	if host.TLS == nil && l.now().Before(before.until) {
		return heard{host: name, local: before.local, err: before.err}
	}
	start := l.now()
	listed, local, err := l.list(ctx, host)
	h.local, h.err = local, err
	if err != nil && host.TLS == nil && l.now().Sub(start) >= longWait {
		l.mu.Lock()
		l.silent[host.Docker] = silence{h, l.now().Add(waitedFor)}
		l.mu.Unlock()
	}
	for _, c := range listed {
		h.containers = append(h.containers, deploy.Container{ID: c.ID, Name: c.Name, State: deploy.State(c.State), Labels: c.Labels})
	}
	return h
}

// deployment is what is known of a service on the host, if anything is. A record about
// the very container that is there adds to its labels: it is of a run that found that
// what was built since is what runs.
func (h *heard) deployment(d deploy.Deployed, record *deploy.Record) (deployment plan.Deployment, known bool, err error) {
	var r deploy.Record
	switch c := deploy.Current(h.containers, d.Name, d.Service.ContainerOf(d.Name)); {
	case h.err != nil && record == nil:
		return plan.Deployment{}, false, nil
	case h.err == nil && c == nil:
		return plan.Deployment{}, true, nil
	case h.err != nil, record != nil && record.Container == c.ID:
		r = *record
	default:
		r = deploy.RecordOf(h.host, c.ID, c.Labels, time.Time{})
	}
	want, err := deploy.NewSpec(d.Name, d.Service, d.Host, "")
	return plan.Deployment{
		There: true, ID: r.Container, Revision: r.Revision, Dirty: r.State == plan.StateDirty, Edits: r.Edits, Out: r.Out,
		Drift: r.Spec != want.Hash(),
	}, true, err
}

// warning says what a silent host means for its services, of some of which nothing is
// on record here either.
func (h *heard) warning(open []string) plan.Warning {
	message, _, _ := strings.Cut(h.err.Error(), "\n")
	text := fmt.Sprintf("host %s does not say what it runs (%s): ", h.host, message)
	if len(open) == 0 {
		text += "what this machine deployed last counts"
	} else {
		text += "what " + tools.Some(open, 5) + " was deployed from is not known, so the base of the plan counts"
	}
	return plan.Warning{Code: "hostSilent", Message: text, Hint: "check it with homelab doctor, or name a base"}
}

// record keeps what a run came to: what it was asked for runs, made now or found so.
func (l *loader) record(host string, spec deploy.Spec, run *deploy.Switched, labels map[string]string) error {
	labels = maps.Clone(labels)
	labels[deploy.LabelService], labels[deploy.LabelSpec] = spec.Service, spec.Hash()
	labels[deploy.LabelGeneration] = strconv.Itoa(run.Generation)
	return journalOf(l.planner.Source.Root).Write(deploy.RecordOf(host, run.ID, labels, time.Now()))
}

// deployed is what is on record about services of the repository at root.
func (h *Harness) deployed(root string) func(context.Context, *registry.Registry, []string) (map[string]plan.Deployment, []plan.Warning, error) {
	return func(ctx context.Context, reg *registry.Registry, services []string) (map[string]plan.Deployment, []plan.Warning, error) {
		return h.ledger.deployed(ctx, journalOf(root), reg, services)
	}
}

// journalOf is the journal of what was deployed of the repository at root, if there is
// a place for one.
func journalOf(root string) deploy.Ledger {
	dir, err := stateDir(root)
	if err != nil {
		return deploy.Ledger{} // whoever deploys is told
	}
	return deploy.Ledger{Dir: filepath.Join(dir, "deployed")}
}
