package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Untag is part of [deploy.Engine]. An engine would remove an image by its ID, or by
// the beginning of one, with all its names; and of a container it looks at the image
// alone, not at the name that it was made from.
func (e *Engine) Untag(ctx context.Context, name string) (bool, error) {
	const doing = "docker image rm"
	i, err := e.Image(ctx, name)
	if err != nil || i == nil || !slices.Contains(i.Names, name) {
		return false, err
	}
	containers, err := e.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return false, e.explain(ctx, "docker ps", err)
	}
	for _, c := range containers {
		if c.Image == name { // as long as the name leads to the image of the container
			return false, e.inUse(doing, name, fmt.Sprintf("container %s was made from it", c.ID[:shortID]))
		}
	}
	removed, err := e.api.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true})
	switch {
	case errdefs.IsNotFound(err): // somebody else was faster
		return false, nil
	case errdefs.IsConflict(err):
		return false, e.inUse(doing, name, "it is the last name of an image that a container uses")
	case err != nil:
		return false, e.explain(ctx, doing, err)
	}
	return slices.ContainsFunc(removed, func(r image.DeleteResponse) bool { return r.Deleted != "" }), nil
}

func (e *Engine) inUse(doing, name, why string) error {
	return &fault.Error{Op: doing, Code: fault.Conflict, Err: errors.Join(deploy.ErrInUse, deploy.ErrRefused), Hint: "remove the container first",
		Message: fmt.Sprintf("image %s is in use on the Docker engine at %s: %s", name, e.host.Endpoint(), why)}
}
