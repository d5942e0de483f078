package docker

import (
	"context"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"homelab/internal/deploy"
)

// Writers is part of [deploy.Containers].
func (e *Engine) Writers(ctx context.Context, m deploy.Mount) ([]string, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{}) // those that run, or stand still
	if err != nil {
		return nil, e.explain(ctx, "docker ps", err)
	}
	names := []string{}
	for _, c := range list {
		has := slices.ContainsFunc(c.Mounts, func(at container.MountPoint) bool {
			return at.RW && m.Shares(deploy.Mount{Volume: at.Name, Source: at.Source})
		})
		if has && len(c.Names) > 0 {
			names = append(names, strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	slices.Sort(names)
	return names, nil
}
