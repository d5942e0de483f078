package deploy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/fault"
)

// ours are the containers of a service.
type ours struct {
	// current has the service's name, or the one it had before the registry gave it
	// another.
	current *Container
	others  []Container
}

// Generation of a container of ours; 0 when its label does not tell.
func (c *Container) Generation() int {
	n, err := strconv.ParseUint(c.Labels[LabelGeneration], 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// Runs says whether a container has processes, or will have some again by itself.
func (c *Container) Runs() bool {
	return c.State == Running || c.State == Restarting || c.State == Paused
}

// kept is what a container of a service is called while another one is current.
func kept(container string, generation int) string {
	return fmt.Sprintf("%s.g%d", container, generation)
}

// setAside gives a container the name of its generation, with its ID besides when
// something else has that name.
func (r *Runner) setAside(ctx context.Context, e *Entry, c *Container) error {
	name := kept(e.Container, c.Generation())
	other, err := r.get(ctx, name)
	if err != nil {
		return err
	}
	if other != nil && other.ID != c.ID {
		name += fmt.Sprintf("-%.12s", c.ID)
	}
	return r.rename(ctx, c.ID, name)
}

// find looks for the containers of a service.
func (r *Runner) find(ctx context.Context, service, container string) (*ours, error) {
	all, err := r.engine().List(ctx)
	if err != nil {
		return nil, err
	}
	return among(all, service, container), nil
}

// among are the containers of a service among all of ours.
func among(all []Container, service, container string) *ours {
	found := &ours{}
	for _, c := range all {
		switch {
		case c.Labels[LabelService] != service:
		case c.Name == container:
			found.current = &c
		default:
			found.others = append(found.others, c)
		}
	}
	for _, is := range []func(c Container) bool{
		func(c Container) bool { return c.Runs() },
		func(c Container) bool { return !strings.Contains(c.Name, kept("", c.Generation())) },
	} {
		if at := slices.IndexFunc(found.others, is); found.current == nil && at >= 0 {
			renamed := found.others[at]
			found.current, found.others = &renamed, slices.Delete(found.others, at, at+1)
		}
	}
	return found
}

// newest is the highest generation there is.
func (o *ours) newest() int {
	newest := 0
	if o.current != nil {
		newest = o.current.Generation()
	}
	for i := range o.others {
		newest = max(newest, o.others[i].Generation())
	}
	return newest
}

// of is the container of a generation, of several the one that ran last; nil when
// there is none.
func (o *ours) of(generation int) *Container {
	var found *Container
	for i := range o.others {
		if c := &o.others[i]; c.Generation() == generation && (found == nil || c.Started.After(found.Started)) {
			found = c
		}
	}
	return found
}

// alone says whether nothing runs of a service but the current one, and nobody has
// paused that: it may be copied just now.
func (o *ours) alone() error {
	if c := o.current; c != nil && c.State == Paused {
		return fault.Newf(fault.Conflict, "wait for who has paused it, or let it go on: docker unpause "+c.Name, "container %s is paused", c.Name)
	}
	for i := range o.others {
		if c := &o.others[i]; c.Runs() {
			return fault.Newf(fault.Conflict, "stop the one that is not to run, on its host: docker stop", "%s runs beside %s: two containers of one service", c.Name, o.current.Name)
		}
	}
	return nil
}

// switchable looks for the containers of a service that is to be switched, and
// whether something is in the way that is not for us to change.
func (r *Runner) switchable(ctx context.Context, t Target) (*ours, error) {
	service, container := t.Spec.Service, t.Spec.Container
	there, err := r.find(ctx, service, container)
	if err != nil {
		return nil, err
	}
	err = there.alone()
	if err == nil && (there.current == nil || there.current.Name != container) {
		err = Foreign(ctx, r.engine(), r.Host, service, container)
	}
	if err == nil && t.Over != nil && *t.Over != IDOf(there.current) {
		err = fault.Newf(fault.Conflict, "look at what runs there now", "somebody else has deployed %s to host %s meanwhile", service, r.Host)
	}
	return there, err
}

func (o *ours) generations() string {
	list := []int{}
	for i := range o.others {
		list = append(list, o.others[i].Generation())
	}
	slices.Sort(list)
	if len(list) == 0 {
		return "none"
	}
	return fmt.Sprint(list)
}

func (r *Runner) get(ctx context.Context, id string) (*Container, error) {
	if id == "" {
		return nil, nil
	}
	return r.engine().Container(ctx, id)
}

// rename gives a container a name that it may have.
func (r *Runner) rename(ctx context.Context, id, name string) error {
	c, err := r.get(ctx, id)
	if err != nil || c == nil || c.Name == name {
		return err
	}
	return r.engine().Rename(ctx, id, name)
}

// beyond are the containers beside the current one that are not kept: of those that
// ran, the last ones are, and before all others the one with the ID first, if any.
// None that runs is among them.
func beyond(others []Container, keep int, first string) []Container {
	slices.SortStableFunc(others, func(a, b Container) int {
		switch {
		case a.ID == first:
			return -1
		case b.ID == first:
			return 1
		}
		return b.Started.Compare(a.Started)
	})
	var old []Container
	for i, c := range others {
		if !c.Runs() && (i >= keep || c.Started.IsZero()) {
			old = append(old, c)
		}
	}
	return old
}

// tidy removes generations beyond those that are kept, among which is always the one
// that ran before.
func (r *Runner) tidy(ctx context.Context, e *Entry) error {
	there, err := r.find(ctx, e.Service, e.Container)
	if err != nil {
		return err
	}
	for _, c := range beyond(there.others, r.Keep, e.Old) {
		if err := r.engine().Remove(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}
