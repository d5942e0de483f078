package harness

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"homelab/internal/build"
	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/registry"
	"homelab/tools"
)

const bundleTool = "state_bundle"

// defaultBudget is how long a service may be at rest when the registry does not say.
const defaultBudget = time.Minute

// rests is the journal of the services that are at rest.
func rests(jobs *job.Store) quiesce.Journal {
	return quiesce.Journal{Dir: filepath.Join(jobs.Dir, "quiesce")}
}

// paces is how long services took to come to rest.
func paces(jobs *job.Store) state.Paces { return state.Paces{Dir: filepath.Join(jobs.Dir, "pace")} }

// bundling is one call of the tool state_bundle.
type bundling struct {
	*Harness
	jobs *job.Store
	reg  *registry.Registry
	subject
	store string
	kept  bool // the copies are for the next bundle too
	say   func(string)
}

// bundle captures the state of a service and keeps it.
func (h *Harness) bundle(ctx context.Context, r state.BundleRequest, report tools.Report) (*state.BundleReport, error) {
	if r.All {
		return h.bundleAll(ctx, r, report)
	}
	b, err := h.newBundling(ctx, &r)
	if err != nil {
		return nil, err
	}
	background := r.Background
	r.Background = false
	return asJob(ctx, h, b.jobs, job.Spec{Tool: bundleTool, Services: []string{b.name}, Input: r}, background,
		func(id string) *state.BundleReport {
			return &state.BundleReport{State: "running", JobID: id, Service: b.name, Host: b.host, Store: b.store, Warnings: []string{}}
		},
		func(run *job.Run) (*state.BundleReport, error) { return b.do(ctx, run, report) })
}

// workOnBundle does a detached state_bundle in this process.
func (h *Harness) workOnBundle(ctx context.Context, jobs *job.Store, run *job.Run) error {
	var r state.BundleRequest
	if err := jobs.Input(run.ID, &r); err != nil {
		return run.Fail(err)
	}
	if r.All {
		return h.workOnAll(ctx, run, r)
	}
	b, err := h.newBundling(ctx, &r)
	if err != nil {
		return run.Fail(err)
	}
	_, err = b.do(ctx, run, func(tools.Progress) {})
	return err
}

func (b *bundling) do(ctx context.Context, run *job.Run, report tools.Report) (*state.BundleReport, error) {
	return job.Do(ctx, run, func(ctx context.Context) (*state.BundleReport, bool, error) {
		b.say = messages(onRecord(run, report))
		result, err := b.take(ctx, run.ID)
		return result, err == nil, err
	})
}

// newBundling resolves the names of a request.
func (h *Harness) newBundling(ctx context.Context, r *state.BundleRequest) (*bundling, error) {
	jobs, reg, err := h.registryAndJobs(ctx)
	if err != nil {
		return nil, err
	}
	b := &bundling{Harness: h, jobs: jobs, reg: reg}
	if b.subject, err = subjectOf(reg, r.Service, r.Host); err != nil {
		return nil, err
	}
	s := b.service.State
	if s == nil || len(s.Items) == 0 {
		return nil, fault.Newf(fault.Precondition, "say in the registry what it must not lose: services."+b.name+".state.items", "%s has no state", b.name)
	}
	if len(s.Stores) == 0 {
		return nil, fault.Newf(fault.Precondition, "say in the registry where bundles go: services."+b.name+".state.stores", "there is no place for bundles of %s", b.name)
	}
	if b.store = cmp.Or(r.Store, s.Stores[0]); !slices.Contains(s.Stores, b.store) {
		return nil, fault.Newf(fault.InvalidArgument, "valid: "+tools.Some(s.Stores, 5), "%.200q is no store of %s in the registry", b.store, b.name)
	}
	r.Service = b.name
	return b, nil
}

// take captures, and keeps what was captured.
func (b *bundling) take(ctx context.Context, jobID string) (*state.BundleReport, error) {
	keys, err := readKeys(b.reg.Bundles)
	if err != nil {
		return nil, err
	}
	store, err := b.openStore(b.jobs, b.store)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	// A store that cannot be reached is told before anything is put to rest.
	if _, err := listIn(ctx, store, b.name); err != nil {
		return nil, err
	}
	report := &state.BundleReport{
		State: "succeeded", JobID: jobID, Service: b.name, Host: b.host, Store: b.store, Warnings: []string{},
		Sealed: len(keys.Recipients) > 0 || b.isRestic(),
	}
	return report, b.copied(ctx, jobID, func(copies *os.Root) error {
		capture, about, err := b.capture(ctx, copies, report)
		if err != nil {
			return err
		}
		return b.keep(ctx, store, keys, capture, about, report)
	})
}

// capture copies the state as it is at one time.
func (b *bundling) capture(ctx context.Context, copies *os.Root, report *state.BundleReport) (*state.Capture, *state.About, error) {
	engine, _, done, err := b.dial(ctx, b.at)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	q := b.quiescer(b.jobs, engine, b.say)
	if err := b.unrestored(ctx, engine, b.jobs, b.subject); err != nil {
		return nil, nil, err
	}
	if woken, err := q.Wake(ctx, b.name, ""); err != nil {
		return nil, nil, err
	} else if woken != "" {
		report.Warnings = append(report.Warnings, "an earlier bundle was broken off while "+b.name+" was at rest: "+woken)
	}
	current, err := b.alone(ctx, engine)
	if err != nil {
		return nil, nil, err
	}
	s := b.service.State
	items, left := state.Captured(s, report.Sealed)
	budget := defaultBudget
	if d, err := time.ParseDuration(s.DowntimeBudget); err == nil {
		budget = d
	}
	site, err := b.sites(engine)
	if err != nil {
		return nil, nil, err
	}
	foreign, err := writers(ctx, engine, current, items)
	if err != nil {
		return nil, nil, err
	}
	report.Warnings = append(report.Warnings, foreign...)
	taken, err := state.Take(ctx, q, site, state.Capturing{
		Service: b.name, Container: current, Items: items, Method: *q.Method, Budget: budget, Known: paces(b.jobs).Of(b.host, b.name, q.Method.Kind), Copies: copies, Keep: b.kept, Report: b.say,
	})
	if err != nil {
		return nil, nil, err
	}
	for _, volume := range strays(current, items) {
		report.Warnings = append(report.Warnings, fmt.Sprintf("volume %s was captured, but %s does not mount it: is it the right one?", volume, b.name))
	}
	about := state.NewAbout(b.name, b.host, s, current, taken, left)
	if taken.Outage > 0 {
		report.Parts = &taken.Parts
		if err := paces(b.jobs).Note(b.host, b.name, taken.Level, taken.Parts); err != nil {
			report.Warnings = append(report.Warnings, "how long "+b.name+" was not there is not remembered: "+err.Error())
		}
	}
	report.Outage, report.Passes, report.Skipped = taken.Outage, len(taken.Passes), taken.Skipped
	if taken.Problem != nil {
		report.Problem = build.ProblemOf(taken.Problem)
	}
	if taken.Uncloned != "" {
		report.Warnings = append(report.Warnings, fmt.Sprintf("there was no snapshot, and %s stood still until the last was copied: %s", b.name, taken.Uncloned))
	}
	report.Warnings = append(report.Warnings, warningsOf(about)...)
	return taken, &about, nil
}

// writers are the containers that run, are not the one that is captured, and may write
// to what is: they are not put to rest, whosever they are.
func writers(ctx context.Context, engine deploy.Containers, current *deploy.Container, items []registry.StateItem) ([]string, error) {
	warnings := []string{}
	for _, item := range items {
		names, err := engine.Writers(ctx, deploy.Mount{Volume: item.Volume, Source: item.Path})
		if err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(names, func(name string) bool { return current != nil && name == current.Name })
		if len(names) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s may be written to while it is captured, by what is not put to rest: container %s", item.Name(), tools.Some(names, 5)))
		}
	}
	return warnings, nil
}

// warningsOf are what a person should know of a bundle.
func warningsOf(a state.About) []string {
	warnings := []string{}
	if a.Unsettled > 0 {
		warnings = append(warnings, fmt.Sprintf("%s changed while they were copied: say in state.quiesce how %s comes to rest", tools.Plural(int(a.Unsettled), "entry"), a.Service))
	}
	if len(a.Noted) > 0 {
		const shown = 3
		names := tools.Some(a.Noted[:min(len(a.Noted), shown)], shown)
		if more := a.Skipped - shown; more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		warnings = append(warnings, "not captured, as it is neither file, folder nor link: "+names)
	}
	return warnings
}

// keep writes what was captured into a store.
func (b *bundling) keep(ctx context.Context, store state.Store, keys *bundle.Keyring, capture *state.Capture, about *state.About, report *state.BundleReport) error {
	raw, err := json.Marshal(about)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	order := bundle.Order{
		ID: state.NewID(now), Program: "homelab " + b.cfg.Version, Created: now, About: raw, Recipients: keys.Recipients, Signer: keys.Signer,
		Progress: func(p bundle.Progress) { b.say(fmt.Sprintf("%d entries kept", p.Entries)) },
	}
	for i, item := range capture.Items {
		kind := "path"
		if item.Volume != "" {
			kind = "volume"
		}
		order.Sources = append(order.Sources, bundle.Source{
			Item: bundle.Item{Name: item.Name(), Kind: kind, Source: item.Name(), Class: item.Class, Exclude: item.Exclude},
			Root: capture.Copies, At: fmt.Sprint(i),
		})
	}
	written, err := store.Save(ctx, b.name, order)
	if err != nil {
		return err
	}
	totals := written.Manifest.Totals()
	report.Bundle, report.Index, report.Size, report.Entries, report.Bytes, report.About = order.ID, written.Index, written.Size, totals.Entries, totals.Bytes, about
	if !b.isRestic() {
		report.Author = keys.Author()
	}
	return nil
}

// isRestic says whether the store seals bundles by itself.
func (b *bundling) isRestic() bool {
	at, err := registry.ParseStore(b.store)
	return err == nil && at.Kind == "restic"
}
