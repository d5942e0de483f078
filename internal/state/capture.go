package state

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/quiesce"
	"homelab/internal/swap"
	"homelab/registry"
)

// Site is where the state of the services of one host is.
type Site interface {
	// Read opens a stream to who reads an item: a [mirror.Source] that serves until the
	// stream is closed. ctx lasts until then. An item that is not there is
	// [fault.NotFound].
	Read(ctx context.Context, item registry.StateItem) (io.ReadWriteCloser, error)
}

// Capture is the copy of the state of a service, as it was at one time.
type Capture struct {
	Items  []registry.StateItem
	Copies *os.Root // with a copy of each, named by its number
	// Level is how the service was at rest; none: it was not, and Unsettled entries
	// may be as they were at no time. Snapshot: only until what was left was cloned.
	Level     quiesce.Kind
	Uncloned  string // why it was at rest longer, where a snapshot was asked for
	Unsettled int64
	Problem   error   // why it could not be put to rest, where that is tolerated
	Outage    float64 // seconds from the request to rest until it was healthy again; 0: it was at rest, or went on
	Parts     Outage  // of that
	Passes    []mirror.Report
	Noted     []mirror.Skipped // the first of what cannot be captured, as of the last pass, with the name of its item before it
	Skipped   int64
}

// Capturing says what is to be captured, and how.
type Capturing struct {
	Service   string
	Container *deploy.Container // nil: it has none
	Items     []registry.StateItem
	Method    quiesce.Method
	Budget    time.Duration // that the service may not be there
	Known     Pace          // how long it takes to come to rest so, and to wake
	Copies    *os.Root      // an empty folder
	Keep      bool          // Copies may have those of an earlier capture, and they are for the next one too
	Report    func(message string)
}

// How long copying while the service runs may go on: it ends when another pass would
// not make the last one shorter.
const maxPasses = 8

// Take copies the state of a service. While it runs, passes copy what has changed,
// until what is left is little; then it is put to rest, the last is copied, and it is
// woken at once. Whatever Take fails with, the service is as it was. It fails with
// [fault.Precondition] before the service is put to rest when that would last longer
// than the budget, and with [fault.Timeout] when it did.
func Take(ctx context.Context, q *quiesce.Quiescer, site Site, c Capturing) (taken *Capture, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t := &taking{Capturing: c, quiescer: q, capture: &Capture{Items: c.Items, Copies: c.Copies}}
	defer func() {
		for _, sink := range t.sinks {
			// What is copied is complete, or of no use.
			_ = sink.Close()
		}
	}()
	for i, item := range c.Items {
		item.Exclude = append(slices.Clone(item.Exclude), swap.Prefix+"*/**")
		stream, err := site.Read(ctx, item)
		if err != nil {
			return nil, about(item, err)
		}
		place := mirror.Place{Root: c.Copies, Name: strconv.Itoa(i), Privileged: true}
		if c.Keep {
			place.Memory = place.Name + ".memory"
		}
		sink, err := mirror.NewSink(stream, place)
		if err != nil {
			return nil, about(item, err)
		}
		if c.Method.Kind == quiesce.Snapshot {
			sink.AskForClones()
		}
		t.sinks, t.live = append(t.sinks, sink), append(t.live, &mirror.Report{})
	}
	if err := t.take(ctx); err != nil {
		return nil, err
	}
	t.keep(ctx)
	return t.capture, nil
}

// keep keeps the copies for the next capture. Without that it copies all again.
func (t *taking) keep(ctx context.Context) {
	for i, sink := range t.sinks {
		if !t.Keep {
			return
		}
		if err := sink.Keep(ctx); err != nil {
			t.say("the copy of %s is of no use for the next bundle: %v", t.Items[i].Name(), err)
		}
	}
}

// about says which item an error is about.
func about(item registry.StateItem, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", item.Name(), err)
}

type taking struct {
	Capturing
	quiescer *quiesce.Quiescer
	sinks    []*mirror.Sink
	live     []*mirror.Report // the last of each, while it runs
	capture  *Capture
}

func (t *taking) take(ctx context.Context) error {
	switch {
	case t.Container == nil || !t.Container.Runs():
	case t.Method.Kind == quiesce.None || t.Method.Kind == quiesce.Dump:
		return t.alive(ctx)
	default:
		worth := func() bool { return mirror.Worthwhile(t.capture.Passes, min(t.Budget, shortEnough)) }
		if err := t.passes(ctx, worth); err != nil {
			return err
		}
		copying := mirror.Predict(t.capture.Passes)
		predicted := t.Known.Freeze + copying + t.Known.Wake
		if predicted > t.Budget {
			return tooLong(t.Service, t.Budget, t.Known, copying)
		}
		t.capture.Parts.Predicted = predicted.Seconds()
		if last := t.capture.Passes[len(t.capture.Passes)-1]; last.Uncloned != "" {
			t.say("%s stands still until the last is copied: %s", t.Service, last.Uncloned)
		}
	}
	return t.last(ctx)
}

// shortEnough is a budget that nobody needs to stay far below.
const shortEnough = 5 * time.Second

// alive copies a service that goes on. What it dumped, if it does, is at rest.
func (t *taking) alive(ctx context.Context) error {
	rest, err := t.quiescer.Begin(ctx, t.Service, t.Container, t.Method, dumpLimit)
	if err != nil {
		return err
	}
	t.capture.Level, t.capture.Problem = rest.Reached, rest.Problem
	err = t.passes(ctx, func() bool { return len(t.capture.Passes) == 0 || t.capture.Unsettled > 0 })
	if err == nil {
		err = rest.Alone(ctx)
	}
	// Whatever it fails with, what was copied is not of it.
	return cmp.Or(err, rest.Wake(ctx))
}

// dumpLimit is how long a dump may wait to be copied: nothing waits for that.
const dumpLimit = 24 * time.Hour

// passes copies while the service runs, as long as it is worth it.
func (t *taking) passes(ctx context.Context, worth func() bool) error {
	for len(t.capture.Passes) < maxPasses && worth() {
		pass, err := t.pass(ctx, false)
		if err != nil {
			return err
		}
		t.capture.keep(pass)
		t.say("copied %d bytes of %s while it runs; %d entries changed meanwhile", pass.Sent, t.Service, pass.Unsettled)
	}
	return nil
}

func (c *Capture) keep(pass *mirror.Report) {
	c.Passes = append(c.Passes, *pass)
	c.Noted, c.Skipped, c.Unsettled = pass.Noted, pass.Skipped, pass.Unsettled
}

// tooLong says what would fit.
func tooLong(service string, budget time.Duration, known Pace, copying time.Duration) error {
	predicted := known.Freeze + copying + known.Wake
	of := "to copy the last of it"
	if known != (Pace{}) {
		of = fmt.Sprintf("%.1f s of it to copy the last, and lately %.1f s to come to rest and %.1f s to be there again", copying.Seconds(), known.Freeze.Seconds(), known.Wake.Seconds())
	}
	return fault.Newf(fault.Precondition,
		fmt.Sprintf("set state.downtimeBudget to %s or more; or have less change meanwhile: stop what writes, exclude what need not be kept", (predicted+copying).Round(time.Second)),
		"%s would not be there for %.1f s (%s), and may be away for %s: nothing was stopped", service, predicted.Seconds(), of, budget)
}

// last copies what is left while the service is at rest, or clones it then, and copies
// the clones.
func (t *taking) last(ctx context.Context) error {
	rest, err := t.quiescer.Begin(ctx, t.Service, t.Container, t.Method, t.Budget)
	if err != nil {
		return err
	}
	t.capture.Level, t.capture.Problem = rest.Reached, rest.Problem
	parts := &t.capture.Parts
	parts.Freeze = rest.Seconds()
	away := t.Container != nil && t.Container.State != deploy.Paused && t.Container.Runs() && rest.Reached != quiesce.None
	limited, stop := context.WithCancel(ctx)
	if away { // else nobody waits for it
		left := t.Budget - t.Known.Wake - time.Duration(parts.Freeze*float64(time.Second))
		limited, stop = context.WithTimeoutCause(ctx, left, errBudget)
	}
	defer stop()
	reports, err := t.each(func(i int) (*mirror.Report, error) {
		if rest.Reached == quiesce.Snapshot && t.live[i].Cloned {
			return t.sinks[i].Hold(limited)
		}
		return t.sinks[i].Pass(limited, rest.Reached != quiesce.None)
	})
	if err == nil {
		err = rest.Still(limited)
	}
	parts.Copy = rest.Seconds() - parts.Freeze
	woken := rest.Wake(ctx)
	if away {
		t.capture.Outage = rest.Seconds()
		parts.Wake = t.capture.Outage - parts.Freeze - parts.Copy
	}
	if err == nil {
		err = rest.Alone(ctx)
	}
	switch {
	case woken != nil:
		return woken
	case err != nil && context.Cause(limited) == errBudget:
		return fault.Newf(fault.Timeout, "set state.downtimeBudget to more, or have less change meanwhile",
			"the last of %s was not copied within %s: it was woken, and nothing is captured", t.Service, t.Budget)
	case err != nil:
		return err
	}
	reports, err = t.each(func(i int) (*mirror.Report, error) {
		if reports[i] != nil {
			return reports[i], nil
		}
		return t.sinks[i].Finish(ctx)
	})
	if err != nil {
		return err
	}
	pass, err := t.sum(reports, rest.Reached != quiesce.None)
	if err != nil {
		return err
	}
	t.capture.keep(pass)
	if rest.Reached == quiesce.Snapshot && !pass.Cloned {
		t.capture.Level, t.capture.Uncloned = quiesce.Pause, t.uncloned(reports)
	}
	return nil
}

// uncloned says what was not cloned in the last pass.
func (t *taking) uncloned(last []*mirror.Report) string {
	for i, item := range t.Items {
		if why := cmp.Or(last[i].Uncloned, t.live[i].Uncloned); why != "" {
			return item.Name() + ": " + why
		}
	}
	return ""
}

var errBudget = fault.New(fault.Timeout, "", "the budget is over")

// pass does one pass of all items.
func (t *taking) pass(ctx context.Context, final bool) (*mirror.Report, error) {
	reports, err := t.each(func(i int) (*mirror.Report, error) { return t.sinks[i].Pass(ctx, final) })
	if err != nil {
		return nil, err
	}
	t.live = reports
	return t.sum(reports, final)
}

// each has something done for each item.
func (t *taking) each(do func(i int) (*mirror.Report, error)) ([]*mirror.Report, error) {
	reports := make([]*mirror.Report, len(t.Items))
	for i, item := range t.Items {
		var err error
		if reports[i], err = do(i); err != nil {
			return nil, about(item, err)
		}
	}
	return reports, nil
}

// sum is a pass of all items.
func (t *taking) sum(reports []*mirror.Report, final bool) (*mirror.Report, error) {
	all := &mirror.Report{Final: final, Noted: []mirror.Skipped{}, Cloned: true}
	for i, r := range reports {
		add(all, t.Items[i].Name(), r)
	}
	if all.Unowned > 0 {
		return nil, fault.Newf(fault.Precondition, "run homelab as root where the bundle is made", "%d entries of %s are of other users than this one, and would lose their owners: nothing is captured", all.Unowned, t.Service)
	}
	return all, nil
}

// maxNoted bounds the names of what cannot be captured.
const maxNoted = 100

// add adds a pass of one item to that of all.
func add(all *mirror.Report, item string, r *mirror.Report) {
	all.Entries += r.Entries
	all.Files += r.Files
	all.Read += r.Read
	all.Sent += r.Sent
	all.Skipped += r.Skipped
	all.Unsettled += r.Unsettled
	all.Suspect += r.Suspect
	all.Seconds += r.Seconds
	all.Sync += r.Sync
	all.Look += r.Look
	all.Compare += r.Compare
	all.Send += r.Send
	all.Stripped += r.Stripped
	all.Unowned += r.Unowned
	all.Cloned = all.Cloned && r.Cloned
	all.Clone += r.Clone
	if all.Uncloned == "" && r.Uncloned != "" {
		all.Uncloned = item + ": " + r.Uncloned
	}
	for _, noted := range r.Noted[:min(len(r.Noted), maxNoted-len(all.Noted))] {
		noted.Path = path.Join(item, noted.Path)
		all.Noted = append(all.Noted, noted)
	}
}

func (t *taking) say(format string, args ...any) {
	if t.Report != nil {
		t.Report(fmt.Sprintf(format, args...))
	}
}
