package deploy_test

import (
	"context"
	"errors"
	"time"

	"homelab/internal/deploy"
)

var errKilled = errors.New("killed")

// killed is an engine whose caller is killed at its call number at: before it, or
// after it was done. From then on it does nothing any more.
type killed struct {
	deploy.Containers
	at, calls int
	lives     bool // it only misses the answer to that call
	after     bool
	journal   deploy.Journal
	entry     *deploy.Entry // when it was killed
}

// put puts the journal back as it was then: who is dead writes nothing.
func (k *killed) put() error {
	if k.entry == nil {
		return k.journal.Remove("nas", "web")
	}
	return k.journal.Write(k.entry)
}

// do makes a call that changes something.
func (k *killed) do(call func() error) error {
	if k.calls++; k.calls == k.at && !k.lives {
		var err error
		if k.entry, err = k.journal.Read("nas", "web"); err != nil {
			return err
		}
	}
	switch {
	case k.lives && k.calls == k.at:
		return errors.Join(call(), context.DeadlineExceeded)
	case k.lives:
	case k.calls > k.at, k.calls == k.at && !k.after:
		return errKilled
	case k.calls == k.at:
		_ = call() // whatever came of it, nobody learns
		return errKilled
	}
	return call()
}

func (k *killed) Create(ctx context.Context, name string, spec deploy.Spec, labels map[string]string) (id string, err error) {
	err = k.do(func() error { id, err = k.Containers.Create(ctx, name, spec, labels); return err })
	if err != nil {
		id = ""
	}
	return id, err
}
func (k *killed) Start(ctx context.Context, id string) error {
	return k.do(func() error { return k.Containers.Start(ctx, id) })
}
func (k *killed) Stop(ctx context.Context, id string, grace time.Duration) error {
	return k.do(func() error { return k.Containers.Stop(ctx, id, grace) })
}
func (k *killed) Remove(ctx context.Context, id string) error {
	return k.do(func() error { return k.Containers.Remove(ctx, id) })
}
func (k *killed) Rename(ctx context.Context, id, name string) error {
	return k.do(func() error { return k.Containers.Rename(ctx, id, name) })
}
func (k *killed) SetRestart(ctx context.Context, id, policy string) error {
	return k.do(func() error { return k.Containers.SetRestart(ctx, id, policy) })
}

// Container and List are what everything looks with: once it is killed, nothing is
// seen.
func (k *killed) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	if !k.lives && k.calls >= k.at {
		return nil, errKilled
	}
	return k.Containers.Container(ctx, ref)
}
func (k *killed) List(ctx context.Context) ([]deploy.Container, error) {
	if !k.lives && k.calls >= k.at {
		return nil, errKilled
	}
	return k.Containers.List(ctx)
}
