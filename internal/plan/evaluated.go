package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"homelab/internal/cache"
	"homelab/internal/fault"
)

// Evaluated is what an attribute of a flake evaluates to.
type Evaluated struct {
	Drv        string `json:"drv"`        // store path of the derivation
	Out        string `json:"out"`        // store path of its default output, built or not
	Output     string `json:"output"`     // name of that output
	System     string `json:"system"`     // that can build it
	ImageName  string `json:"imageName"`  // of the image, where the derivation says it
	ImageTag   string `json:"imageTag"`   // likewise
	Executable bool   `json:"executable"` // the output is a program that writes the image
	Err        error  `json:"-"`          // why there is none of this
}

// flake is the flake that services are built from, as of one state.
type flake struct {
	source *Source
	ref    string
	dir    string // in the repository
	moves  bool   // it is not part of the repository: what it is may change at any time
	at     state
}

// flake is the flake of the registry that was looked at, as of any state.
func (v *view) flake(at state) flake {
	l, source := v.loaded, v.planner.Source
	f := flake{source: source, ref: l.ref, dir: l.FlakeDir, moves: l.Flake && l.outside, at: at}
	if !f.moves {
		commit := at.commit.ID
		if at.work {
			commit = ""
		}
		f.ref = source.Nix.GitRef(source.Root, commit, f.dir)
	}
	return f
}

// evaluate evaluates attributes. What an equal state of the repository
// evaluated to is remembered, unless fresh is set: a derivation may have been
// collected as garbage meanwhile. That an attribute does not exist is
// remembered too; other failures are not. Moved says that somebody edited the
// repository meanwhile, so that this is of no state that is known.
func (f flake) evaluate(ctx context.Context, attrs []string, fresh bool) (known map[string]Evaluated, moved bool, err error) {
	if err := f.source.Nix.Available(ctx); err != nil {
		return nil, false, err
	}
	key, err := f.key(ctx, f.at)
	if err != nil {
		return nil, false, err
	}
	known = f.source.evaluated(key)
	missing := []string{}
	for _, attr := range attrs {
		if _, ok := known[attr]; !ok || fresh {
			missing = append(missing, attr)
		}
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	if len(missing) == 0 {
		return known, false, nil
	}
	found, err := f.source.Nix.Targets(ctx, f.ref, missing)
	if fault.CodeOf(err) == fault.EvalFailed && evaluates(known) {
		// The flake as a whole is well, since others of it evaluated: what fails
		// is what is left to ask for.
		found = map[string]Evaluated{}
		for _, attr := range missing {
			found[attr] = Evaluated{Err: err}
		}
	} else if err != nil {
		return nil, false, err
	}
	maps.Copy(known, found)
	if f.at.settled(ctx, key, f.key) {
		f.source.keepEvaluated(key, known)
		return known, false, nil
	}
	return known, key != "", nil
}

// remembered is what this state evaluated to before, as far as it was asked.
func (f flake) remembered(ctx context.Context) (map[string]Evaluated, error) {
	key, err := f.key(ctx, f.at)
	if err != nil {
		return nil, err
	}
	return f.source.evaluated(key), nil
}

// evaluates says whether some attribute did.
func evaluates(known map[string]Evaluated) bool {
	for _, e := range known {
		if e.Err == nil {
			return true
		}
	}
	return false
}

// key identifies what the flake evaluates from as of a state; empty when that
// cannot be told.
func (f flake) key(ctx context.Context, at state) (string, error) {
	if f.moves {
		return "", nil
	}
	return evaluationKey(ctx, fmt.Sprintf("homelab targets 1\n%q %s", f.dir, f.source.Nix.Identity()), at)
}

// Evaluated targets are kept on disk, a file for each state.
func (s *Source) targetsOnDisk() cache.Dir {
	if s.CacheDir == "" {
		return cache.Dir{}
	}
	const most = 64
	return cache.Dir{Path: filepath.Join(s.CacheDir, "targets"), Most: most}
}

// keptTarget is an [Evaluated] on disk.
type keptTarget struct {
	Evaluated
	Missing *missingAttr `json:"missing,omitempty"`
}

// missingAttr is a [fault.NotFound] on disk.
type missingAttr struct{ Op, Message, Hint string }

func (m missingAttr) err() error {
	return &fault.Error{Op: m.Op, Code: fault.NotFound, Message: m.Message, Hint: m.Hint}
}

// evaluated are the targets of one state that were evaluated before.
func (s *Source) evaluated(key string) map[string]Evaluated {
	known := map[string]Evaluated{}
	if key == "" {
		return known
	}
	raw, ok := s.targetsOnDisk().Get(key)
	var kept map[string]keptTarget
	if !ok || json.Unmarshal(raw, &kept) != nil {
		return known
	}
	for attr, target := range kept {
		if m := target.Missing; m != nil {
			target.Err = m.err()
		}
		known[attr] = target.Evaluated
	}
	return known
}

func (s *Source) keepEvaluated(key string, all map[string]Evaluated) {
	kept := make(map[string]keptTarget, len(all))
	for attr, target := range all {
		switch e := (*fault.Error)(nil); {
		case target.Err == nil:
			kept[attr] = keptTarget{Evaluated: target}
		case errors.As(target.Err, &e) && e.Code == fault.NotFound:
			kept[attr] = keptTarget{Missing: &missingAttr{e.Op, e.Message, e.Hint}}
		}
	}
	if raw, err := json.Marshal(kept); err == nil {
		s.targetsOnDisk().Put(key, raw)
	}
}
