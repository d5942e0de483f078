package docker

import (
	"context"
	"os"
	"path/filepath"

	"homelab/internal/deploy"
	"homelab/internal/durable"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// Place is the [state.Place] of the engine's host. What is on this machine for certain,
// by the rules of [Engine.Site], is swapped by this process; anything else by a container
// of ours, and what is new is extracted in the folder work before it goes there.
func (e *Engine) Place(folders []string, work string) (state.Place, error) {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, durable.Explain(err)
	}
	return &place{site: &site{engine: e, folders: folders}, work: work}, nil
}

type place struct {
	*site
	work string
}

// Target is part of [state.Place].
func (p *place) Target(ctx context.Context, service string, item registry.StateItem) (state.Target, error) {
	if err := sensible(item); err != nil {
		return nil, err
	}
	if item.Volume != "" {
		if err := p.engine.volumesThere(ctx, volumeFor(service, item)); err != nil {
			return nil, err
		}
	}
	return p.open(ctx, item)
}

// View is part of [state.Place].
func (p *place) View(ctx context.Context, service string, item registry.StateItem) (state.Target, error) {
	if err := sensible(item); err != nil {
		return nil, err
	}
	if item.Volume != "" {
		missing, err := p.engine.volumesMissing(ctx, volumeFor(service, item))
		if err != nil {
			return nil, err
		}
		if len(missing) > 0 {
			return p.nothing(ctx, item.Volume)
		}
	}
	return p.open(ctx, item)
}

func volumeFor(service string, item registry.StateItem) deploy.Spec {
	return deploy.Spec{Service: service, Mounts: []deploy.Mount{{Volume: item.Volume}}}
}

// open opens what is there, or a path that nothing is at.
func (p *place) open(ctx context.Context, item registry.StateItem) (state.Target, error) {
	if err := p.engine.sweep(ctx, sidecarAge); err != nil {
		return nil, err
	}
	target, err := p.here(ctx, item)
	if err != nil {
		return nil, err
	}
	if target != nil {
		return state.InPlace{Target: target}, nil
	}
	return p.there(ctx, item)
}

// here opens what is on this machine for certain; nil: it is not.
func (p *place) here(ctx context.Context, item registry.StateItem) (*swap.Target, error) {
	if item.Volume != "" {
		near, err := p.near(ctx, item)
		if near == "" || err != nil {
			return nil, err
		}
		return swap.OpenFolder(near)
	}
	near, err := p.near(ctx, registry.StateItem{Path: filepath.Dir(item.Path)})
	if near == "" || err != nil {
		return nil, err
	}
	target, err := swap.Open(filepath.Join(near, filepath.Base(item.Path)))
	if err == nil {
		target.Show(item.Path)
	}
	return target, err
}
