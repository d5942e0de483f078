package deploy

import (
	"context"
	"time"
)

// How long an engine may take for a call that changes or looks at one thing, and
// to kill what does not end by itself.
const (
	CallPatience = 60 * time.Second
	killPatience = 30 * time.Second
)

// patient bounds calls of an engine in time: one that hangs must not hang whoever
// waits to bring a version back. What talks to a container or sends an image is bounded
// by who asks for it.
type patient struct{ Containers }

func bounded[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, stop := context.WithTimeout(ctx, CallPatience)
	defer stop()
	return call(ctx)
}

func done(ctx context.Context, patience time.Duration, call func(context.Context) error) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	return call(ctx)
}

func (p patient) Platform(ctx context.Context) (Platform, error) {
	return bounded(ctx, p.Containers.Platform)
}

func (p patient) Image(ctx context.Context, ref string) (*HostImage, error) {
	return bounded(ctx, func(ctx context.Context) (*HostImage, error) { return p.Containers.Image(ctx, ref) })
}

func (p patient) Tag(ctx context.Context, ref, name string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.Tag(ctx, ref, name) })
}

func (p patient) Untag(ctx context.Context, name string) (bool, error) {
	return bounded(ctx, func(ctx context.Context) (bool, error) { return p.Containers.Untag(ctx, name) })
}

func (p patient) Container(ctx context.Context, ref string) (*Container, error) {
	return bounded(ctx, func(ctx context.Context) (*Container, error) { return p.Containers.Container(ctx, ref) })
}

func (p patient) List(ctx context.Context) ([]Container, error) {
	return bounded(ctx, p.Containers.List)
}

func (p patient) Create(ctx context.Context, name string, spec Spec, labels map[string]string) (string, error) {
	return bounded(ctx, func(ctx context.Context) (string, error) { return p.Containers.Create(ctx, name, spec, labels) })
}

func (p patient) EnvDiffers(ctx context.Context, id string, spec Spec) ([]string, error) {
	return bounded(ctx, func(ctx context.Context) ([]string, error) { return p.Containers.EnvDiffers(ctx, id, spec) })
}

func (p patient) Start(ctx context.Context, id string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.Start(ctx, id) })
}

func (p patient) Stop(ctx context.Context, id string, grace time.Duration) error {
	return done(ctx, grace+killPatience, func(ctx context.Context) error { return p.Containers.Stop(ctx, id, grace) })
}

func (p patient) Pause(ctx context.Context, id string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.Pause(ctx, id) })
}

func (p patient) Unpause(ctx context.Context, id string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.Unpause(ctx, id) })
}

func (p patient) Remove(ctx context.Context, id string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.Remove(ctx, id) })
}

func (p patient) Rename(ctx context.Context, id, name string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.Rename(ctx, id, name) })
}

func (p patient) SetRestart(ctx context.Context, id, policy string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.SetRestart(ctx, id, policy) })
}

func (p patient) EnsureNetwork(ctx context.Context, name string) error {
	return done(ctx, CallPatience, func(ctx context.Context) error { return p.Containers.EnsureNetwork(ctx, name) })
}
