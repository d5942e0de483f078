package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"homelab/internal/cache"
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

// Evaluate evaluates attributes of the order's flake. What an equal state of
// the repository evaluated to is remembered, unless fresh is set: a derivation
// may have been collected as garbage meanwhile. Failures are not remembered.
func (o *Order) Evaluate(ctx context.Context, attrs []string, fresh bool) (map[string]Evaluated, error) {
	source := o.planner.Source
	if err := source.Nix.Available(ctx); err != nil {
		return nil, err
	}
	key, err := o.key(ctx, o.at)
	if err != nil {
		return nil, err
	}
	known := source.evaluated(key)
	missing := []string{}
	for _, attr := range attrs {
		if _, ok := known[attr]; !ok || fresh {
			missing = append(missing, attr)
		}
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	if len(missing) == 0 {
		return known, nil
	}
	found, err := source.Nix.Targets(ctx, o.Flake, missing)
	if err != nil {
		return nil, err
	}
	maps.Copy(known, found)
	if o.at.settled(ctx, key, o.key) {
		source.keepEvaluated(key, known)
	}
	return known, nil
}

// key identifies what the order's flake evaluates from; empty when that cannot
// be told.
func (o *Order) key(ctx context.Context, at state) (string, error) {
	if o.moves {
		return "", nil
	}
	return evaluationKey(ctx, fmt.Sprintf("homelab targets 1\n%q %s", o.dir, o.planner.Source.Nix.Identity()), at)
}

// Evaluated targets are kept on disk, a file for each state.
func (s *Source) targetsOnDisk() cache.Dir {
	if s.CacheDir == "" {
		return cache.Dir{}
	}
	const most = 64
	return cache.Dir{Path: filepath.Join(s.CacheDir, "targets"), Most: most}
}

// evaluated are the targets of one state that were evaluated before.
func (s *Source) evaluated(key string) map[string]Evaluated {
	known := map[string]Evaluated{}
	if key == "" {
		return known
	}
	if raw, ok := s.targetsOnDisk().Get(key); !ok || json.Unmarshal(raw, &known) != nil {
		return map[string]Evaluated{}
	}
	return known
}

func (s *Source) keepEvaluated(key string, all map[string]Evaluated) {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(_ string, e Evaluated) bool { return e.Err != nil })
	if raw, err := json.Marshal(kept); err == nil {
		s.targetsOnDisk().Put(key, raw)
	}
}
