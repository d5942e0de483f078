package harness

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/registry"
	"homelab/tools"
)

const deployTool = "deploy"

// deploysAtOnce bounds how many services are switched side by side.
const deploysAtOnce = 4

// deploy previews what would happen, or has what was previewed happen.
func (h *Harness) deploy(ctx context.Context, r rollout.Request, report tools.Report) (*rollout.Report, error) {
	jobs, planner, err := h.jobs(ctx)
	if err != nil {
		return nil, err
	}
	d := &deployment{Harness: h, jobs: jobs, planner: planner, builder: h.builder(jobs, planner)}
	preview, err := d.preview(ctx, r, report)
	if err != nil {
		return nil, err
	}
	todo := preview.Todo()
	if len(todo) == 0 && !r.DryRun {
		d.note(ctx, preview, report)
	}
	switch {
	case r.Confirm == "" || r.DryRun:
		return preview.Bounded(), nil
	case len(todo) == 0:
		preview.Settle()
		return preview.Bounded(), nil
	}
	background := r.Background
	r.Background = false
	return asJob(ctx, h, jobs, job.Spec{Tool: deployTool, Services: todo, Input: r}, background,
		func(id string) *rollout.Report {
			preview.State, preview.JobID = rollout.Running, id
			return preview.Bounded()
		},
		func(run *job.Run) (*rollout.Report, error) { return d.do(ctx, d.previewing(r), run, report) })
}

// workOnDeploy does a detached job in this process.
func (h *Harness) workOnDeploy(ctx context.Context, jobs *job.Store, planner *plan.Planner, run *job.Run) error {
	var r rollout.Request
	if err := jobs.Input(run.ID, &r); err != nil {
		return run.Fail(err)
	}
	d := &deployment{Harness: h, jobs: jobs, planner: planner, builder: h.builder(jobs, planner)}
	_, err := d.do(ctx, d.previewing(r), run, func(tools.Progress) {})
	return err
}

// previewing makes a preview, and tells how far it is.
type previewing func(context.Context, tools.Report) (*rollout.Report, error)

func (d *deployment) previewing(r rollout.Request) previewing {
	return func(ctx context.Context, report tools.Report) (*rollout.Report, error) {
		return d.preview(ctx, r, report)
	}
}

// do carries out, as a job, what was confirmed.
func (d *deployment) do(ctx context.Context, preview previewing, run *job.Run, report tools.Report) (*rollout.Report, error) {
	result, err := job.Do(ctx, run, func(ctx context.Context) (*rollout.Report, bool, error) {
		tell := onRecord(run, report)
		// Again, now that nobody else of this repository can move anything.
		result, err := preview(ctx, tell)
		if err != nil {
			return nil, false, err
		}
		result.JobID = run.ID
		if err = d.carryOut(ctx, result, run, tell); err != nil && result.State == rollout.Previewed {
			return nil, false, err // nothing was done
		}
		return result.Bounded(), err == nil && result.Code() == "", err
	})
	if result != nil && result.State == rollout.Canceled {
		return result, nil // it says so, and what was done before
	}
	return result, err
}

// deployment is one call of the tool deploy.
type deployment struct {
	*Harness
	jobs    *job.Store
	planner *plan.Planner
	builder *build.Builder

	order  *plan.Order // of the services that it is about, by name
	wanted map[string]rollout.Wanted
	waits  map[string][]string
}

// preview finds out what would happen. With confirm it has to be what was
// confirmed.
func (d *deployment) preview(ctx context.Context, r rollout.Request, report tools.Report) (*rollout.Report, error) {
	report(tools.Progress{Message: "looking what there is to do"})
	order, err := d.planner.Order(ctx, plan.Request{Services: r.Services}, r.PlanID)
	if err != nil {
		return nil, err
	}
	loaded, err := d.planner.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := loaded.Registry
	found, err := d.look(ctx, reg, order.Plan.Services)
	if err != nil {
		return nil, err
	}
	if len(r.Services) == 0 {
		if err := d.examine(ctx, reg, found.withEnvFiles(reg), found); err != nil {
			return nil, err
		}
	}
	names := []string{}
	byName := map[string]plan.Service{}
	for _, s := range order.Plan.Services {
		if byName[s.Name] = s; len(r.Services) > 0 || found.concerns(s, reg) {
			names = append(names, s.Name)
		}
	}
	if d.order = order; len(r.Services) == 0 && len(names) > 0 {
		// What is missing is built as well, whatever was edited.
		// That is no question of what is deployed, so no host is asked for it again.
		if d.order, err = d.planner.Order(ctx, plan.Request{Services: names, Base: order.Plan.Head.Commit}, ""); err != nil {
			return nil, err
		}
	}
	if err := d.examine(ctx, reg, names, found); err != nil {
		return nil, err
	}
	var behind []plan.Warning
	var asking sync.WaitGroup
	asking.Go(func() { behind = d.leftBehind(ctx, reg, r, byName, found) })
	built, err := d.evaluate(ctx, names)
	if asking.Wait(); err != nil {
		return nil, err
	}
	wanted := make([]rollout.Wanted, 0, len(names))
	for _, name := range names {
		w := rollout.Wanted{Name: name, Service: reg.Services[name], Host: reg.AllHosts()[reg.Services[name].HostOf()], Plan: byName[name], Built: built[name]}
		found.fill(&w)
		wanted = append(wanted, w)
	}
	needs := func(name string) []string { return reg.Services[name].DependsOn }
	preview, err := rollout.Preview(order, wanted, needs)
	if err != nil {
		return nil, err
	}
	preview.Warnings = append(preview.Warnings, behind...)
	if r.Confirm != "" {
		if err := preview.Confirmed(r.Confirm); err != nil {
			return nil, err
		}
	}
	d.wanted = map[string]rollout.Wanted{}
	for _, w := range wanted {
		d.wanted[w.Name] = w
	}
	d.waits = rollout.Waits(preview.Todo(), needs)
	return preview, nil
}

// leftBehind warns of what goes on running where the registry does not have it any more.
func (d *deployment) leftBehind(ctx context.Context, reg *registry.Registry, r rollout.Request, asked map[string]plan.Service, found *findings) []plan.Warning {
	about := func(service string) bool {
		_, named := asked[service]
		return named || len(r.Services) == 0
	}
	current := []string{}
	for _, c := range found.there {
		if c != nil {
			current = append(current, c.ID)
		}
	}
	return d.ledger.leftBehind(ctx, journalOf(d.planner.Source.Root), reg, about, current)
}

// evaluate says what services build to, without building.
func (d *deployment) evaluate(ctx context.Context, names []string) (map[string]build.Outcome, error) {
	built := map[string]build.Outcome{}
	if len(names) == 0 {
		return built, nil
	}
	report, err := d.builder.Build(ctx, d.order, build.Request{Services: names, DryRun: true}, build.Watch{})
	if err != nil {
		return nil, err
	}
	for _, s := range report.Services {
		built[s.Name] = s
	}
	return built, nil
}

// carryOut builds what is not built, and then has each service run.
func (d *deployment) carryOut(ctx context.Context, r *rollout.Report, run *job.Run, tell tools.Report) error {
	todo := r.Todo()
	built, err := d.build(ctx, run, todo, tell)
	if err != nil && ctx.Err() == nil {
		return err
	}
	at := map[string]*rollout.Service{}
	for i := range r.Services {
		at[r.Services[i].Name] = &r.Services[i]
	}
	progress := &rolloutProgress{total: len(todo), tell: tell}
	rollout.Each(ctx, d.waits, deploysAtOnce, func(name string) error {
		s := at[name]
		err := guarded(filepath.Join(run.Dir, "panic-"+name+".log"), func() error { return d.one(ctx, s, built[name], run.ID, progress) })
		if err != nil {
			if s.Status = rollout.Broken; s.Problem == nil {
				s.Problem = build.ProblemOf(err)
			}
		}
		progress.done(name + ": " + string(s.Status))
		return err
	}, func(name, because string) {
		at[name].Status = rollout.Skipped
		if because != "" {
			at[name].Problem = &build.Problem{Code: fault.Precondition, Message: "it waits for " + because + ", which failed", Hint: "mend " + because + ", and deploy again"}
		}
	})
	r.Settle()
	d.note(context.WithoutCancel(ctx), r, tell)
	// When all was done nothing was left to cancel.
	if err := ctx.Err(); err != nil && r.State != rollout.Succeeded {
		r.State = rollout.Canceled
		return &fault.Error{Code: fault.Canceled, Message: "the rollout was canceled", Hint: "deploy again: what was done stays, and what was being switched is as it was before", Err: err}
	}
	return nil
}

// guarded makes an error of a panic, and keeps where it was: what others do beside it
// goes on, and is not left in the middle.
func guarded(log string, do func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			written := durable.WriteFile(log, debug.Stack())
			err = errors.Join(fault.Newf(fault.Internal, "this is a defect of homelab: please report it with "+log, "panic: %v", value), written)
		}
	}()
	return do()
}

// note puts on record that what runs of services is what they build to now, so that
// the next plan compares with that. It is a courtesy: the labels tell as well, of an
// earlier commit.
func (d *deployment) note(ctx context.Context, r *rollout.Report, tell tools.Report) {
	l := &loader{Harness: d.Harness, planner: d.planner}
	for _, s := range r.Services {
		if s.Action != rollout.Nothing {
			continue
		}
		w := d.wanted[s.Name]
		labels, err := l.labels(ctx, &w.Built, d.order.Plan.Head)
		if err == nil {
			noted := maps.Clone(w.There.Labels)
			maps.Copy(noted, labels)
			err = journalOf(d.planner.Source.Root).Write(deploy.RecordOf(s.Host, w.There.ID, noted, time.Now()))
		}
		if err != nil {
			tell(tools.Progress{Message: s.Name + " is as it is to be, but this machine has no record of it: " + err.Error()})
		}
	}
}

// build has the artifacts of services in the store.
func (d *deployment) build(ctx context.Context, run *job.Run, names []string, tell tools.Report) (map[string]build.Outcome, error) {
	logs, err := run.Logs()
	if err != nil {
		return nil, err
	}
	report, err := d.builder.Build(ctx, d.order, build.Request{Services: names}, build.Watch{Logs: logs, Report: func(_, _ int, message string) {
		tell(tools.Progress{Total: len(names), Message: message})
	}})
	if report == nil {
		return nil, err
	}
	built := map[string]build.Outcome{}
	for _, s := range report.Services {
		built[s.Name] = s
	}
	return built, err
}

// one has a service run as it was built.
func (d *deployment) one(ctx context.Context, s *rollout.Service, built build.Outcome, jobID string, progress *rolloutProgress) error {
	s.Build = built.Status
	switch {
	case built.Problem != nil:
		s.Problem = built.Problem
		return fault.New(built.Problem.Code, built.Problem.Message, built.Problem.Hint)
	case built.Out != s.To.Out:
		return fault.New(fault.Conflict, "it builds to something else than the preview said: the work tree was edited meanwhile", "preview again")
	}
	planned := d.wanted[s.Name]
	w := wanted{service: s.Name, host: s.Host, at: planned.Host, spec: planned.Service, built: &built, head: d.order.Plan.Head, previewed: true}
	if s.BrokenOff == "" { // else that is repaired first
		w.over = new(deploy.IDOf(planned.There))
	}
	l := &loader{Harness: d.Harness, builder: d.builder, planner: d.planner, tell: progress.say}
	result, err := l.run(ctx, jobID, w, d.jobs)
	if err != nil {
		return err
	}
	s.Image, s.Run, s.Status = result.Image, result.Run, rollout.Done
	if s.To.Generation = result.Run.Generation; !result.Run.Changed {
		s.Status = rollout.Unchanged
	}
	s.To.Running = true
	return nil
}

// rolloutProgress puts the progress of services side by side into one.
type rolloutProgress struct {
	mu    sync.Mutex
	ended int
	total int
	tell  tools.Report
}

func (p *rolloutProgress) say(step tools.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(tools.Progress{Done: p.ended, Total: p.total, Message: step.Message})
}

func (p *rolloutProgress) done(message string) {
	p.mu.Lock()
	p.ended++
	p.mu.Unlock()
	p.say(tools.Progress{Message: message})
}
