package state

import (
	"context"
	"errors"
	"slices"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/swap"
)

// prepare makes the container, which is not started, and opens the way of each item.
// What cannot be there is told before anything is stopped.
func (t *migration) prepare(ctx, streams context.Context) error {
	if err := t.sweep(ctx); err != nil {
		return err
	}
	for i, target := range t.targets {
		root, _, err := target.Stage(ctx, t.entry.part(i))
		if err != nil {
			return about(t.Items[i], err)
		}
		if err := root.Close(); err != nil {
			return about(t.Items[i], err)
		}
	}
	if err := t.apart(ctx); err != nil {
		return err
	}
	late, err := t.late(ctx)
	if err != nil {
		return err
	}
	if len(late) == 0 {
		err = t.create(ctx)
	} else {
		err = t.rehearse(ctx, late)
	}
	if err != nil {
		return err
	}
	for i, target := range t.targets {
		item := t.source(i)
		item.Exclude = append([]string{swap.Prefix + "*/**"}, item.Exclude...)
		from, err := t.From.Site.Read(streams, item)
		if err != nil {
			return about(item, err)
		}
		to, err := target.Fill(streams, t.entry.part(i))
		if err != nil {
			return errors.Join(about(item, err), from.Close())
		}
		t.relays = append(t.relays, mirror.NewRelay(from, to))
	}
	return nil
}

// sweep removes what earlier migrations have asked for in vain: a container that came when
// nobody waited for it any more, and was never started.
func (t *migration) sweep(ctx context.Context) error {
	all, err := t.To.Engine.List(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		c := &all[i]
		if _, ofMigration := Created(c.Labels[deploy.LabelSwitch]); c.Labels[deploy.LabelService] != t.Service || !ofMigration || c.Runs() || !c.Started.IsZero() {
			continue
		}
		if err := t.To.Engine.Remove(ctx, c.ID); err != nil {
			t.say("%s, which an earlier migration has made, cannot be removed: %v", c.Name, err) // it is in nobody's way
		}
	}
	return nil
}

// apart fails when an item is where it is to be, by another name: what was staged there
// is seen from there. What is to be kept as it is would be swapped.
func (t *migration) apart(ctx context.Context) error {
	for _, from := range t.Sources {
		target, err := t.To.Place.View(ctx, t.Service, from)
		if err != nil {
			return about(from, err)
		}
		found, err := target.Look(ctx, 1)
		if err := errors.Join(err, target.Close()); err != nil {
			return about(from, err)
		}
		for i := range t.Items {
			if slices.ContainsFunc(found.Kept, func(k swap.Kept) bool { return k.ID == t.entry.part(i) }) {
				return fault.Newf(fault.Precondition, "name another place in the registry", "%s and %s are the same place", from.Name(), t.Items[i].Name())
			}
		}
	}
	return nil
}

// late are the mounts of paths that are there only once all is swapped: the container
// cannot be made before.
func (t *migration) late(ctx context.Context) ([]deploy.Mount, error) {
	late := []deploy.Mount{}
	for i, target := range t.targets {
		path := t.Items[i].Path
		if path == "" {
			continue
		}
		found, err := target.Look(ctx, 1)
		if err != nil {
			return nil, about(t.Items[i], err)
		}
		for _, m := range t.Target.Spec.Mounts {
			if m.Source == path && found.There.Entries == 0 || strings.HasPrefix(m.Source, path+"/") {
				late = append(late, m)
			}
		}
	}
	return late, nil
}

// rehearse makes the container without some of its mounts, and removes it.
func (t *migration) rehearse(ctx context.Context, without []deploy.Mount) error {
	spec := t.Target.Spec
	spec.Mounts = slices.DeleteFunc(slices.Clone(spec.Mounts), func(m deploy.Mount) bool { return slices.Contains(without, m) })
	id, err := t.make(ctx, spec)
	if err != nil {
		return err
	}
	return t.To.Engine.Remove(ctx, id)
}

func (t *migration) create(ctx context.Context) (err error) {
	if t.entry.Made, err = t.make(ctx, t.Target.Spec); err != nil {
		return err
	}
	return t.journal().Write(t.entry)
}

// make makes a container. Until it has passed nothing starts it but this.
func (t *migration) make(ctx context.Context, spec deploy.Spec) (id string, err error) {
	for _, network := range spec.Networks {
		if err := t.To.Engine.EnsureNetwork(ctx, network); err != nil {
			return "", err
		}
	}
	labels, err := deploy.LabelsOf(t.Target, t.entry.Generation, t.entry.ID)
	if err != nil {
		return "", err
	}
	spec.Restart = "no"
	return t.To.Engine.Create(ctx, deploy.KeptAs(t.entry.Name, t.entry.Generation), spec, labels)
}
