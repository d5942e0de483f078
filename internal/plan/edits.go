package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"homelab/internal/hint"
	"homelab/internal/nar"
)

// A fingerprint of edits stands for all that differs from a commit and touches a
// service or one that it depends on, as Nix sees it. A service that is built from a
// work tree with edits has not only its commit to be compared with: it changed when
// its fingerprint did. It is the same for edits in the work tree and for a commit of
// them.

// edits are the fingerprints of some services by what differs from the base of a
// comparison; none for a service that something touches which cannot be read, or is not merged.
func (a *analysis) edits(ctx context.Context, c *comparison, services []string) (map[string]string, error) {
	moves := inputMoves{}
	if m := a.matched[c]; m != nil {
		moves = m.moves
	} else {
		var err error
		if moves, err = a.view.inputMoves(ctx, c); err != nil {
			return nil, err
		}
	}
	everyone := func(string) bool { return true }
	interesting := a.withDependencies(everyone, services)
	lines := map[int][]string{} // by service: what touches it
	unclear := map[int]bool{}
	reader := a.editReader()
	byInput, matcher := a.servicesWithInputs(), a.index.set.Matcher()
	for i := range c.changes {
		change := &c.changes[i]
		if change.Status == Untracked {
			continue // Nix does not see it
		}
		var skip map[int32]bool
		if change.Path == a.view.loaded.lockPath() {
			skip = byInput
		}
		touched := a.touchedBy(matcher, change, skip, interesting)
		if len(touched) == 0 {
			continue
		}
		line, err := reader.line(ctx, *change)
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for _, service := range touched {
			lines[service] = append(lines[service], line)
			unclear[service] = unclear[service] || err != nil
		}
	}
	found := map[string]string{}
	for _, name := range services {
		closure := slices.Sorted(maps.Keys(a.withDependencies(everyone, []string{name})))
		if slices.ContainsFunc(closure, func(i int) bool { return unclear[i] }) {
			continue
		}
		sum := sha256.New()
		fmt.Fprintln(sum, "homelab edits 1")
		for _, i := range closure {
			if err := a.describeService(sum, i, moves); err != nil {
				return nil, err
			}
			for _, line := range lines[i] {
				fmt.Fprintln(sum, line)
			}
		}
		found[name] = hex.EncodeToString(sum.Sum(nil))[:32]
	}
	return found, nil
}

// describeService writes what else than files makes the image of a service: its
// entry in the registry, the system of its host, and the inputs that moved.
func (a *analysis) describeService(w io.Writer, i int, moves inputMoves) error {
	name := a.view.names[i]
	entry := a.view.registry().Services[name]
	text, err := json.Marshal(makesImage(entry))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%q %s %q\n", name, text, a.view.registry().Hosts[entry.HostOf()].System)
	for _, input := range entry.Inputs {
		if moves.changed && moves.status != Untracked && moves.moved(input) {
			digest, _ := moves.new.input(input)
			fmt.Fprintf(w, "input %q %s\n", input, digest)
		}
	}
	return nil
}

// touchedBy are those of some services that a change touches by their hints or by
// global ones, but for those in skip.
func (a *analysis) touchedBy(matcher *hint.Matcher, c *Change, skip map[int32]bool, among map[int]bool) []int {
	patterns := a.index.patternsAt(matcher, *c)
	excluded := a.excludes(patterns, c)
	touched := map[int]bool{}
	for _, at := range patterns {
		for _, o := range a.index.owners[at] {
			if o.hint < 0 {
				continue
			}
			if g := a.index.hints[o.hint].global; g >= 0 {
				limited := a.view.registry().GlobalHints[g].Services
				for i := range among {
					touched[i] = touched[i] || len(limited) == 0 || slices.Contains(limited, a.view.names[i])
				}
			} else if among[int(o.service)] {
				touched[int(o.service)] = true
			}
		}
	}
	maps.DeleteFunc(touched, func(i int, is bool) bool { return !is || excluded[int32(i)] || skip[int32(i)] })
	return slices.Sorted(maps.Keys(touched))
}

// editReader reads what changed in the work tree, as Nix sees it.
type editReader struct {
	contents *contents
	snapshot Snapshot
}

func (a *analysis) editReader() *editReader {
	at := a.view.state()
	return &editReader{snapshot: at.snapshot, contents: &contents{
		at: at, root: a.view.planner.Source.Root, largest: maxHeld, left: maxHashed, known: map[string]looked{},
	}}
}

var errNotTold = errors.New("what is there cannot be told")

// line tells the content of a changed path; an error when that cannot be told.
func (r *editReader) line(ctx context.Context, c Change) (string, error) {
	switch {
	case c.Status == Unreadable, c.Status == Unmerged:
		return "", errNotTold
	case c.Status == Deleted:
		return fmt.Sprintf("%q -", c.Path), nil
	case c.New == Submodule:
		digest, err := r.snapshot.Digest(ctx, c)
		return fmt.Sprintf("%q submodule %s", c.Path, digest), err
	}
	file, err := r.contents.file(ctx, Entry{Path: c.Path, Kind: c.New})
	if err != nil {
		return "", err
	}
	if file == nil {
		return "", errNotTold // it is kept away, or gone since it was looked at
	}
	hash, err := nar.Hash([]nar.File{*file})
	return fmt.Sprintf("%q %s", c.Path, hash), err
}

// Edits is the fingerprint of what was not committed and touched a service when
// the order was made; empty when all was committed, or it cannot be told.
func (o *Order) Edits(service string) string { return o.edits[service] }

// orderEdits are the fingerprints of what an order may build.
func (a *analysis) orderEdits(ctx context.Context) (map[string]string, error) {
	if a.view.side.State != StateDirty {
		return nil, nil
	}
	var services []string
	for _, s := range a.decided {
		if s.Decision == Rebuild || s.Decision == Unknown {
			services = append(services, s.Name)
		}
	}
	return a.edits(ctx, &comparison{commits: []Commit{a.view.commit}, changes: a.view.edits}, services)
}
