package nix

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/lazy"
)

const realiseOp = "nix build"

// Realisation asks for one output of a derivation.
type Realisation struct {
	Drv    string // /nix/store/….drv, of a [Target]
	Output string // name of the output; empty: out
	Out    string // store path of the output, of the same target
	// Root is an absolute path where a link to the output keeps it from garbage
	// collection; an older link is replaced. Empty: nothing keeps it.
	Root string
	// Log gets every line that a builder prints, and what Nix warns of, after
	// "nix> ". Lines of other derivations that Drv needs start with their name
	// and "> ". A Write that fails ends the log, not the build. May be nil.
	Log io.Writer
}

// How says how several outputs are realised. The zero value builds as many at
// a time as nix.conf says, and goes on when one fails.
type How struct {
	MaxJobs  int         // most builders at a time on this machine; 0: the setting max-jobs
	FailFast bool        // end when one fails
	Event    func(Event) // called for each event, from one goroutine; may be nil
}

// Realised says where an output came from: neither Built nor Substituted when
// it was there.
type Realised struct {
	Built       bool // by the builder of the derivation
	Substituted bool // taken from a cache
	Rooted      bool // the root that was asked for is there
	// Err is why there is none: a fault whose cause is a [*Failure]:
	// [fault.BuildFailed], [fault.Precondition] (platform, daemon, permission,
	// space, a .drv file that is gone), or [fault.Timeout]. Or its root cannot be
	// made.
	Err error
	// Skipped means that it was not tried to its end: another one failed
	// ([How.FailFast]), or the whole ended with an error.
	Skipped bool
}

var (
	drvSyntax    = lazy.Regexp(`^/.*/[0-9a-z]{32}-[^/!^]+\.drv$`)
	outputSyntax = lazy.Regexp(`^[A-Za-z0-9+._?=-]+$`)
)

// Validate says what is wrong with the request: [fault.InvalidArgument].
func (r Realisation) Validate() error {
	switch {
	case !matches(drvSyntax, r.Drv):
		return fault.Newf(fault.InvalidArgument, "give the store path of a .drv file", "%q is not a derivation", r.Drv)
	case r.Output != "" && !matches(outputSyntax, r.Output):
		return fault.Newf(fault.InvalidArgument, "an output is called out, lib or the like", "%q is not the name of an output", r.Output)
	}
	return nil
}

func matches(syntax func() *regexp.Regexp, s string) bool { return syntax().MatchString(s) }

// installable is what nix-store is asked for.
func (r Realisation) installable() string {
	if r.Output == "" {
		return r.Drv + "!out"
	}
	return r.Drv + "!" + r.Output
}

// Realise builds outputs of derivations, or takes them from a cache, with all
// that they need, in one process of Nix: what several need is built once, a
// cache is asked once, and max-jobs bounds them all. The results are in the
// order of asked.
//
// The error is a fault about all of them: a bad request, no Nix, or
// [fault.Canceled] and [fault.Timeout] when ctx ended; the results then say which
// were done before. When ctx is canceled, or this process dies, the builders end.
func (n Nix) Realise(ctx context.Context, asked []Realisation, how How) ([]Realised, error) {
	for _, r := range asked {
		if err := r.Validate(); err != nil {
			return nil, err
		}
	}
	r := &realising{Nix: n, asked: asked, how: how, results: make([]Realised, len(asked))}
	for i := range asked {
		r.results[i] = Realised{Skipped: true}
		if root := asked[i].Root; root != "" {
			if err := checkRoot(root); err != nil {
				r.results[i] = Realised{Err: err}
				continue
			}
		}
		r.open = append(r.open, i)
	}
	for len(r.open) > 0 {
		seen := r.observe(ctx)
		if err := r.pass(ctx, seen); err != nil {
			r.keepWhatIsThere(ctx, seen)
			return r.results, err
		}
	}
	return r.results, nil
}

// realising is a call of Realise.
type realising struct {
	Nix
	asked   []Realisation
	how     How
	results []Realised
	open    []int // of asked, without a result yet
}

// pass runs Nix once, for all that is open. Some failures make Nix give up on all
// (older versions: a derivation for another system): what is left then without
// a reason of its own stays open.
func (r *realising) pass(ctx context.Context, seen *observer) error {
	events := NewEventWriter(seen.see)
	c := r.nixStore(r.args()...)
	c.Stderr = events
	result, err := command.Run(ctx, c)
	_ = events.Close() // never fails
	switch {
	case ctx.Err() != nil:
		return canceled(ctx)
	case err != nil:
		return fmt.Errorf("%s: %w", realiseOp, err)
	case result.Exit == 0:
		return r.done(ctx, seen, r.open, strings.TrimSpace(string(result.Stdout)))
	}
	return r.settle(ctx, seen, result.Exit)
}

func (r *realising) args() []string {
	args := []string{"--realise"}
	for _, i := range r.open {
		if one := r.asked[i].installable(); !slices.Contains(args, one) {
			args = append(args, one)
		}
	}
	args = append(args, "--log-format", "internal-json", "--no-gc-warning")
	if !r.how.FailFast {
		args = append(args, "--keep-going")
	}
	if r.how.MaxJobs > 0 {
		args = append(args, "--max-jobs", strconv.Itoa(r.how.MaxJobs))
	}
	if len(r.open) == 1 {
		args = append(args, rootArgs(r.asked[r.open[0]].Root)...)
	}
	return args
}

// done records what is there, and keeps it there. Made is what nix-store says it
// made, where it was asked for one: it made the root as well.
func (r *realising) done(ctx context.Context, seen *observer, there []int, made string) error {
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	settled := make([]bool, len(r.asked))
	for _, i := range there {
		group.Go(func() error {
			result := seen.realised(i)
			if root := r.asked[i].Root; root != "" {
				var err error
				if len(r.open) == 1 && made != "" {
					err = r.keepRoot(inGroup, r.asked[i], made)
				} else {
					err = r.AddRoot(inGroup, r.asked[i].Out, root)
				}
				if inGroup.Err() != nil {
					return inGroup.Err()
				}
				if result.Rooted = err == nil; err != nil {
					result = Realised{Err: err} // garbage collection took it just now, or the link is in the way
				}
			}
			r.results[i], settled[i] = result, true
			return nil
		})
	}
	err := group.Wait()
	r.close(slices.DeleteFunc(slices.Clone(there), func(i int) bool { return !settled[i] }))
	if err != nil {
		return canceled(ctx)
	}
	return nil
}

// lastLook is how long a build that ends with an error may take to see what is
// there, and to keep it.
const lastLook = 5 * time.Second

// keepWhatIsThere says of what has been built, when all ends with an error, that it
// was, and keeps it.
func (r *realising) keepWhatIsThere(ctx context.Context, seen *observer) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer stop()
	outs := make([]string, 0, len(r.open))
	for _, i := range r.open {
		outs = append(outs, r.asked[i].Out)
	}
	invalid, err := r.Valid(ctx, outs)
	if err != nil {
		return // nothing can be said of them
	}
	there := slices.DeleteFunc(slices.Clone(r.open), func(i int) bool { return slices.Contains(invalid, r.asked[i].Out) })
	_ = r.done(ctx, seen, there, "") // what takes too long stays skipped
}

// settle tells apart what is there, what failed, and what was not tried.
func (r *realising) settle(ctx context.Context, seen *observer, exit int) error {
	if len(r.open) == 1 {
		r.fail(ctx, r.open[0], seen.failureOf(r.open[0], exit))
		r.close(r.open)
		return nil
	}
	outs := make([]string, 0, len(r.open))
	for _, i := range r.open {
		outs = append(outs, r.asked[i].Out)
	}
	invalid, err := r.Valid(ctx, outs)
	if err != nil {
		invalid = outs // what is known to have failed is told all the same
	}
	var there, failed, rest []int
	for _, i := range r.open {
		if !slices.Contains(invalid, r.asked[i].Out) {
			there = append(there, i)
		} else if f := seen.failureOf(i, exit); f.own {
			r.fail(ctx, i, f)
			failed = append(failed, i)
		} else {
			rest = append(rest, i)
		}
	}
	r.close(failed)
	if err != nil {
		return err
	}
	if err := r.done(ctx, seen, there, ""); err != nil {
		return err
	}
	switch {
	case r.how.FailFast && len(failed) > 0:
		r.close(rest)
	case len(there)+len(failed) == 0 || slices.ContainsFunc(failed, func(i int) bool { return endsAll(r.results[i].Err) }):
		for _, i := range rest {
			r.fail(ctx, i, seen.failureOf(i, exit))
		}
		r.close(rest)
	}
	return nil
}

// endsAll says whether what one failed of keeps the others from being built.
func endsAll(err error) bool {
	f := failureIn(err)
	return f != nil && (f.Kind == NoSpace || f.Kind == DaemonUnreachable || f.Kind == StoreRefused)
}

func (r *realising) fail(ctx context.Context, i int, f *Failure) {
	drv := r.asked[i].Drv
	r.results[i] = Realised{Err: f.fault(drv, func(system string) string { return r.advice(ctx, system, f.Features) })}
}

func (r *realising) close(settled []int) {
	r.open = slices.DeleteFunc(slices.Clone(r.open), func(i int) bool { return slices.Contains(settled, i) })
}

// canceled is the fault of a build whose context ended.
func canceled(ctx context.Context) error {
	e := &fault.Error{Op: realiseOp, Code: fault.CodeOf(ctx.Err()), Message: "the build was canceled", Hint: "start it again: what is built stays built", Err: ctx.Err()}
	if e.Code == fault.Timeout {
		e.Message = "the build ran out of time"
	}
	return e
}

// advice is what to do when this machine cannot build for a system.
func (n Nix) advice(ctx context.Context, system string, features []string) string {
	systems, err := n.Systems(ctx)
	if err != nil {
		systems = Systems{} // general advice is better than none
	}
	return systems.Advice(system, features)
}

func rootArgs(root string) []string {
	if root == "" {
		return nil
	}
	return []string{"--add-root", root, "--indirect"}
}

// keepRoot gives the link that nix-store made the name that was asked for: for
// outputs other than out it adds their name to it.
func (n Nix) keepRoot(ctx context.Context, r Realisation, made string) error {
	if made == r.Root {
		return nil
	}
	out, err := os.Readlink(made)
	if err != nil {
		return err
	}
	if err := n.AddRoot(ctx, out, r.Root); err != nil {
		return err
	}
	return os.Remove(made)
}

// checkRoot says whether a link can be made at a path.
func checkRoot(link string) error {
	if !filepath.IsAbs(link) || filepath.Clean(link) != link {
		return fault.Newf(fault.InvalidArgument, "give an absolute path without . and ..", "%q cannot be a root of the garbage collector", link)
	}
	info, err := os.Lstat(link)
	if err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fault.Newf(fault.Conflict, "move it away", "%s is in the way of a link to the store", link)
	}
	return nil
}
