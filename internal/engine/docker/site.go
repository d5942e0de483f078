package docker

import (
	"context"
	"errors"
	"io"
	"path"
	"sync"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/sidecar"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// Site is the [state.Site] of the engine's host. What is on this machine for certain,
// and may be read here, is read here; anything else by a container of ours, whose
// program is looked for in folders: see [program.Folders].
func (e *Engine) Site(folders []string) state.FillableSite { return &site{engine: e, folders: folders} }

type site struct {
	engine  *Engine
	folders []string
	far     bool // nothing is read here

	mu    sync.Mutex
	asked bool
	here  here
}

// Read is part of [state.Site].
func (s *site) Read(ctx context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	return s.open(ctx, item, sidecar.Order{Exclude: item.Exclude})
}

// Fill is part of [state.FillableSite].
func (s *site) Fill(ctx context.Context, item registry.StateItem, privileged bool) (io.ReadWriteCloser, error) {
	return s.open(ctx, item, sidecar.Order{Write: true, Privileged: privileged})
}

// Room is part of [state.FillableSite].
func (s *site) Room(ctx context.Context, item registry.StateItem) (*swap.Found, error) {
	if err := s.allowed(ctx, item); err != nil {
		return nil, err
	}
	near, err := s.near(ctx, item)
	if err != nil {
		return nil, err
	}
	if near == "" {
		return s.lookBy(ctx, stateOf(item, sidecar.Order{}))
	}
	folder, err := swap.OpenFolder(near)
	if err != nil {
		return nil, err
	}
	found, err := folder.Look(ctx, 0)
	return found, errors.Join(err, folder.Close())
}

func (s *site) open(ctx context.Context, item registry.StateItem, order sidecar.Order) (io.ReadWriteCloser, error) {
	if err := s.allowed(ctx, item); err != nil {
		return nil, err
	}
	if err := s.engine.sweep(ctx, sidecarAge); err != nil {
		return nil, err
	}
	near, err := s.near(ctx, item)
	switch {
	case err != nil:
		return nil, err
	case near != "":
		return serve(ctx, near, order), nil
	}
	stream, err := s.aside(ctx, stateOf(item, order))
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// allowed says whether an item is one that may be reached: it names a volume that is
// there and shows nothing of the host, or a path.
func (s *site) allowed(ctx context.Context, item registry.StateItem) error {
	if err := sensible(item); err != nil || item.Volume == "" {
		return err
	}
	v, err := s.volume(ctx, item.Volume)
	if err != nil {
		return err
	}
	return deploy.Volume{Name: v.Name, Driver: v.Driver, Options: v.Options}.Safe("the service")
}

// sensible says whether an item names a volume, or a path.
func sensible(item registry.StateItem) error {
	if (item.Volume == "") == (item.Path == "") || item.Path != "" && (!path.IsAbs(item.Path) || path.Clean(item.Path) != item.Path || item.Path == "/") {
		return fault.Newf(fault.InvalidArgument, "correct state.items in the registry", "%q is neither a volume nor a path of a host", item.Name())
	}
	return nil
}
