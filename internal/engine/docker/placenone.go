package docker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"homelab/internal/fault"
	"homelab/internal/sidecar"
	"homelab/internal/state"
	"homelab/internal/swap"
)

// none is the target that a volume would be that is not there.
type none struct {
	name, path, work string
	found            *swap.Found
}

// nothing looks at the disk that a volume would be on, where the engine makes those that
// nobody says more of.
func (p *place) nothing(ctx context.Context, name string) (state.Target, error) {
	at := here{}
	if !p.far {
		var err error
		if at, err = p.whatIsHere(ctx); err != nil {
			return nil, err
		}
	}
	t := &none{name: name}
	if at.volumes != "" {
		t.path = filepath.Join(at.volumes, name, "_data")
		folder, err := swap.OpenFolder(at.volumes)
		if err != nil {
			return nil, err
		}
		t.found, err = folder.Look(ctx, 0)
		if err := errors.Join(err, folder.Close()); err != nil {
			return nil, err
		}
	} else {
		info, err := p.engine.api.Info(ctx)
		if err != nil {
			return nil, p.engine.explain(ctx, "docker info", err)
		}
		t.path, t.work = filepath.Join(info.DockerRootDir, "volumes", name, "_data"), p.work
		// Without a name it is of the sidecar alone, and goes with it.
		if t.found, err = p.lookBy(ctx, errand{about: "state of " + name, at: volumeAt("", true), may: mayRead}); err != nil {
			return nil, err
		}
	}
	t.found.Folder, t.found.There, t.found.Kept, t.found.Mounts = true, swap.Amount{Entries: 1}, []swap.Kept{}, nil
	return t, nil
}

// lookBy has a sidecar look at what it has.
func (s *site) lookBy(ctx context.Context, do errand) (*swap.Found, error) {
	do.order = sidecar.Order{Swap: true}
	stream, err := s.aside(ctx, do)
	if err != nil {
		return nil, err
	}
	call, err := sidecar.NewCall(ctx, stream)
	if err != nil {
		return nil, err
	}
	answer, err := call.Ask(ctx, sidecar.Request{Do: sidecar.Look})
	if err := errors.Join(err, call.Close()); err != nil {
		return nil, err
	}
	return foundBy(answer)
}

func (t *none) Path() string { return t.path }
func (t *none) Work() string { return t.work }
func (t *none) Close() error { return nil }

func (t *none) Look(context.Context, int64) (*swap.Found, error) {
	found := *t.found
	return &found, nil
}

// Measure is part of [state.Target]: an empty folder, whatever is left out.
func (t *none) Measure(context.Context, int64, []string) (swap.Amount, error) {
	return t.found.There, nil
}

func (t *none) gone() error {
	return fault.Newf(fault.NotFound, "restore a bundle, or deploy the service: that makes it", "there is no volume %s", t.name)
}

func (t *none) Stage(context.Context, string) (*os.Root, string, error) { return nil, "", t.gone() }
func (t *none) Deliver(context.Context, string) error                   { return t.gone() }
func (t *none) Fill(context.Context, string) (io.ReadWriteCloser, error) {
	return nil, t.gone()
}
func (t *none) Swap(context.Context, string) error    { return t.gone() }
func (t *none) Back(context.Context, string) error    { return t.gone() }
func (t *none) Discard(context.Context, string) error { return t.gone() }
func (t *none) Commit(context.Context, string) error  { return t.gone() }
