package build

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"

	"homelab/internal/cache"
	"homelab/internal/image"
	"homelab/internal/plan"
)

// describe says what image is in each artifact, and keeps it from garbage
// collection.
func (r *run) describe(ctx context.Context, targets map[string]plan.Evaluated) error {
	there := []*Outcome{}
	for i := range r.report.Services {
		switch s := &r.report.Services[i]; s.Status {
		case Built, Fetched, Cached:
			there = append(there, s)
		}
	}
	for _, s := range there {
		if err := r.root(ctx, s); err != nil {
			return err
		}
	}
	return r.identify(ctx, there, targets)
}

// evidence is what was read from an artifact and from the store about it.
type evidence struct {
	Image image.Image `json:"image"`
	Store PathInfo    `json:"store"`
}

// read is what was read before: a store path never changes.
func (b *Builder) read() cache.Dir {
	if b.Cache == "" {
		return cache.Dir{}
	}
	const most = 1024
	return cache.Dir{Path: filepath.Join(b.Cache, "artifacts"), Most: most}
}

// identify says which image is in each artifact. An artifact that holds none
// is a failure of the service: it could not be deployed.
func (r *run) identify(ctx context.Context, there []*Outcome, targets map[string]plan.Evaluated) error {
	unread, paths := []*Outcome{}, []string{}
	for _, s := range there {
		if r.Nix.File(s.Out) == "" {
			r.report.Warnings = append(r.report.Warnings, plan.Warning{
				Code: "storeElsewhere", Message: "the artifacts are in a store on another machine, so their images were not read",
				Hint: "copy them here with nix copy, or build without the setting store",
			})
			return nil
		}
		found := evidence{}
		if raw, ok := r.read().Get(filepath.Base(s.Out)); ok && json.Unmarshal(raw, &found) == nil {
			s.show(found, targets[s.Target.Attr])
			continue
		}
		unread, paths = append(unread, s), append(paths, s.Out)
	}
	if len(unread) == 0 {
		return nil
	}
	r.progress.say("reading " + plural(len(unread), "image"))
	infos, err := r.Nix.Hashes(ctx, paths)
	if err != nil {
		return err
	}
	slots := make(chan struct{}, 2) // more would only wait for the disk
	var wait sync.WaitGroup
	for _, s := range unread {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			found, err := image.Read(ctx, r.Nix.File(s.Out))
			if err != nil {
				s.Status, s.Problem = Failed, problemOf(err)
				return
			}
			seen := evidence{*found, infos[s.Out]}
			s.show(seen, targets[s.Target.Attr])
			if raw, err := json.Marshal(seen); err == nil {
				r.read().Put(filepath.Base(s.Out), raw)
			}
		})
	}
	wait.Wait()
	return ctx.Err()
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// show puts the evidence into the answer. What a stream or nix2container does
// not say of its name, the derivation does.
func (s *Outcome) show(seen evidence, e plan.Evaluated) {
	i := seen.Image
	s.Artifact = &Artifact{
		Kind: i.Kind, Compression: i.Compression, Name: i.Name, Tag: i.Tag, Digest: i.Digest,
		Architecture: i.Architecture, OS: i.OS, Layers: len(i.Layers), Size: i.Size,
		NarHash: seen.Store.NarHash, NarSize: seen.Store.NarSize,
	}
	if i.Name == "" {
		s.Artifact.Name, s.Artifact.Tag = e.ImageName, e.ImageTag
	}
}
