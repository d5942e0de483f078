package docker

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// labelNetwork is on the networks that homelab made.
const labelNetwork = "homelab.network"

// EnsureNetwork is part of [deploy.Containers].
func (e *Engine) EnsureNetwork(ctx context.Context, name string) error {
	there, err := e.hasNetwork(ctx, name)
	if err != nil || there {
		return err
	}
	_, err = e.api.NetworkCreate(ctx, name, network.CreateOptions{Driver: "bridge", Labels: map[string]string{labelNetwork: "1"}})
	if errdefs.IsConflict(err) { // somebody else made it just now
		return nil
	}
	return e.explain(ctx, fmt.Sprintf("docker network create %s", name), err)
}

// hasNetwork looks for a name; an engine also takes the beginning of an ID.
func (e *Engine) hasNetwork(ctx context.Context, name string) (bool, error) {
	n, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, e.explain(ctx, "docker network inspect", err)
	}
	return n.Name == name, nil
}

// networksThere says whether there are the networks of a spec.
func (e *Engine) networksThere(ctx context.Context, doing string, spec deploy.Spec) error {
	for _, name := range spec.Networks {
		there, err := e.hasNetwork(ctx, name)
		if err != nil {
			return err
		}
		if !there {
			return &fault.Error{Op: doing, Code: fault.NotFound, Err: deploy.ErrRefused, Hint: "correct deploy.networks, or make it: docker network create " + name,
				Message: fmt.Sprintf("network %s not found by the Docker engine at %s", name, e.host.Endpoint())}
		}
	}
	return nil
}
