package harness

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

const migrateTool = "state_migrate"

// migrate previews what moving a service would do, or does it.
func (h *Harness) migrate(ctx context.Context, r state.MigrateRequest, report tools.Report) (*state.MigrateReport, error) {
	w, err := h.newMigrating(ctx, &r)
	if err != nil {
		return nil, err
	}
	w.say = messages(report)
	preview, err := w.look(ctx)
	if err != nil || r.Confirm == "" {
		return preview, err
	}
	background := r.Background
	r.Background = false
	return asJob(ctx, h, w.jobs, job.Spec{Tool: migrateTool, Services: []string{w.name}, Input: r}, background,
		func(id string) *state.MigrateReport {
			preview.State, preview.JobID = "running", id
			return preview
		},
		func(run *job.Run) (*state.MigrateReport, error) { return w.do(ctx, run, report) })
}

// workOnMigrate does a detached state_migrate in this process.
func (h *Harness) workOnMigrate(ctx context.Context, jobs *job.Store, run *job.Run) error {
	var r state.MigrateRequest
	if err := jobs.Input(run.ID, &r); err != nil {
		return run.Fail(err)
	}
	w, err := h.newMigrating(ctx, &r)
	if err != nil {
		return run.Fail(err)
	}
	_, err = w.do(ctx, run, func(tools.Progress) {})
	return err
}

// migrating is one call of the tool state_migrate.
type migrating struct {
	*Harness
	request  state.MigrateRequest
	jobs     *job.Store
	planner  *plan.Planner
	name     string
	service  registry.Service
	from, to state.End
	way      *dockerhost.Engine // to the host that it goes to
	say      func(string)
}

// subjectOn is the service on one of the two hosts.
func (w *migrating) subjectOn(end state.End) subject {
	return subject{w.name, w.service, end.Host, end.At}
}

// readied is what was built for a host.
type readied struct {
	out, pin string
	labels   map[string]string
	load     func(ctx context.Context, engine deploy.Engine) (*deploy.Loaded, error)
}

// newMigrating resolves the names of a request. What was moved before is where it was
// moved to.
func (h *Harness) newMigrating(ctx context.Context, r *state.MigrateRequest) (*migrating, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := planner.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := loaded.Registry
	w := &migrating{Harness: h, jobs: jobs, planner: planner, say: func(string) {}}
	if w.name, err = reg.Lookup(r.Service); err != nil {
		return nil, err
	}
	w.service = reg.Services[w.name]
	if w.service.Deploy == nil {
		return nil, fault.Newf(fault.Precondition, "say in the registry how it is deployed: services."+w.name+".deploy", "%s is not deployed", w.name)
	}
	if w.service.State == nil || len(w.service.State.Items) == 0 {
		return nil, fault.Newf(fault.Precondition, "set services."+w.name+".deploy.host in the registry, and deploy it", "%s has no state: nothing has to be moved", w.name)
	}
	if w.from.Host, err = whereabouts(jobs, w.name, w.service.HostOf()); err != nil {
		return nil, err
	}
	w.to.Host = r.ToHost
	if w.from.At, err = hostOf(reg, w.from.Host); err != nil {
		return nil, err
	}
	w.to.At, err = hostOf(reg, w.to.Host)
	r.Service = w.name
	w.request = *r
	return w, err
}

// stays says that the service goes to another place on the host that it is on.
func (w *migrating) stays() bool { return w.from.Host == w.to.Host }

// reached does something while both hosts are reached.
func (w *migrating) reached(ctx context.Context, do func() error) error {
	for _, end := range []*state.End{&w.from, &w.to} {
		engine, way, done, err := w.dial(ctx, end.At)
		if err != nil {
			return err
		}
		defer func() { _ = done() }() // nothing is asked any more
		if err := w.furnish(w.jobs, end, engine); err != nil {
			return err
		}
		w.way = way // at last that to the host that it goes to
	}
	return do()
}

// look finds out what would be done. With confirm it has to be what was confirmed.
func (w *migrating) look(ctx context.Context) (report *state.MigrateReport, err error) {
	return report, w.reached(ctx, func() error {
		report, _, _, err = w.preview(ctx)
		return err
	})
}

// readyFor is what a service builds to for a host, if it is built.
func readyFor(ctx context.Context, l *loader, w wanted) (*readied, error) {
	built, head, err := l.find(ctx, w)
	if err != nil {
		return nil, err
	}
	a, err := l.artifact(ctx, w, built)
	if err != nil {
		return nil, err
	}
	labels, err := l.labels(ctx, built, head)
	if err != nil {
		return nil, err
	}
	return &readied{out: built.Out, pin: a.Pin(), labels: labels, load: func(ctx context.Context, engine deploy.Engine) (*deploy.Loaded, error) {
		return l.send(ctx, engine, w, a)
	}}, nil
}

// preview tells what would be done, and what is to be moved.
func (w *migrating) preview(ctx context.Context) (*state.MigrateReport, *state.Migrating, *readied, error) {
	x := &state.Migrating{Service: w.name, Budget: defaultBudget, Known: w.pace()}
	if d, err := time.ParseDuration(w.service.State.DowntimeBudget); err == nil {
		x.Budget = d
	}
	var err error
	if x.Container, err = w.leaving(ctx); err != nil {
		return nil, nil, nil, err
	}
	if err := w.arriving(ctx, x.Container); err != nil {
		return nil, nil, nil, err
	}
	l := &loader{Harness: w.Harness, builder: w.builder(w.jobs, w.planner), planner: w.planner, total: 1, tell: func(p tools.Progress) { w.say(p.Message) }}
	ready, err := w.ready(ctx, l, wanted{service: w.name, host: w.to.Host, at: w.to.At, spec: w.service})
	if err != nil {
		return nil, nil, nil, err
	}
	spec, err := deploy.NewSpec(w.name, w.service, w.to.At, ready.pin)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := safeMounts(ctx, &spec, w.way); err != nil {
		return nil, nil, nil, err
	}
	x.Target = deploy.Target{Spec: spec, Labels: ready.labels, Gate: deploy.NewGate(*w.service.Deploy)}
	var left []registry.StateItem
	x.Items, left = state.Captured(w.service.State, true)
	if w.stays() {
		still, err := w.displaced(x)
		if err != nil {
			return nil, nil, nil, err
		}
		left = append(still, left...)
	}
	report, err := w.describe(ctx, x, ready, left)
	return report, x, ready, err
}

// displaced has items moved that are elsewhere than the registry has them by now, and
// returns those that are not.
func (w *migrating) displaced(x *state.Migrating) (still []registry.StateItem, err error) {
	all := x.Items
	x.Items, x.Sources = []registry.StateItem{}, []registry.StateItem{}
	for _, d := range deploy.DisplacedItems(all, x.Container.Spec.Mounts, x.Target.Spec.Mounts) {
		if d.Why != nil {
			return nil, d.Why
		}
		x.Items, x.Sources = append(x.Items, d.Item), append(x.Sources, d.From)
	}
	if len(x.Items) == 0 {
		return nil, fault.Newf(fault.Precondition, "name another host; what else the registry says anew of it comes with homelab deploy "+w.name,
			"%s is on %s already, and its state where the registry has it", w.name, w.to.Host)
	}
	for _, item := range all {
		if !slices.ContainsFunc(x.Items, func(moved registry.StateItem) bool { return moved.Name() == item.Name() }) {
			still = append(still, item)
		}
	}
	return still, nil
}

// pace is how long it took lately to stop where it is, and to be there again.
func (w *migrating) pace() state.Pace {
	known := paces(w.jobs).Of(w.from.Host, w.name, quiesce.Stop)
	if there := paces(w.jobs).Of(w.to.Host, w.name, quiesce.Stop); there.Wake > 0 {
		known.Wake = there.Wake
	}
	return known
}

// leaving is the container that would be stopped.
func (w *migrating) leaving(ctx context.Context) (*deploy.Container, error) {
	current, err := w.subjectOn(w.from).alone(ctx, w.from.Engine)
	if err != nil {
		return nil, err
	}
	if current != nil && current.State == deploy.Paused {
		return nil, fault.Newf(fault.Precondition, "let it go on: docker unpause "+current.Name, "container %s is paused", current.Name)
	}
	if current == nil || current.State != deploy.Running {
		if half := halfMoved(w.jobs, w.from.Host, w.name); len(half) > 0 {
			return nil, fault.Newf(fault.Precondition, "end that first: homelab deploy repair "+w.name, "a migration of %s to %s was broken off", w.name, half[0].To)
		}
		return nil, fault.Newf(fault.Precondition, "deploy or start it first; or restore a bundle there", "%s does not run on host %s", w.name, w.from.Host)
	}
	return current, nil
}

// arriving fails when something is in the way on the other host. IDs of engines tell
// little, as machines are cloned with them; those of containers are random.
func (w *migrating) arriving(ctx context.Context, leaves *deploy.Container) error {
	if w.stays() {
		return deploy.Foreign(ctx, w.to.Engine, w.to.Host, w.name, w.service.ContainerOf(w.name))
	}
	same, err := w.to.Engine.Container(ctx, leaves.ID)
	if err != nil {
		return err
	}
	if same != nil {
		return fault.Newf(fault.Precondition, "correct hosts in the registry", "hosts %s and %s lead to the same engine", w.from.Host, w.to.Host)
	}
	all, err := w.to.Engine.List(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if c := &all[i]; c.Labels[deploy.LabelService] == w.name && c.Runs() {
			return fault.Newf(fault.Conflict, "end it first, on that host: docker stop "+c.Name, "%s runs on host %s, too: container %s", w.name, w.to.Host, c.Name)
		}
	}
	return deploy.Foreign(ctx, w.to.Engine, w.to.Host, w.name, w.service.ContainerOf(w.name))
}

// used are warnings of what runs on the other host, and may write to what is swapped.
func (w *migrating) used(ctx context.Context, items []registry.StateItem) ([]string, error) {
	warnings := []string{}
	for _, item := range items {
		names, err := w.to.Engine.Writers(ctx, deploy.Mount{Volume: item.Volume, Source: item.Path})
		if err != nil {
			return nil, err
		}
		if len(names) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s of %s is swapped while container %s, which goes on, may write to it: is it the right one?", item.Name(), w.to.Host, tools.Some(names, 5)))
		}
	}
	return warnings, nil
}

// describe is a report of what would be done.
func (w *migrating) describe(ctx context.Context, x *state.Migrating, ready *readied, left []registry.StateItem) (*state.MigrateReport, error) {
	c := x.Container
	report := &state.MigrateReport{State: "preview", Service: w.name, From: w.from.Host, To: w.to.Host, Todo: []string{}, Warnings: []string{}}
	p := &state.MigratePreview{
		Container: c.Name, Revision: c.Labels[deploy.LabelRevision], Runs: c.Labels[deploy.LabelOut], Out: ready.out, Budget: x.Budget.Seconds(), Left: []string{},
	}
	for _, item := range left {
		p.Left = append(p.Left, item.Name())
	}
	var err error
	if p.Items, err = state.PreviewMigration(ctx, x, w.from.Place, w.to.Place); err != nil {
		return nil, err
	}
	sources := x.Items
	if w.stays() {
		sources = x.Sources
	}
	if report.Warnings, err = writers(ctx, w.from.Engine, c, sources); err != nil {
		return nil, err
	}
	used, err := w.used(ctx, x.Items)
	if err != nil {
		return nil, err
	}
	report.Warnings = append(report.Warnings, used...)
	for _, volume := range strays(c, sources) {
		report.Warnings = append(report.Warnings, fmt.Sprintf("%s does not mount volume %s: deploy what the registry says first", w.name, volume))
	}
	if p.Runs != p.Out {
		report.Warnings = append(report.Warnings, fmt.Sprintf("another version would run there (%s, not %s): it has to read the state of this one", p.Out, cmp.Or(p.Runs, "not known")))
	}
	for _, i := range p.Items {
		if need := i.Comes.Bytes + i.Comes.Bytes/10; need > i.Free {
			report.Warnings = append(report.Warnings, fmt.Sprintf("the disk of %s on %s has %s left, and up to %s come", i.Path, w.to.Host, tools.Size(i.Free), tools.Size(need)))
		}
	}
	moved := []string{}
	for _, item := range x.Items {
		moved = append(moved, item.Name())
	}
	if w.stays() {
		for _, item := range x.Sources {
			moved = append(moved, item.Name())
		}
	}
	p.PreviewID, err = deploy.PreviewID([]any{"state_migrate 1", w.name, w.from.Host, w.to.Host, c.ID, ready.out, x.Target.Spec.Hash(), moved})
	if err == nil && w.request.Confirm != "" {
		err = deploy.Confirms(w.request.Confirm, p.PreviewID)
	}
	report.Preview = p
	report.TellMoved(w.service.HostOf(), w.service.State)
	return report, err
}

func (w *migrating) do(ctx context.Context, run *job.Run, report tools.Report) (*state.MigrateReport, error) {
	return job.Do(ctx, run, func(ctx context.Context) (*state.MigrateReport, bool, error) {
		w.say = messages(onRecord(run, report))
		var result *state.MigrateReport
		err := w.reached(ctx, func() (err error) {
			result, err = w.carryOut(ctx)
			return err
		})
		if err != nil {
			return nil, false, err
		}
		result.JobID = run.ID
		return result, true, nil
	})
}

// carryOut does what was confirmed, now that nobody else of this repository can move
// anything.
func (w *migrating) carryOut(ctx context.Context) (*state.MigrateReport, error) {
	ends := []*state.End{&w.from, &w.to}
	if w.stays() {
		ends = ends[:1]
	}
	for _, end := range ends {
		awake, err := w.mendForMove(ctx, end.Engine, w.jobs, w.subjectOn(*end))
		if err != nil {
			return nil, err
		}
		defer awake()
		if err := unswitched(w.jobs, end.Host, w.name); err != nil {
			return nil, err
		}
	}
	report, x, ready, err := w.preview(ctx)
	if err != nil {
		return nil, err
	}
	if report.Image, err = ready.load(ctx, w.to.Engine); err != nil {
		return nil, err
	}
	x.Target.ImageID = report.Image.ID
	if report.Done, err = w.migrator(w.jobs, "homelab state migrate", w.from, w.to, w.say).Migrate(ctx, *x); err != nil {
		return nil, err
	}
	if err := paces(w.jobs).Note(w.to.Host, w.name, quiesce.Stop, report.Done.Parts); err != nil {
		report.Warnings = append(report.Warnings, "how long "+w.name+" was not there is not remembered: "+err.Error())
	}
	if report.Done.Unfinished != nil {
		problem := build.ProblemOf(report.Done.Unfinished)
		report.Warnings = append(report.Warnings, problem.Message+"; "+problem.Hint)
	}
	report.State, report.Todo = "succeeded", []string{}
	report.TellMoved(w.service.HostOf(), w.service.State)
	return report, nil
}
