package harness

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/registry"
)

// hostsAtOnce bounds how many hosts are asked side by side.
const hostsAtOnce = 16

// sideBySide does something for each of a list, so many at a time, and comes back when
// all is done.
func sideBySide[T any](list []T, most int, do func(at int, one T)) {
	var group errgroup.Group
	group.SetLimit(most)
	for at, one := range list {
		group.Go(func() error { do(at, one); return nil })
	}
	_ = group.Wait() // nothing of it fails
}

// hostOf is a host of the registry, by name.
func hostOf(reg *registry.Registry, name string) (registry.Host, error) {
	host, there := reg.AllHosts()[name]
	if !there && name != registry.LocalHost {
		return host, fault.Newf(fault.NotFound, fault.DidYouMean(name, hostNames(reg)), "there is no host %.100q", name)
	}
	return host, nil
}

func hostNames(reg *registry.Registry) []string {
	names := []string{registry.LocalHost}
	for name := range reg.Hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// endpointOf is where the engine of a host is.
func endpointOf(host registry.Host) (dockerhost.Endpoint, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // then there is no Docker configuration to read
	}
	return dockerhost.Resolve(host, os.Getenv, home)
}

func askEngine(ctx context.Context, host registry.Host) (server dockerhost.Server, err error) {
	_, err = withEngine(ctx, host, func(e *dockerhost.Engine) error {
		server, err = e.Server(ctx)
		return err
	})
	return server, err
}

// listContainers asks the engine of a host for our containers, and says whether it is
// on this machine.
func listContainers(ctx context.Context, host registry.Host) (found []dockerhost.Container, local bool, err error) {
	at, err := withEngine(ctx, host, func(e *dockerhost.Engine) error {
		found, err = e.Containers(ctx, deploy.LabelService)
		return err
	})
	return found, strings.HasPrefix(at.URL, "unix://"), err
}

// withEngine asks the engine of a host something, and says where that is.
func withEngine(ctx context.Context, host registry.Host, ask func(*dockerhost.Engine) error) (at dockerhost.Endpoint, err error) {
	if at, err = endpointOf(host); err != nil {
		return at, err
	}
	engine, err := dockerhost.Dial(ctx, at)
	if err != nil {
		return at, err
	}
	err = ask(engine)
	if closed := engine.Close(); err == nil {
		err = closed
	}
	return at, err
}

// dial reaches the engine of a host, and gives the way to it besides. Whoever gets
// it calls done.
func (h *Harness) dial(ctx context.Context, host registry.Host) (engine deploy.Containers, way *dockerhost.Engine, done func() error, err error) {
	at, err := endpointOf(host)
	if err != nil {
		return nil, nil, nil, err
	}
	// Not for as long as the call: a version is brought back after a cancel, too.
	if way, err = dockerhost.Dial(context.WithoutCancel(ctx), at); err != nil {
		return nil, nil, nil, err
	}
	engine, err = h.engines(way)
	if err != nil {
		return nil, nil, nil, errors.Join(err, way.Close())
	}
	return engine, way, way.Close, nil
}

// on does something with the engine of a host.
func (h *Harness) on(ctx context.Context, host registry.Host, do func(deploy.Containers) error) error {
	engine, _, done, err := h.dial(ctx, host)
	if err != nil {
		return err
	}
	return errors.Join(do(engine), done())
}

// inTime says which host it is that took too long.
func inTime(host string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.Newf(fault.HostUnreachable, "check that the host is up, and what keeps its engine busy", "the engine of host %s does not answer in time", host)
	}
	return err
}
