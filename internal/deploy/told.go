package deploy

import (
	"context"

	"homelab/internal/fault"
)

// Find looks for the container of a service among all of ours on a host; nil when
// there is none. Its name being taken by one that is not ours is a [fault.Conflict].
func Find(ctx context.Context, e Containers, host string, all []Container, service, container string) (*Container, error) {
	current := among(all, service, container).current
	if current != nil && current.Name == container {
		return current, nil
	}
	foreign, err := e.Container(ctx, container)
	if err != nil || foreign == nil {
		return current, err
	}
	whose := "that homelab has not made"
	if service := foreign.Labels[LabelService]; service != "" {
		whose = "of the service " + service
	}
	return nil, fault.Newf(fault.Conflict, "remove or rename it, or set deploy.container of "+service+" to another name",
		"host %s has a container %s %s", host, container, whose)
}

// Generation of a container of ours; 0 when its label does not tell.
func (c *Container) Generation() int { return c.generation() }

// Anonymous says that a volume has the name that an engine gives one which the
// image asks for.
func (m Mount) Anonymous() bool { return anonymous().MatchString(m.Volume) }
