package nix

import (
	"context"
	_ "embed" // targets.nix
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"homelab/internal/fault"
)

// targetsNix describes attributes below a value.
//
//go:embed targets.nix
var targetsNix string

// described is what targets.nix says of one attribute.
type described struct {
	Failed  bool     // and the message is lost
	Missing int      // index of the first name that is not there
	Names   []string // that are there in its place
	Kind    string   // of a value that is no derivation: string, set…

	Drv, Out, Output, Name, System, ImageName, ImageTag string
	Executable                                          bool
}

// errNoAttribute is the cause of a fault when the flake has not even the first
// name of an attribute path.
var errNoAttribute = errors.New("no such attribute")

const maxDescription = 256 << 20

// describe describes attributes that start with the same name.
func (e *evaluation) describe(ctx context.Context, group []wanted, catch bool) ([]described, error) {
	root, at := group[0].names[0], group[0].attr
	if len(group) > 1 {
		at = quoteName(root)
	}
	found, shadowed, err := e.apply(ctx, Installable{e.flake, quoteName(root)}, at, group, catch)
	if !shadowed {
		return found, err
	}
	found, _, err = e.apply(ctx, Installable{e.flake, "." + quoteName(root)}, at, group, catch)
	if errors.Is(err, errNoAttribute) {
		return nil, shadowFault(root)
	}
	return found, err
}

// apply applies targets.nix to a value; shadowed says that a package answered
// in place of the output of that name. What fails is said of the attribute at.
func (e *evaluation) apply(ctx context.Context, root Installable, at string, group []wanted, catch bool) (_ []described, shadowed bool, _ error) {
	var paths strings.Builder
	for _, w := range group {
		paths.WriteString(nixStrings(w.names[1:]))
	}
	expression := fmt.Sprintf("root: (%s) { inherit root; catch = %s; paths = [ %s ]; }", targetsNix, strconv.FormatBool(catch), paths.String())
	more := []string{"--apply", expression}
	if !catch {
		more = append(more, showTrace) // it failed already: what is wanted is why
	}
	output, err := e.eval(ctx, root, at, maxDescription, more...)
	if err != nil {
		return nil, false, err
	}
	var answer struct {
		Found    []described
		Shadowed bool
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		return nil, false, fmt.Errorf("%s: %w", evalOp, err)
	}
	if !answer.Shadowed && len(answer.Found) != len(group) {
		return nil, false, fmt.Errorf("%s: %d of %d attributes described", evalOp, len(answer.Found), len(group))
	}
	return answer.Found, answer.Shadowed, nil
}

// evaluated is what an attribute became.
func (e *evaluation) evaluated(w wanted, d described) Evaluated {
	switch {
	case d.Missing > 0:
		return Evaluated{Err: e.missing(w, d.Missing, d.Names)}
	case d.Kind != "":
		return Evaluated{Err: &fault.Error{
			Op: evalOp, Code: fault.EvalFailed,
			Message: fmt.Sprintf("%s is a %s, not a derivation", w.attr, kinds(d.Kind)),
			Hint:    "name a package, as nix build takes it",
		}}
	}
	return Evaluated{Target: Target{
		Drv: d.Drv, Out: d.Out, OutputName: d.Output, Name: d.Name, System: d.System,
		ImageName: d.ImageName, ImageTag: d.ImageTag, Executable: d.Executable,
	}}
}

// kinds calls a type of Nix what people call it.
func kinds(kind string) string {
	if kind == "lambda" {
		return "function"
	}
	return kind
}

// missing says that the flake has no such attribute: the name at an index is
// not among those that are there.
func (e *evaluation) missing(w wanted, index int, there []string) *fault.Error {
	hint := fmt.Sprintf("add %s to the outputs in %s", w.attr, path.Join(placeOf(e.flake).dir, "flake.nix"))
	name := w.names[index]
	switch known := fault.DidYouMean(name, there); {
	case known == "":
	case len(fault.Near(name, there)) > 0:
		hint += ", or " + known
	default:
		hint += "; " + attrPath(w.names[:index]) + " has " + strings.TrimPrefix(known, "valid: ")
	}
	return &fault.Error{Op: evalOp, Code: fault.NotFound, Message: "the flake has no attribute " + w.attr, Hint: hint}
}
