package deploy

import (
	"context"
	"errors"

	"homelab/internal/build"
	"homelab/internal/fault"
)

// Prune has items of a host go that are still as they were looked at, never by force,
// and says of each what came of it.
func Prune(ctx context.Context, e Containers, items []PruneItem) {
	e = patient{e}
	for n := range items {
		i := &items[n]
		if ctx.Err() != nil {
			return
		}
		prune := pruneImage
		if i.Kind == OldContainer {
			prune = pruneContainer
		}
		switch err := prune(ctx, e, i); {
		case err == nil:
			i.Status = Pruned
		case errors.Is(err, ErrInUse):
			i.Status, i.Problem = PruneInUse, build.ProblemOf(err)
		case ctx.Err() == nil:
			i.Status, i.Problem = PruneFailed, build.ProblemOf(err)
		}
	}
}

func pruneContainer(ctx context.Context, e Containers, i *PruneItem) error {
	c, err := e.Container(ctx, i.ID)
	switch {
	case err != nil || c == nil: // somebody else was faster
		return err
	case c.Runs() || c.Name != i.Names[0] || c.Labels[LabelService] != i.Service:
		return moved(i)
	}
	return e.Remove(ctx, c.ID)
}

func moved(i *PruneItem) error {
	return fault.Newf(fault.Conflict, "look at a new preview", "%s is not what it was", i.Names[0])
}

// pruneImage takes the names of an image away, and the image with the last. When a
// container of somebody else's uses it, it gets back what was taken.
func pruneImage(ctx context.Context, e Containers, i *PruneItem) error {
	names := []string{}
	for _, name := range i.Names {
		switch there, err := e.Image(ctx, name); {
		case err != nil:
			return err
		case there != nil && there.ID != i.ID:
			return moved(i)
		case there != nil:
			names = append(names, name)
		}
	}
	for n, name := range names {
		if _, err := e.Untag(ctx, name); err != nil {
			return errors.Join(err, retag(context.WithoutCancel(ctx), e, i.ID, names[:n]))
		}
	}
	return nil
}

// retag gives an image names that were taken away.
func retag(ctx context.Context, e Containers, id string, names []string) error {
	for _, name := range names {
		if err := e.Tag(ctx, id, name); err != nil {
			return err
		}
	}
	return nil
}
