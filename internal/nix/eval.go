package nix

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"homelab/internal/command"
	"homelab/internal/fault"
)

// Installable names a value in the outputs of a flake.
type Installable struct {
	Flake string // flake reference; [GitRef] makes one
	Attr  string // attribute path, such as homelab or packages.x86_64-linux.homelab-ha-oci
}

func (i Installable) String() string {
	return i.Flake + "#" + escape(i.Attr, "!$&'()*+,;=:@/?")
}

// EvalJSON evaluates an attribute to JSON of at most most bytes. It never
// writes a lock file and demands a complete one, so that a success at a
// revision is a pure function of the revision's tree.
//
// When the tree has no flake, or the flake no such attribute, it fails with
// [fault.NotFound]; when machine or clone are not ready for Nix, with
// [fault.Precondition]; when Nix cannot evaluate, with [fault.EvalFailed], the
// first line of Nix's error, and where it is.
func (n Nix) EvalJSON(ctx context.Context, at Installable, most int) ([]byte, error) {
	json, err := n.eval(ctx, at, at.Attr, most)
	if err != nil || !shadowed(at, json) {
		return json, err
	}
	// A leading dot, which Nix knows since 2.19, leaves out the packages.
	exact, err := n.eval(ctx, Installable{Flake: at.Flake, Attr: "." + at.Attr}, at.Attr, most)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, shadowFault(at.Attr)
	}
	return exact, err
}

// shadowFault says that this Nix cannot tell an output from a package.
func shadowFault(attr string) *fault.Error {
	return &fault.Error{
		Op: evalOp, Code: fault.EvalFailed,
		Message: fmt.Sprintf("%s names a package: this Nix looks for packages.SYSTEM.%s before it looks for %s", attr, attr, attr),
		Hint:    "update Nix to 2.19 or newer, or export the same value under a name that no package has and use that name",
	}
}

const (
	evalOp    = "nix eval"
	showTrace = "--show-trace" // tells where the innermost place of an error is that has none of its own
)

// eval evaluates a value, once there is room for it; what fails is said of the
// attribute called.
func (n Nix) eval(ctx context.Context, at Installable, called string, most int, more ...string) ([]byte, error) {
	// The evaluation cache keeps failures without their message, and is of no
	// use for whole values.
	args := append([]string{"eval", "--json", "--no-update-lock-file", "--option", "eval-cache", "false"}, more...)
	c := n.nix(append(args, at.String())...)
	c.MaxOutput = most
	done, err := evaluating(ctx)
	if err != nil {
		return nil, err
	}
	result, err := command.Run(ctx, c)
	done()
	if traced := slices.Index(more, showTrace); traced >= 0 && err == nil && result.Exit != 0 && read(string(result.Stderr), "").message == "" {
		// Only the end of a long trace is kept, and older versions put the error first.
		return n.eval(ctx, at, called, most, slices.Delete(slices.Clone(more), traced, traced+1)...)
	}
	at.Attr = called
	switch {
	case err != nil && most > 0 && len(result.Stdout) == most && ctx.Err() == nil:
		return nil, &fault.Error{
			Op: evalOp, Code: fault.EvalFailed, Err: err,
			Message: fmt.Sprintf("%s evaluates to more than %d bytes of JSON", at.Attr, most),
			Hint:    "make it plain data: a package or a whole package set in it is a mistake",
		}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", evalOp, err)
	case result.Exit != 0:
		return nil, explain(at, result)
	}
	return result.Stdout, nil
}

// shadowed says whether a package may have answered for an attribute: Nix looks
// for packages.SYSTEM.NAME before NAME, and a package becomes its store path.
func shadowed(at Installable, json []byte) bool {
	return !strings.Contains(at.Attr, ".") && bytes.HasPrefix(json, []byte(`"/nix/store/`))
}
