package deploy

import (
	"cmp"
	"context"
	"slices"

	"homelab/internal/fault"
)

// Foreign says whether a container that is not of the service has the name that its
// own is to have: a [fault.Conflict].
func Foreign(ctx context.Context, e Containers, host, service, container string) error {
	c, err := e.Container(ctx, container)
	if err != nil || c == nil || c.Labels[LabelService] == service {
		return err
	}
	whose := "that homelab has not made"
	if other := c.Labels[LabelService]; other != "" {
		whose = "of the service " + other
	}
	return fault.Newf(fault.Conflict, "remove or rename it, or set deploy.container of "+service+" to another name",
		"host %s has a container %s %s", host, container, whose)
}

// Current is the container of a service among all of ours on its host: the one of
// that name, or one that runs under the name it had before; nil when there is none.
func Current(all []Container, service, container string) *Container {
	return among(all, service, container).current
}

// Switchable is [Current], and whether something is in the way of switching versions
// that is not for us to change: somebody has paused the container, or two run.
func Switchable(all []Container, service, container string) (*Container, error) {
	there := among(all, service, container)
	return there.current, there.alone()
}

// EnvDifferences are the variables of env files that are others now than in a container,
// without their values.
func EnvDifferences(ctx context.Context, e Containers, c *Container, want Spec) ([]Difference, error) {
	names, err := envDiffers(ctx, e, c, want)
	var all []Difference
	for _, name := range names {
		all = append(all, Difference{"env." + name, "…", "…"})
	}
	return all, err
}

// IDOf is the ID of a container; empty for none.
func IDOf(c *Container) string {
	if c == nil {
		return ""
	}
	return c.ID
}

// Anonymous says that a volume has the name that an engine gives one which the
// image asks for.
func (m Mount) Anonymous() bool { return anonymous().MatchString(m.Volume) }

// Generations are the containers of a service among all of ours on a host: the one
// that is current, nil when there is none, and the others, the newest generation
// first, and of one generation the one that ran last.
func Generations(all []Container, service, container string) (current *Container, others []Container) {
	there := among(all, service, container)
	slices.SortStableFunc(there.others, func(a, b Container) int {
		return cmp.Or(cmp.Compare(b.Generation(), a.Generation()), b.Started.Compare(a.Started))
	})
	return there.current, there.others
}
