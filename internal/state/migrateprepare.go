package state

import (
	"context"
	"errors"

	"homelab/internal/deploy"
	"homelab/internal/mirror"
	"homelab/internal/swap"
)

// prepare makes the container, which is not started, and opens the way of each item.
// What cannot be there is told before anything is stopped.
func (t *migration) prepare(ctx, streams context.Context) error {
	for i, target := range t.targets {
		root, _, err := target.Stage(ctx, t.entry.part(i))
		if err != nil {
			return about(t.Items[i], err)
		}
		if err := root.Close(); err != nil {
			return about(t.Items[i], err)
		}
	}
	if t.allThere(ctx) {
		if err := t.create(ctx); err != nil {
			return err
		}
	}
	for i, target := range t.targets {
		item := t.Items[i]
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

// allThere says whether all paths that the container mounts are there: it cannot be made
// before.
func (t *migration) allThere(ctx context.Context) bool {
	for i, target := range t.targets {
		if t.Items[i].Path == "" {
			continue
		}
		if found, err := target.Look(ctx, 1); err != nil || !found.Folder && found.There.Entries == 0 {
			return false
		}
	}
	return true
}

// create makes the container. Until it has passed nothing starts it but this.
func (t *migration) create(ctx context.Context) error {
	spec := t.Target.Spec
	for _, network := range spec.Networks {
		if err := t.To.Engine.EnsureNetwork(ctx, network); err != nil {
			return err
		}
	}
	labels, err := deploy.LabelsOf(t.Target, t.entry.Generation, t.entry.ID)
	if err != nil {
		return err
	}
	spec.Restart = "no"
	if t.entry.Made, err = t.To.Engine.Create(ctx, deploy.KeptAs(t.entry.Name, t.entry.Generation), spec, labels); err != nil {
		return err
	}
	return t.journal().Write(t.entry)
}
