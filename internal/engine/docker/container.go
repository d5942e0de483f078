package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Container is part of [deploy.Containers].
func (e *Engine) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	raw, err := e.inspect(ctx, ref)
	if err != nil || raw == nil {
		return nil, err
	}
	c := told(*raw)
	if c.Error == "" && couldBeForeign(c) {
		c.Error, err = e.foreign(ctx, raw)
	}
	return &c, err
}

// shortID is how many digits of an ID the docker command shows.
const shortID = 12

// inspect finds the container that a name or an ID stands for; nil when there is
// none. An engine takes any beginning of an ID for it, where that may well be the
// name that was meant: such an answer counts as none.
func (e *Engine) inspect(ctx context.Context, ref string) (*container.InspectResponse, error) {
	c, err := e.api.ContainerInspect(ctx, ref)
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, e.explain(ctx, "docker inspect", err)
	case c.ID == ref || c.Name == "/"+ref || len(ref) == shortID && strings.HasPrefix(c.ID, ref):
		return &c, nil
	}
	return nil, nil
}

// List is part of [deploy.Containers]. The list tells little, so each container is
// asked about.
func (e *Engine) List(ctx context.Context) ([]deploy.Container, error) {
	ours := filters.NewArgs(filters.Arg("label", deploy.LabelService))
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, e.explain(ctx, "docker ps", err)
	}
	containers, err := each(ctx, list, func(ctx context.Context, c container.Summary) (*deploy.Container, error) {
		return e.Container(ctx, c.ID)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(containers, func(a, b deploy.Container) int { return strings.Compare(a.Name, b.Name) })
	return containers, nil
}

// own finds a container that may be changed: what has no label of ours is
// [fault.Denied], whoever asks.
func (e *Engine) own(ctx context.Context, doing, ref string) (deploy.Container, error) {
	raw, err := e.inspectOwn(ctx, doing, ref)
	if err != nil {
		return deploy.Container{}, err
	}
	return told(*raw), nil
}

// inspectOwn is own with all that the engine tells, secrets too.
func (e *Engine) inspectOwn(ctx context.Context, doing, ref string) (*container.InspectResponse, error) {
	raw, err := e.inspect(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case raw == nil:
		return nil, &fault.Error{Op: doing, Code: fault.NotFound, Err: deploy.ErrRefused,
			Message: fmt.Sprintf("the Docker engine at %s has no container %q", e.host.Endpoint(), ref), Hint: "look what is there: docker ps --all"}
	}
	if raw.Config.Labels[deploy.LabelService] == "" && raw.Config.Labels[deploy.LabelDrill] == "" {
		return nil, &fault.Error{Op: doing, Code: fault.Denied,
			Message: fmt.Sprintf("container %s is not one of homelab's: it has no label %s", strings.TrimPrefix(raw.Name, "/"), deploy.LabelService),
			Hint:    "homelab leaves it alone; if it is in the way, rename or remove it by hand"}
	}
	return raw, nil
}

// Start is part of [deploy.Containers].
func (e *Engine) Start(ctx context.Context, id string) error {
	const doing = "docker start"
	c, err := e.own(ctx, doing, id)
	if err != nil {
		return err
	}
	return e.trouble(ctx, doing, c, e.api.ContainerStart(ctx, c.ID, container.StartOptions{}))
}

// Stop is part of [deploy.Containers]. The engine counts in seconds: a part of one
// is a whole one.
func (e *Engine) Stop(ctx context.Context, id string, grace time.Duration) error {
	const doing = "docker stop"
	c, err := e.own(ctx, doing, id)
	if err != nil {
		return err
	}
	patience := seconds(grace)
	return e.trouble(ctx, doing, c, e.api.ContainerStop(ctx, c.ID, container.StopOptions{Timeout: &patience}))
}

// seconds rounds up; what is negative is none, where the engine would wait forever.
func seconds(d time.Duration) int {
	return int((max(d, 0) + time.Second - 1) / time.Second)
}

// Pause is part of [deploy.Containers].
func (e *Engine) Pause(ctx context.Context, id string) error {
	return e.turn(ctx, id, "docker pause", deploy.Paused, e.api.ContainerPause)
}

// Unpause is part of [deploy.Containers].
func (e *Engine) Unpause(ctx context.Context, id string) error {
	return e.turn(ctx, id, "docker unpause", deploy.Running, e.api.ContainerUnpause)
}

// turn has a container do something else than it does.
func (e *Engine) turn(ctx context.Context, id, doing string, to deploy.State, call func(context.Context, string) error) error {
	c, err := e.own(ctx, doing, id)
	if err != nil || c.State == to {
		return err
	}
	return e.trouble(ctx, doing, c, call(ctx, c.ID))
}

// Remove is part of [deploy.Containers].
func (e *Engine) Remove(ctx context.Context, id string) error {
	const doing = "docker rm"
	c, err := e.own(ctx, doing, id)
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return e.trouble(ctx, doing, c, err)
}

// Rename is part of [deploy.Containers]. A container that has the name keeps it.
func (e *Engine) Rename(ctx context.Context, id, name string) error {
	const doing = "docker rename"
	c, err := e.own(ctx, doing, id)
	if err != nil || c.Name == name {
		return err
	}
	return e.taken(ctx, doing, name, e.trouble(ctx, doing, c, e.api.ContainerRename(ctx, c.ID, name)))
}

// SetRestart is part of [deploy.Containers]. A container whose program ends over and
// over the engine takes for one that runs, and is told by its runtime at times that it
// does not: then nothing was changed, and it is asked again.
func (e *Engine) SetRestart(ctx context.Context, id, policy string) error {
	const doing = "docker update"
	c, err := e.own(ctx, doing, id)
	if err != nil {
		return err
	}
	const most, pause = 20, 50 * time.Millisecond
	for tries := 1; ; tries++ {
		_, err := e.api.ContainerUpdate(ctx, c.ID, container.UpdateConfig{RestartPolicy: restart(policy)})
		if err == nil || tries == most || !strings.Contains(err.Error(), "cannot update a stopped container") {
			return e.trouble(ctx, doing, c, err)
		}
		select {
		case <-ctx.Done():
			return e.host.Explain(ctx, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func restart(policy string) container.RestartPolicy {
	return container.RestartPolicy{Name: container.RestartPolicyMode(policy)}
}
