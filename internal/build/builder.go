package build

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"homelab/internal/fault"
	"homelab/internal/plan"
)

// Nix is what a builder needs of Nix. internal/nix is the real one.
type Nix interface {
	// Valid returns those of paths that are not in the store, or not complete.
	Valid(ctx context.Context, paths []string) (invalid []string, err error)
	// Realise builds outputs of derivations, or takes them from a cache. The error
	// is about all of them; when ctx ends, or this process, so do the builders,
	// and the results say which were done before.
	Realise(ctx context.Context, asked []Realisation, how How) ([]Realised, error)
	// Hashes returns hash and size of valid store paths.
	Hashes(ctx context.Context, paths []string) (map[string]PathInfo, error)
	// File is where a store path is on this machine; empty when it is on another.
	File(storePath string) string
	// AddRoot keeps a valid store path from garbage collection by a link to it,
	// which it makes or replaces.
	AddRoot(ctx context.Context, path, link string) error
}

// Realisation asks for one output of a derivation.
type Realisation struct {
	Drv, Output string
	Out         string    // its store path
	Root        string    // link to make
	Log         io.Writer // gets all that builders print
}

// How says how outputs are realised.
type How struct {
	MaxJobs  int               // most builders at a time; 0: as Nix is configured
	FailFast bool              // end when one fails
	Step     func(Step)        // told what is built and fetched
	Warn     func(text string) // told what Nix warns of
}

// Step is the beginning or the end of a build or of a fetch, or the progress of
// a fetch.
type Step struct {
	Drv            string // derivation that is built, or
	Path           string // store path that is fetched
	Name           string // short, of either
	Done, Expected int64  // bytes fetched; Expected 0: not known
	Ended          bool
	Failed         bool // and it is known to have failed
}

// Realised says where an output came from: neither Built nor Fetched when it
// was there.
type Realised struct {
	Built, Fetched bool
	Rooted         bool  // the root that was asked for is there
	Err            error // a fault, in a [*Failure] where a build was tried
	Skipped        bool  // not tried to its end
}

// PathInfo is what the store knows about a path: hash (SRI) and size in bytes.
type PathInfo struct {
	NarHash string
	NarSize int64
}

// Failure is the fault of a build that failed, with what else is known of it.
type Failure struct {
	Err  error
	Kind string
	Drv  string
	Exit int
	Tail []string
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Builder builds the services of one repository.
type Builder struct {
	Nix   Nix
	Roots string // folder of links that keep artifacts from garbage collection
	Cache string // folder for what was read from artifacts; empty: nothing is kept
}

// Watch is how a build tells what it does. All of it may be nil.
type Watch struct {
	Logs   string // folder for logs, one for each service
	Report func(done, total int, message string)
}

// Build carries out an order. When ctx ends, it returns what was done until
// then beside the error.
func (b *Builder) Build(ctx context.Context, o *plan.Order, r Request, w Watch) (*Report, error) {
	report := &Report{
		PlanID: o.Plan.PlanID, Head: o.Plan.Head, DryRun: r.DryRun,
		Services: []Outcome{}, Warnings: append([]plan.Warning{}, o.Plan.Warnings...),
	}
	for _, s := range o.Plan.Services {
		if !builds(s.Decision) {
			continue
		}
		outcome := Outcome{Name: s.Name, Target: s.Target, Status: Skipped, Edits: o.Edits(s.Name)}
		if s.Decision == plan.Blocked {
			outcome.Status = Failed
			outcome.Problem = &Problem{Code: fault.Precondition, Message: s.Problem.Message, Hint: s.Problem.Hint}
		}
		report.Services = append(report.Services, outcome)
	}
	run := &run{Builder: b, order: o, request: r, watch: w, report: report}
	err := run.all(ctx)
	if err != nil && ctx.Err() != nil {
		err = &fault.Error{Code: fault.Canceled, Message: "the build was canceled", Hint: "build again: what was built is kept", Err: ctx.Err()}
		run.skip("the build was canceled")
	} else if err != nil {
		run.skip("the build ended before it was reached")
	}
	report.boundTails()
	for _, s := range report.Services {
		report.Counts.add(s.Status)
	}
	switch {
	case err != nil && errors.Is(err, context.Canceled):
		report.State = "canceled"
	case err != nil || report.Counts.Failed > 0:
		report.State = "failed"
	default:
		report.State = "succeeded"
	}
	return report, err
}

// run is one build under way.
type run struct {
	*Builder
	order    *plan.Order
	request  Request
	watch    Watch
	report   *Report
	progress progress

	mu     sync.Mutex
	warned []string // by Nix
}

// open are the services that nothing is known against yet.
func (r *run) open() []*Outcome {
	open := []*Outcome{}
	for i := range r.report.Services {
		if s := &r.report.Services[i]; s.Status == Skipped && s.Problem == nil {
			open = append(open, s)
		}
	}
	return open
}

func (r *run) all(ctx context.Context) error {
	r.progress = progress{report: r.watch.Report}
	defer r.progress.stop()
	r.progress.say("evaluating")
	targets, err := r.evaluate(ctx, r.open(), false)
	if err != nil {
		return err
	}
	if err := r.findCached(ctx, targets); err != nil {
		return err
	}
	r.progress.expect(len(r.open()))
	if r.request.DryRun {
		for _, s := range r.open() {
			s.Status = Pending
		}
		return nil
	}
	failed := slices.ContainsFunc(r.report.Services, func(s Outcome) bool { return s.Status == Failed })
	if failed && !r.request.keepGoing() {
		r.skip("another service failed")
	}
	if err := r.realise(ctx, targets); err != nil {
		return err
	}
	if err := r.describe(ctx, targets); err != nil {
		return err
	}
	r.pruneRoots()
	return nil
}

// evaluate finds the derivations of services. A service of which that fails has
// failed; what keeps all from evaluating is the error.
func (r *run) evaluate(ctx context.Context, services []*Outcome, fresh bool) (map[string]plan.Evaluated, error) {
	attrs := []string{}
	for _, s := range services {
		attrs = append(attrs, s.Target.Attr)
	}
	if len(attrs) == 0 {
		return map[string]plan.Evaluated{}, nil
	}
	targets, moved, err := r.order.Evaluate(ctx, attrs, fresh)
	if err != nil {
		return nil, err
	}
	if moved {
		r.report.Warnings = append(r.report.Warnings, plan.Warning{
			Code: "edited", Message: "the work tree was edited after it was planned, and the edits may be in what was built",
			Hint: "build again; with planId the edits would have been a conflict",
		})
		r.report.Head.State = plan.StateDirty // whatever is in the services
		for _, s := range services {
			s.Edits = ""
		}
	}
	for _, s := range services {
		e := targets[s.Target.Attr]
		if e.Err != nil {
			s.fail(e.Err)
			continue
		}
		s.Drv, s.Out = e.Drv, e.Out
	}
	return targets, nil
}

// findCached settles what is in the store already, and keeps it there. What is
// to be built, and was evaluated before its derivation was collected as garbage,
// is evaluated once more.
func (r *run) findCached(ctx context.Context, targets map[string]plan.Evaluated) error {
	paths := []string{}
	for _, s := range r.open() {
		paths = append(paths, s.Out, s.Drv)
	}
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) == 0 {
		return nil
	}
	invalid, err := r.Nix.Valid(ctx, paths)
	if err != nil {
		return err
	}
	var there, collected []*Outcome
	for _, s := range r.open() {
		switch {
		case !slices.Contains(invalid, s.Out):
			there = append(there, s)
		case slices.Contains(invalid, s.Drv):
			collected = append(collected, s)
		}
	}
	if r.request.DryRun {
		for _, s := range there {
			s.Status = Cached
		}
		return nil
	}
	if err := r.rootAll(ctx, there); err != nil {
		return err
	}
	again, err := r.evaluate(ctx, collected, true)
	maps.Copy(targets, again)
	return err
}

// rootAll keeps artifacts that are there.
func (r *run) rootAll(ctx context.Context, there []*Outcome) error {
	var group errgroup.Group
	group.SetLimit(maxRooting)
	for _, s := range there {
		group.Go(func() error {
			switch err := r.root(ctx, s); {
			case ctx.Err() != nil || fault.CodeOf(err) == fault.NotFound: // collected as garbage just now
			case err != nil:
				s.fail(err)
			default:
				s.Status = Cached
			}
			return nil
		})
	}
	_ = group.Wait() // never fails
	return ctx.Err()
}

// maxRooting is how many roots are made at a time: each takes a process.
const maxRooting = 4

func (s *Outcome) fail(err error) {
	s.Status, s.Problem = Failed, ProblemOf(err)
}

// realise builds what is not there.
func (r *run) realise(ctx context.Context, targets map[string]plan.Evaluated) error {
	var services []*Outcome
	var asked []Realisation
	var logs []*log
	for _, s := range r.open() {
		link, err := r.link(s)
		if err != nil {
			s.fail(err)
			continue
		}
		to := r.log(s)
		services, logs = append(services, s), append(logs, to)
		asked = append(asked, Realisation{Drv: s.Drv, Output: targets[s.Target.Attr].Output, Out: s.Out, Root: link, Log: to})
	}
	if len(asked) == 0 {
		return nil
	}
	r.progress.begin(services)
	how := How{MaxJobs: r.request.MaxJobs, FailFast: !r.request.keepGoing(), Step: r.progress.step, Warn: r.warn}
	realised, err := r.Nix.Realise(ctx, asked, how)
	for i := range realised {
		r.record(services[i], realised[i], asked[i].Root)
	}
	for i, to := range logs {
		r.close(services[i], to)
	}
	if err != nil {
		return err
	}
	r.skip("another service failed")
	return nil
}

// record says what came of a service.
func (r *run) record(s *Outcome, done Realised, root string) {
	switch {
	case done.Skipped:
		return
	case done.Err != nil:
		s.fail(done.Err)
		if failure := (*Failure)(nil); errors.As(done.Err, &failure) {
			s.Problem.Kind, s.Problem.Exit, s.Problem.Tail = failure.Kind, failure.Exit, failure.Tail
			if failure.Drv != s.Drv {
				s.Problem.Drv = failure.Drv
			}
		}
		return
	case done.Built:
		s.Status = Built
	case done.Fetched:
		s.Status = Fetched
	default:
		s.Status = Cached // by another process, meanwhile
	}
	if done.Rooted {
		s.Root = root
	}
	if s.Status != Cached {
		s.Seconds = seconds(r.progress.took(s))
	}
}

func (r *run) skip(why string) {
	for _, s := range r.open() {
		s.Problem = &Problem{Code: fault.Canceled, Message: why, Hint: "build it again"}
	}
}

// maxWarnings is how many different warnings of Nix are told; all are in the log.
const maxWarnings = 5

func (r *run) warn(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.warned) >= maxWarnings || slices.Contains(r.warned, text) {
		return
	}
	r.warned = append(r.warned, text)
	r.report.Warnings = append(r.report.Warnings, plan.Warning{Code: "nix", Message: text, Hint: "see the log of the service"})
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
