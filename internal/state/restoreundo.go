package state

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/swap"
)

// Undo puts back what was there before a restore that was carried out; the service is
// stopped meanwhile, if it runs. What the restore brought, with all that came since, is
// kept aside in its turn, until [Restorer.Commit]. When it is broken off it is finished
// by [Restorer.Repair].
func (r *Restorer) Undo(ctx context.Context, x Restoring, id string) (*Restored, error) {
	unlock, err := r.lock(ctx, x.Service)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := r.idle(x); err != nil {
		return nil, err
	}
	t := &restoring{Restorer: r, Restoring: x}
	defer t.close()
	kept, err := t.aside(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if err := t.undoable(id, kept); err != nil {
		return nil, err
	}
	unwatch, err := t.begin(ctx, RestoreEntry{ID: id, Step: RestoreSwapping, Keep: true})
	if err != nil {
		return nil, err
	}
	defer unwatch()
	began := time.Now()
	if err := r.undo(context.WithoutCancel(ctx), t.entry, t.targets); err != nil {
		return nil, err
	}
	return t.done(began), nil
}

// aside finds what a restore has put aside, in the order that it did, and chooses the
// items that it is of.
func (t *restoring) aside(ctx context.Context, id string, most int64) ([]swap.Kept, error) {
	if _, ok := Created(id); !ok {
		return nil, fault.Newf(fault.InvalidArgument, "name it as the restore did", "%q is not the id of a restore", id)
	}
	type part struct {
		number int
		chosen chosen
		target Target
		kept   swap.Kept
	}
	parts := []part{}
	for _, item := range t.Items {
		target, err := t.Place.View(ctx, t.Service, item)
		if fault.CodeOf(err) == fault.NotFound {
			continue // where nothing can be, nothing is
		}
		if err != nil {
			return nil, about(item, err)
		}
		t.targets = append(t.targets, target)
		found, err := target.Look(ctx, most)
		if err != nil {
			return nil, about(item, err)
		}
		for _, kept := range found.Kept {
			restore, number, _ := strings.Cut(kept.ID, ".")
			if n, err := strconv.Atoi(number); restore == id && err == nil {
				parts = append(parts, part{n, chosen{to: item}, target, kept})
			}
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.number, b.number) })
	kept, opened := []swap.Kept{}, t.targets
	t.targets = nil
	for _, p := range parts {
		t.chosen, t.targets, kept = append(t.chosen, p.chosen), append(t.targets, p.target), append(kept, p.kept)
	}
	for _, target := range opened {
		if !slices.Contains(t.targets, target) {
			_ = target.Close() // it was only read
		}
	}
	if len(kept) == 0 {
		return nil, fault.Newf(fault.NotFound, "see what is kept: preview a restore", "nothing is kept aside of a restore %s of %s", id, t.Service)
	}
	return kept, nil
}

// undoable fails unless all that a restore has put aside is there.
func (t *restoring) undoable(id string, kept []swap.Kept) error {
	for i, k := range kept {
		_, number, _ := strings.Cut(k.ID, ".")
		switch {
		case number != strconv.Itoa(i):
			return fault.Newf(fault.Conflict, "restore a bundle instead", "a part of what restore %s put aside is not there any more", id)
		case k.Step != swap.Swapped:
			return fault.Newf(fault.Conflict, "restore a bundle instead", "restore %s is not in place: %s is %q", id, t.chosen[i].to.Name(), k.Step)
		}
	}
	return nil
}

// PreviewUndo tells what [Restorer.Undo] would do, or fails with what it would be refused
// with.
func (r *Restorer) PreviewUndo(ctx context.Context, x Restoring, id string) (*RestorePreview, error) {
	if err := r.idle(x); err != nil {
		return nil, err
	}
	p, err := r.previewAside(ctx, x, id, func(t *restoring, kept []swap.Kept) error { return t.undoable(id, kept) })
	if err != nil {
		return nil, err
	}
	p.Stops = x.Container != nil && x.Container.Runs()
	p.PreviewID, err = deploy.PreviewID(fmt.Sprintf("state_restore 1 undo %s %s", x.Service, id))
	return p, err
}

// PreviewCommit tells what [Restorer.Commit] would remove.
func (r *Restorer) PreviewCommit(ctx context.Context, x Restoring, id string) (*RestorePreview, error) {
	p, err := r.previewAside(ctx, x, id, func(*restoring, []swap.Kept) error { return nil })
	if err != nil {
		return nil, err
	}
	p.PreviewID, err = deploy.PreviewID(fmt.Sprintf("state_restore 1 commit %s %s", x.Service, id))
	return p, err
}

func (r *Restorer) previewAside(ctx context.Context, x Restoring, id string, allowed func(*restoring, []swap.Kept) error) (*RestorePreview, error) {
	t := &restoring{Restorer: r, Restoring: x}
	defer t.close()
	kept, err := t.aside(ctx, id, mostCounted)
	if err != nil {
		return nil, err
	}
	if err := allowed(t, kept); err != nil {
		return nil, err
	}
	p := &RestorePreview{Service: x.Service, Items: []RestoreItem{}, Untouched: []string{}}
	for i, c := range t.chosen {
		found, err := t.targets[i].Look(ctx, mostCounted)
		if err != nil {
			return nil, about(c.to, err)
		}
		p.Items = append(p.Items, RestoreItem{
			Name: c.to.Name(), Path: t.targets[i].Path(), There: found.There, Comes: kept[i].Amount, Free: found.Free, Kept: []swap.Kept{kept[i]},
		})
	}
	return p, nil
}
