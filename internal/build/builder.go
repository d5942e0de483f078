package build

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/plan"
)

// Nix is what a builder needs of Nix. internal/nix is the real one.
type Nix interface {
	// Valid returns those of paths that are not in the store, or not complete.
	Valid(ctx context.Context, paths []string) (invalid []string, err error)
	// Realise builds an output of a derivation, or takes it from a cache. The
	// error is a fault, in a [*Failure] where a build was tried. When ctx
	// ends, or this process, so do the builders.
	Realise(ctx context.Context, r Realisation) (Realised, error)
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
	Root        string            // link to make
	Log         io.Writer         // gets all that builders print
	Doing       func(what string) // told what is built or fetched, by a short name
	Warn        func(text string) // told what Nix warns of
}

// Realised says where an output came from: neither Built nor Fetched when it
// was there.
type Realised struct {
	Built, Fetched bool
	Duration       time.Duration
}

// PathInfo is what the store knows about a path: hash (SRI) and size in bytes.
type PathInfo struct {
	NarHash string
	NarSize int64
}

// Failure is the fault of a build that failed, with what else is known of it.
type Failure struct {
	Err       error
	Kind      string
	Drv       string
	Exit      int
	Tail      []string
	Collected bool // the derivation was collected as garbage after it was evaluated
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
		if s.Decision == plan.None {
			continue
		}
		outcome := Outcome{Name: s.Name, Target: s.Target, Status: Skipped}
		if s.Decision == plan.Blocked {
			outcome.Status = Failed
			outcome.Problem = &Problem{Code: fault.Precondition, Message: s.Problem.Message, Hint: s.Problem.Hint}
		}
		report.Services = append(report.Services, outcome)
	}
	run := &run{Builder: b, order: o, request: r, watch: w, report: report}
	err := run.all(ctx)
	if err != nil && ctx.Err() != nil {
		err = fault.Newf(fault.Canceled, "build again: what was built is kept", "build: %w", ctx.Err())
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
	targets, err := r.evaluate(ctx, false)
	if err != nil {
		return err
	}
	if err := r.findCached(ctx); err != nil {
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

// evaluate finds the derivation of each service. A service of which that fails
// has failed; what keeps all from evaluating is the error.
func (r *run) evaluate(ctx context.Context, fresh bool) (map[string]plan.Evaluated, error) {
	attrs := []string{}
	for _, s := range r.open() {
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
	}
	for _, s := range r.open() {
		e := targets[s.Target.Attr]
		if e.Err != nil {
			s.fail(e.Err)
			continue
		}
		s.Drv, s.Out = e.Drv, e.Out
	}
	return targets, nil
}

// findCached settles what is in the store already, and keeps it there.
func (r *run) findCached(ctx context.Context) error {
	paths := []string{}
	for _, s := range r.open() {
		paths = append(paths, s.Out)
	}
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) == 0 {
		return nil
	}
	invalid, err := r.Nix.Valid(ctx, paths)
	if err != nil {
		return err
	}
	for _, s := range r.open() {
		if slices.Contains(invalid, s.Out) {
			continue
		}
		if r.request.DryRun {
			s.Status = Cached
			continue
		}
		switch err := r.root(ctx, s); {
		case ctx.Err() != nil:
			return ctx.Err()
		case fault.CodeOf(err) == fault.NotFound: // collected as garbage just now
		case err != nil:
			s.fail(err)
		default:
			s.Status = Cached
		}
	}
	return nil
}

func (s *Outcome) fail(err error) {
	s.Status, s.Problem = Failed, problemOf(err)
}

// realise builds what is not there, several services at a time.
func (r *run) realise(ctx context.Context, targets map[string]plan.Evaluated) error {
	building, stop := context.WithCancel(ctx)
	defer stop()
	slots := make(chan struct{}, r.jobs())
	var wait sync.WaitGroup
	for _, s := range r.open() {
		select {
		case slots <- struct{}{}:
		case <-building.Done():
		}
		if building.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			r.one(building, s, targets[s.Target.Attr])
			if s.Status == Failed && !r.request.keepGoing() {
				stop()
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.skip("another service failed")
	return nil
}

func (r *run) skip(why string) {
	for _, s := range r.open() {
		s.Problem = &Problem{Code: fault.Canceled, Message: why, Hint: "build it again"}
	}
}

func (r *run) jobs() int {
	if r.request.MaxJobs > 0 {
		return r.request.MaxJobs
	}
	return min(runtime.NumCPU(), 4)
}

// one builds one service.
func (r *run) one(ctx context.Context, s *Outcome, e plan.Evaluated) {
	begun := time.Now()
	r.progress.begin(s.Name)
	realised, err := r.realiseOne(ctx, s, e)
	switch {
	case err != nil && ctx.Err() != nil:
		s.Status = Skipped // stopped from outside: said once for all
	case err != nil:
		s.fail(err)
		if failure := (*Failure)(nil); errors.As(err, &failure) {
			s.Problem.Kind, s.Problem.Exit, s.Problem.Tail = failure.Kind, failure.Exit, failure.Tail
			if failure.Drv != s.Drv {
				s.Problem.Drv = failure.Drv
			}
		}
	case realised.Built:
		s.Status = Built
	case realised.Fetched:
		s.Status = Fetched
	default:
		s.Status = Cached // by another process, meanwhile
	}
	if s.Status == Built || s.Status == Fetched {
		s.Seconds = seconds(time.Since(begun))
	}
	r.progress.end(s.Name, s.Status)
}

func (r *run) realiseOne(ctx context.Context, s *Outcome, e plan.Evaluated) (Realised, error) {
	link, err := r.link(s)
	if err != nil {
		return Realised{}, err
	}
	log, err := r.log(s)
	if err != nil {
		return Realised{}, err
	}
	ask := Realisation{Drv: e.Drv, Output: e.Output, Root: link, Log: log, Doing: func(what string) { r.progress.doing(s.Name, what) }, Warn: r.warn}
	realised, err := r.Nix.Realise(ctx, ask)
	if failure := (*Failure)(nil); errors.As(err, &failure) && failure.Collected {
		// What it was evaluated to before is gone: once more, from the start.
		again, _, failed := r.order.Evaluate(ctx, []string{s.Target.Attr}, true)
		if failed == nil {
			failed = again[s.Target.Attr].Err
		}
		if failed != nil {
			return Realised{}, errors.Join(failed, log.Close())
		}
		realised, err = r.Nix.Realise(ctx, ask)
	}
	if err == nil {
		s.Root = link
	}
	if closed := log.Close(); err == nil && closed != nil {
		err = durable.Explain(closed)
	}
	return realised, err
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

// log is the file for what the builders of a service print.
func (r *run) log(s *Outcome) (io.WriteCloser, error) {
	if r.watch.Logs == "" {
		return discard{io.Discard}, nil
	}
	file, err := os.OpenFile(filepath.Join(r.watch.Logs, s.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, durable.Explain(err)
	}
	s.Log = file.Name()
	return &bounded{file: file, room: maxLog}, nil
}

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// maxLog is how much of what a service's builders print is kept.
const maxLog = 64 << 20

// bounded keeps the beginning of what is written. A disk that is full does not
// end a build: the log is cut, and says so where it can.
type bounded struct {
	file *os.File
	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.room <= 0 {
		return len(p), nil
	}
	part := p[:min(len(p), b.room)]
	b.room -= len(part)
	if _, err := b.file.Write(part); err != nil {
		b.room = 0
		return len(p), nil //nolint:nilerr // see above
	}
	if b.room <= 0 {
		_, _ = io.WriteString(b.file, "\n… cut\n")
	}
	return len(p), nil
}

func (b *bounded) Close() error { return b.file.Close() }

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
