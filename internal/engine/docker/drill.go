package docker

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Isolate is part of [deploy.Drills].
func (e *Engine) Isolate(ctx context.Context, drill string) error {
	_, err := e.api.NetworkCreate(ctx, deploy.DrillName(drill), network.CreateOptions{
		Driver: "bridge", Internal: true, Labels: map[string]string{deploy.LabelDrill: drill},
	})
	return e.explain(ctx, "docker network create", err)
}

// Fresh is part of [deploy.Drills].
func (e *Engine) Fresh(ctx context.Context, drill, name string) (string, error) {
	v, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: map[string]string{deploy.LabelDrill: drill}})
	if err != nil {
		return "", e.explain(ctx, "docker volume create", err)
	}
	// An engine gives one that is there, whosever it is.
	return v.Mountpoint, ofDrill(v, drill)
}

func ofDrill(v volume.Volume, drill string) error {
	if drill == "" || v.Labels[deploy.LabelDrill] != drill || len(v.Options) > 0 {
		return fault.Newf(fault.Conflict, "see whose it is: docker volume inspect", "volume %s is not of drill %s", v.Name, drill)
	}
	return nil
}

// Copy is part of [deploy.Drills].
func (e *Engine) Copy(ctx context.Context, c deploy.Copy) (string, error) {
	const doing = "docker create"
	if err := c.Isolated(); err != nil {
		return "", err
	}
	secrets, err := e.fromFiles(ctx, c.Spec)
	if err != nil {
		return "", err
	}
	host := hostConfig(c.Spec)
	for i := range host.Mounts {
		if err := e.isolate(ctx, c, &host.Mounts[i]); err != nil {
			return "", err
		}
	}
	for _, file := range c.Files {
		m := mount.Mount{Type: mount.TypeVolume, Source: file.Volume, Target: file.Target, ReadOnly: file.ReadOnly}
		if err := e.isolate(ctx, c, &m); err != nil {
			return "", err
		}
		v, err := e.api.VolumeInspect(ctx, file.Volume)
		if err != nil {
			return "", e.explain(ctx, "docker volume inspect", err)
		}
		m.Type, m.Source, m.VolumeOptions = mount.TypeBind, path.Join(v.Mountpoint, deploy.FileInVolume), nil
		host.Mounts = append(host.Mounts, m)
	}
	settings := config(c.Spec, secrets, map[string]string{deploy.LabelDrill: c.Drill})
	delete(settings.Labels, deploy.LabelService)
	name := deploy.DrillName(c.Drill)
	made, err := e.api.ContainerCreate(ctx, settings, host, firstNetwork(c.Spec), nil, name)
	return made.ID, e.trouble(ctx, doing, deploy.Container{Name: name, Spec: c.Spec}, err)
}

// isolate has a mount show what it is and nothing else: of a path what is mounted in it
// could be written to, where engine or kernel are older.
func (e *Engine) isolate(ctx context.Context, c deploy.Copy, m *mount.Mount) error {
	if m.Type == mount.TypeBind {
		m.BindOptions = &mount.BindOptions{NonRecursive: true}
		return nil
	}
	v, err := e.api.VolumeInspect(ctx, m.Source)
	if err != nil {
		return e.explain(ctx, "docker volume inspect", err)
	}
	m.VolumeOptions = &mount.VolumeOptions{NoCopy: slices.Contains(c.Bare, m.Source)}
	return ofDrill(v, c.Drill)
}

// Clear is part of [deploy.Drills]. What still ends, such as a sidecar that nobody
// talks to any more, holds a volume for a moment.
func (e *Engine) Clear(ctx context.Context, drill string) error {
	if drill == "" {
		return fault.New(fault.InvalidArgument, "a drill without a name", "name it")
	}
	const pause = 100 * time.Millisecond
	for end := time.Now().Add(patience); ; {
		left, err := e.clear(ctx, filters.NewArgs(filters.Arg("label", deploy.LabelDrill+"="+drill)))
		switch {
		case err == nil || !errors.Is(err, deploy.ErrRefused):
			return err
		case time.Now().After(end):
			return &fault.Error{Code: fault.CodeOf(err), Message: fmt.Sprintf("of a drill there is still %s: %s", strings.Join(left, ", "), fault.Of(err).Message), Err: err,
				Hint: "run homelab deploy repair, or remove it by hand: it has the label " + deploy.LabelDrill}
		}
		select {
		case <-ctx.Done():
			return e.host.Explain(ctx, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// clear removes once what it can, and tells what stays. A container goes first: it holds
// the others.
func (e *Engine) clear(ctx context.Context, ours filters.Args) (left []string, err error) {
	remove := func(what string, call error) {
		if call != nil && !errdefs.IsNotFound(call) {
			left, err = append(left, what), errors.Join(err, e.explain(ctx, "docker rm", call))
		}
	}
	containers, failed := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if failed != nil {
		return nil, e.explain(ctx, "docker ps", failed)
	}
	for _, c := range containers {
		remove("container "+c.ID[:shortID], e.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	networks, failed := e.api.NetworkList(ctx, network.ListOptions{Filters: ours})
	if failed != nil {
		return nil, e.explain(ctx, "docker network ls", failed)
	}
	for _, n := range networks {
		remove("network "+n.Name, e.api.NetworkRemove(ctx, n.ID))
	}
	volumes, failed := e.api.VolumeList(ctx, volume.ListOptions{Filters: ours})
	if failed != nil {
		return nil, e.explain(ctx, "docker volume ls", failed)
	}
	for _, v := range volumes.Volumes {
		remove("volume "+v.Name, e.api.VolumeRemove(ctx, v.Name, false))
	}
	return left, err
}
