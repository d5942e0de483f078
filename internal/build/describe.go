package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"homelab/internal/cache"
	"homelab/internal/fault"
	"homelab/internal/image"
	"homelab/internal/plan"
)

// describe says what image is in each artifact.
func (r *run) describe(ctx context.Context, targets map[string]plan.Evaluated) error {
	there, paths := []*Outcome{}, []string{}
	for i := range r.report.Services {
		switch s := &r.report.Services[i]; s.Status {
		case Built, Fetched, Cached:
			there, paths = append(there, s), append(paths, s.Out)
		}
	}
	if len(there) == 0 {
		return nil
	}
	if r.Nix.File(paths[0]) == "" {
		r.report.Warnings = append(r.report.Warnings, plan.Warning{
			Code: "storeElsewhere", Message: "the artifacts are in a store on another machine, so their images were not read",
			Hint: "copy them here with nix copy, or build without the setting store",
		})
		return nil
	}
	infos, err := r.Nix.Hashes(ctx, paths)
	if err != nil {
		return err
	}
	return r.identify(ctx, there, infos, targets)
}

// evidence is what was read from an artifact and from the store about it.
type evidence struct {
	Image image.Image `json:"image"`
	Store PathInfo    `json:"store"`
}

// read is what was read before. A store path may be built anew with other bytes,
// so that its hash is part of the key.
func (b *Builder) read() cache.Dir {
	if b.Cache == "" {
		return cache.Dir{}
	}
	const most = 1024
	return cache.Dir{Path: filepath.Join(b.Cache, "artifacts"), Most: most}
}

func evidenceKey(out string, info PathInfo) string {
	const form = "2" // of evidence: what an older program kept is read anew
	sum := sha256.Sum256([]byte(form + " " + out + " " + info.NarHash))
	return hex.EncodeToString(sum[:])
}

// Image says what image is in an artifact that was built, from what was read
// before where that is still true. Run starts the script of a stream, which is read
// once for this; a build does not run it. The error is a fault: [fault.NotFound] when
// the artifact is not in the store.
func (b *Builder) Image(ctx context.Context, out string, run func(ctx context.Context, script string) (io.ReadCloser, error)) (*image.Image, error) {
	infos, err := b.Nix.Hashes(ctx, []string{out})
	if err != nil {
		return nil, err
	}
	found := evidence{}
	key := evidenceKey(out, infos[out])
	if raw, ok := b.read().Get(key); !ok || json.Unmarshal(raw, &found) != nil {
		read, err := b.readImage(ctx, out)
		if err != nil {
			return nil, err
		}
		found = evidence{*read, infos[out]}
	}
	if found.Image.Kind != image.Stream || len(found.Image.Layers) > 0 {
		b.remember(key, found)
		return &found.Image, nil
	}
	output, err := run(ctx, b.Nix.File(out))
	if err != nil {
		return nil, err
	}
	written, err := image.ReadArchive(ctx, output)
	if err := errors.Join(err, output.Close()); err != nil {
		return nil, err
	}
	written.Kind, written.Size = image.Stream, found.Image.Size
	found.Image = *written
	b.remember(key, found)
	return written, nil
}

func (b *Builder) remember(key string, seen evidence) {
	if raw, err := json.Marshal(seen); err == nil {
		b.read().Put(key, raw)
	}
}

// identify reads the images. An artifact that holds none is a failure of the
// service, and is not kept: it could not be deployed.
func (r *run) identify(ctx context.Context, there []*Outcome, infos map[string]PathInfo, targets map[string]plan.Evaluated) error {
	slots := make(chan struct{}, 2) // more would only wait for the disk
	var wait sync.WaitGroup
	for _, s := range there {
		key := evidenceKey(s.Out, infos[s.Out])
		found := evidence{}
		if raw, ok := r.read().Get(key); ok && json.Unmarshal(raw, &found) == nil {
			s.show(found, targets[s.Target.Attr])
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			r.progress.say("reading the image of " + s.Name)
			found, err := r.readImage(ctx, s.Out)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.fail(err)
				_ = os.Remove(s.Root) // it is made anew by the next build
				s.Root = ""
				return
			}
			seen := evidence{*found, infos[s.Out]}
			s.show(seen, targets[s.Target.Attr])
			r.remember(key, seen)
		})
	}
	wait.Wait()
	return ctx.Err()
}

// readImage reads the image of an artifact. One that is a link is followed only
// within the store: what is elsewhere may change.
func (b *Builder) readImage(ctx context.Context, out string) (*image.Image, error) {
	file := b.Nix.File(out)
	store, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(file)
	if err == nil && !strings.HasPrefix(real, store+"/") {
		return nil, fault.Newf(fault.Precondition, "have the target copy the image into its output", "%s leads out of the Nix store, to %s", filepath.Base(out), real)
	}
	return image.Read(ctx, file)
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
