package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

const restoreTool = "state_restore"

// Places are where the state of the services of an engine's host is restored. What goes
// to another machine is extracted in the folder work.
type Places func(engine deploy.Containers, work string) (state.Place, error)

// restore previews what a restore, its undoing or its commit would do, or does it.
func (h *Harness) restore(ctx context.Context, r state.RestoreRequest, report tools.Report) (*state.RestoreReport, error) {
	w, err := h.newRestoring(ctx, &r)
	if err != nil {
		return nil, err
	}
	defer w.close()
	preview, err := w.look(ctx)
	if err != nil || r.Confirm == "" {
		return preview, err
	}
	background := r.Background
	r.Background = false
	return asJob(ctx, h, w.jobs, job.Spec{Tool: restoreTool, Services: []string{w.name}, Input: r}, background,
		func(id string) *state.RestoreReport {
			preview.State, preview.JobID = "running", id
			return preview
		},
		func(run *job.Run) (*state.RestoreReport, error) { return w.do(ctx, run, report) })
}

// workOnRestore does a detached state_restore in this process.
func (h *Harness) workOnRestore(ctx context.Context, jobs *job.Store, run *job.Run) error {
	var r state.RestoreRequest
	if err := jobs.Input(run.ID, &r); err != nil {
		return run.Fail(err)
	}
	w, err := h.newRestoring(ctx, &r)
	if err != nil {
		return run.Fail(err)
	}
	defer w.close()
	_, err = w.do(ctx, run, func(tools.Progress) {})
	return err
}

// restoring is one call of the tool state_restore.
type restoring struct {
	*Harness
	request state.RestoreRequest
	jobs    *job.Store
	subject
	address string // of the store
	store   state.Store
	bundle  state.Bundle // nil: it is about an earlier restore
	about   *state.About
	say     func(string)
}

// newRestoring resolves the names of a request, and opens the bundle.
func (h *Harness) newRestoring(ctx context.Context, r *state.RestoreRequest) (*restoring, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	w := &restoring{Harness: h, jobs: jobs, say: func(string) {}}
	if err := w.resolve(ctx, reg, r); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *restoring) resolve(ctx context.Context, reg *registry.Registry, r *state.RestoreRequest) (err error) {
	service := r.Service
	if r.Bundle != "" {
		if err := w.open(ctx, reg, *r); err != nil {
			return err
		}
		service = cmp.Or(service, w.about.Service)
	}
	if w.subject, err = subjectOf(reg, service, r.Host); err != nil {
		return err
	}
	if w.service.State == nil {
		return fault.Newf(fault.Precondition, "say in the registry where its state is: services."+w.name+".state.items", "%s has no state", w.name)
	}
	r.Service, r.Host = w.name, w.host
	w.request = *r
	return nil
}

// open opens the bundle that is to be restored, when its author is one who is trusted.
func (w *restoring) open(ctx context.Context, reg *registry.Registry, r state.RestoreRequest) error {
	store, kept, err := w.findBundle(ctx, w.jobs, reg, r.Bundle, r.Store)
	if err != nil {
		return err
	}
	w.store, w.address = store, store.Name()
	w.bundle, w.about, err = openBundle(ctx, w.jobs, reg, store, kept)
	return err
}

func (w *restoring) close() {
	if w.bundle != nil {
		_ = w.bundle.Close() // it was only read
	}
	if w.store != nil {
		_ = w.store.Close()
	}
}

// look finds out what would be done. With confirm it has to be what was confirmed.
func (w *restoring) look(ctx context.Context) (report *state.RestoreReport, err error) {
	if err := here(w.jobs, w.host, w.name); err != nil {
		return nil, err
	}
	return report, w.on(ctx, w.at, func(engine deploy.Containers) error {
		restorer, x, err := w.ready(ctx, engine)
		if err == nil {
			report, err = w.preview(ctx, restorer, x)
		}
		return err
	})
}

func (w *restoring) preview(ctx context.Context, restorer *state.Restorer, x state.Restoring) (report *state.RestoreReport, err error) {
	report = &state.RestoreReport{
		State: "preview", Action: w.request.Action(), Service: w.name, Host: w.host, Store: w.address, About: w.about, Todo: []string{}, Warnings: []string{},
	}
	switch report.Action {
	case state.ActionUndo:
		report.Preview, err = restorer.PreviewUndo(ctx, x, w.request.Undo)
	case state.ActionCommit:
		report.Preview, err = restorer.PreviewCommit(ctx, x, w.request.Commit)
	default:
		if report.Preview, err = restorer.Preview(ctx, x); err == nil {
			report.Warnings = w.warnings(x.Container)
		}
	}
	if err != nil {
		return nil, err
	}
	if w.request.Confirm != "" {
		err = deploy.Confirms(w.request.Confirm, report.Preview.PreviewID)
	}
	report.Tell(report.Preview.Stops)
	return report, err
}

// ready is what is to be restored, and who does it.
func (w *restoring) ready(ctx context.Context, engine deploy.Containers) (*state.Restorer, state.Restoring, error) {
	current, err := w.alone(ctx, engine)
	x := state.Restoring{Service: w.name, Container: current, Items: w.service.State.Items, Only: w.request.Items, Bundle: w.bundle}
	if err != nil {
		return nil, x, err
	}
	x.Progress = func(p bundle.Progress) { w.say(fmt.Sprintf("%d entries restored", p.Entries)) }
	restorer, err := w.restorer(w.jobs, engine, w.subject, w.say)
	return restorer, x, err
}

// restorer restores services of a host.
func (h *Harness) restorer(jobs *job.Store, engine deploy.Containers, s subject, say func(string)) (*state.Restorer, error) {
	place, err := h.places(engine, filepath.Join(jobs.Dir, "restoring"))
	if err != nil {
		return nil, err
	}
	return &state.Restorer{
		Quiescer: s.quiescer(jobs, engine, say),
		Place:    place, Dir: restores(jobs), Report: say,
		Watch: func(e *state.RestoreEntry) (func(), error) { return watchdog(jobs.Dir, e.Host, e.Service, e.ID) },
	}, nil
}

// restores is where restores keep what they are at, in the state of a repository.
func restores(jobs *job.Store) string { return filepath.Join(jobs.Dir, "restore") }

// warnings are what a person should know before a bundle is restored.
func (w *restoring) warnings(c *deploy.Container) []string {
	warnings := []string{}
	if c == nil {
		return append(warnings, w.name+" has no container on that host: only its state is restored")
	}
	if out := c.Labels[deploy.LabelOut]; w.about.Out != "" && out != "" && out != w.about.Out {
		warnings = append(warnings, fmt.Sprintf("the bundle is of another version than runs now (%s, not %s): it may not read the other's data", w.about.Out, out))
	}
	restored := slices.DeleteFunc(slices.Clone(w.service.State.Items), func(item registry.StateItem) bool {
		return len(w.request.Items) > 0 && !slices.Contains(w.request.Items, item.Name())
	})
	for _, volume := range strays(c, restored) {
		warnings = append(warnings, fmt.Sprintf("%s does not mount volume %s: deploy what the registry says first", w.name, volume))
	}
	if w.about.Unsettled > 0 {
		warnings = append(warnings, tools.Plural(int(w.about.Unsettled), "entry")+" of the bundle changed while they were copied")
	}
	return warnings
}

func (w *restoring) do(ctx context.Context, run *job.Run, report tools.Report) (*state.RestoreReport, error) {
	return job.Do(ctx, run, func(ctx context.Context) (*state.RestoreReport, bool, error) {
		w.say = messages(onRecord(run, report))
		var result *state.RestoreReport
		err := w.on(ctx, w.at, func(engine deploy.Containers) (err error) {
			result, err = w.carryOut(ctx, engine)
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
func (w *restoring) carryOut(ctx context.Context, engine deploy.Containers) (*state.RestoreReport, error) {
	awake, err := w.mendFirst(ctx, engine, w.jobs, w.subject)
	if err != nil {
		return nil, err
	}
	defer awake()
	if err := unswitched(w.jobs, w.host, w.name); err != nil {
		return nil, err
	}
	restorer, x, err := w.ready(ctx, engine)
	if err != nil {
		return nil, err
	}
	report, err := w.preview(ctx, restorer, x)
	if err != nil {
		return nil, err
	}
	switch report.Action {
	case state.ActionCommit:
		err = restorer.Commit(ctx, w.name, x.Items, w.request.Commit)
	case state.ActionUndo:
		report.Done, err = restorer.Undo(ctx, x, w.request.Undo)
	default:
		report.Done, err = restorer.Restore(ctx, x)
		if fault.CodeOf(err) == fault.BundleCorrupt {
			err = errors.Join(err, evidence(w.jobs).Withdraw(w.address, w.name, w.request.Bundle))
		}
	}
	if err != nil {
		return nil, err
	}
	report.State = "succeeded"
	report.Tell(report.Preview.Stops)
	return report, nil
}

// unswitched fails when a switch of a service was broken off.
func unswitched(jobs *job.Store, host, service string) error {
	entry, err := switches(jobs).Read(host, service)
	if err == nil && entry != nil && !entry.Leftover {
		err = fault.Newf(fault.Precondition, "repair it first: homelab deploy repair "+service, "a switch of %s was broken off before the step %q", service, entry.Step)
	}
	return err
}

// mendFirst undoes a restore of a service that was broken off, wakes what was left at
// rest, and keeps everybody from putting it to rest until done is called: what is
// stopped meanwhile is meant to be.
func (h *Harness) mendFirst(ctx context.Context, engine deploy.Containers, jobs *job.Store, s subject) (done func(), err error) {
	if err := h.unrestored(ctx, engine, jobs, s); err != nil {
		return nil, err
	}
	return h.awake(ctx, engine, jobs, s)
}

func (h *Harness) awake(ctx context.Context, engine deploy.Containers, jobs *job.Store, s subject) (done func(), err error) {
	_, err = s.quiescer(jobs, engine, nil).Wake(ctx, s.name, "")
	if err != nil && fault.CodeOf(err) != fault.Unhealthy { // it is about to be another version
		return nil, err
	}
	return rests(jobs).Lock(ctx, s.host, s.name)
}

// unrestored ends a migration and undoes a restore that were broken off, if there are
// any, and fails when the service was moved away. That the service is not well then is
// no failure.
func (h *Harness) unrestored(ctx context.Context, engine deploy.Containers, jobs *job.Store, s subject) error {
	if err := h.unmoved(ctx, jobs, s); err != nil {
		return err
	}
	if err := here(jobs, s.host, s.name); err != nil {
		return err
	}
	all, err := engine.List(ctx)
	if err != nil {
		return err
	}
	current, others := deploy.Generations(all, s.name, s.service.ContainerOf(s.name))
	if err := deploy.NotMoved(s.host, s.name, current, others); err != nil {
		return err
	}
	return h.unrestoredHere(ctx, engine, jobs, s)
}

func (h *Harness) unrestoredHere(ctx context.Context, engine deploy.Containers, jobs *job.Store, s subject) error {
	_, err := h.repairRestore(ctx, engine, jobs, s, nil)
	if fault.CodeOf(err) == fault.Unhealthy {
		return nil
	}
	return err
}

// repairRestore undoes a restore that was broken off, and says what it did.
func (h *Harness) repairRestore(ctx context.Context, engine deploy.Containers, jobs *job.Store, s subject, say func(string)) (string, error) {
	if e, err := state.Restores(restores(jobs)).Read(s.host, s.name); e == nil || err != nil {
		return "", err
	}
	restorer, err := h.restorer(jobs, engine, s, say)
	if err != nil {
		return "", err
	}
	return restorer.Repair(ctx, s.name)
}
