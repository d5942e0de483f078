package nix

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/lazy"
)

const realiseOp = "nix build"

// Realisation asks for one output of a derivation.
type Realisation struct {
	Drv    string // /nix/store/….drv, of a [Target]
	Output string // name of the output; empty: out
	// Root is an absolute path where a link to the output keeps it from garbage
	// collection; an older link is replaced. Empty: nothing keeps it.
	Root string
	// Log gets every line that a builder prints, and what Nix warns of, after
	// "nix> ". Lines of other derivations than Drv start with their name and
	// "> ". A Write that fails ends the log, not the build. May be nil.
	Log io.Writer
	// Event is called for each event, from one goroutine. May be nil.
	Event func(Event)
}

// Realised says where an output came from: neither Built nor Substituted when
// it was there.
type Realised struct {
	Out         string        // store path of the output
	Built       bool          // by the builder of the derivation
	Substituted bool          // taken from a cache
	Others      int           // derivations that were built for it
	Duration    time.Duration // of it all
}

var (
	drvSyntax    = lazy.Regexp(`^/.*/[0-9a-z]{32}-[^/!^]+\.drv$`)
	outputSyntax = lazy.Regexp(`^[A-Za-z0-9+._?=-]+$`)
)

// Validate says what is wrong with the request: [fault.InvalidArgument], or
// [fault.Conflict] when Root is there and no link.
func (r Realisation) Validate() error {
	switch {
	case !matches(drvSyntax, r.Drv):
		return fault.Newf(fault.InvalidArgument, "give the store path of a .drv file", "%q is not a derivation", r.Drv)
	case r.Output != "" && !matches(outputSyntax, r.Output):
		return fault.Newf(fault.InvalidArgument, "an output is called out, lib or the like", "%q is not the name of an output", r.Output)
	case r.Root != "":
		return checkRoot(r.Root)
	}
	return nil
}

func matches(syntax func() *regexp.Regexp, s string) bool { return syntax().MatchString(s) }

// Realise builds an output of a derivation, or takes it from a cache, with all
// that it needs. Several may run in parallel: Nix builds nothing twice.
//
// The error is a fault; when a build was tried its cause is a [*Failure]:
// [fault.BuildFailed], [fault.Precondition] (platform, daemon, permission,
// space, a .drv file that is gone), [fault.Timeout], or [fault.Canceled]. When
// ctx is canceled, or this process dies, the builders end.
func (n Nix) Realise(ctx context.Context, r Realisation) (Realised, error) {
	if r.Output == "" {
		r.Output = "out"
	}
	if err := r.Validate(); err != nil {
		return Realised{}, err
	}
	began := time.Now()
	seen := observe(r)
	events := NewEventWriter(seen.see)
	c := n.nixStore(append([]string{"--realise", r.Drv + "!" + r.Output, "--log-format", "internal-json", "--no-gc-warning"}, rootArgs(r.Root)...)...)
	c.Stderr = events
	result, err := command.Run(ctx, c)
	_ = events.Close() // never fails
	switch {
	case ctx.Err() != nil:
		return Realised{}, canceled(ctx, seen)
	case err != nil:
		return Realised{}, fmt.Errorf("%s: %w", realiseOp, err)
	case result.Exit != 0:
		f := seen.failureOf(result.Exit)
		return Realised{}, f.fault(r.Drv, func(system string) string { return n.advice(ctx, system, f.Features) })
	}
	out, err := n.keepRoot(ctx, r, strings.TrimSpace(string(result.Stdout)))
	if err != nil {
		return Realised{}, err
	}
	done := Realised{Out: out, Built: seen.built[r.Drv], Others: len(seen.built), Duration: time.Since(began)}
	if done.Built {
		done.Others--
	}
	done.Substituted = seen.fetched[out] && !done.Built
	return done, nil
}

// canceled is the fault of a build whose context ended.
func canceled(ctx context.Context, seen *observer) error {
	f := &Failure{Kind: BuildCanceled, Tail: []string{}, Features: []string{}, cause: ctx.Err()}
	f.Message = "the build was canceled"
	e := f.fault(seen.Drv, nil)
	e.Code = fault.CodeOf(ctx.Err())
	if e.Code == fault.Timeout {
		f.Message, e.Message = "the build ran out of time", "the build ran out of time"
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

// keepRoot returns the store path of what nix-store says it made: the path, or
// its link. For outputs other than out it adds their name to that of the link;
// the link has to be the one that was asked for.
func (n Nix) keepRoot(ctx context.Context, r Realisation, made string) (string, error) {
	if r.Root == "" {
		return made, nil
	}
	out, err := os.Readlink(made)
	if err != nil || made == r.Root {
		return out, err
	}
	if err := n.AddRoot(ctx, out, r.Root); err != nil {
		return "", err
	}
	return out, os.Remove(made)
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
