package gitrepo

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"

	"homelab/internal/plan"
)

// Changes is part of [plan.Snapshot].
func (w *workTree) Changes(ctx context.Context, base plan.Commit) ([]plan.Change, error) {
	changes, err := w.tracked(ctx, base)
	if err != nil {
		return nil, err
	}
	for _, path := range w.untracked {
		c := plan.Change{Path: path, Status: plan.Untracked, New: w.kindOnDisk(path)}
		if c.New == plan.Regular && w.repo.denied(path) {
			c = plan.Change{Path: path, Status: plan.Unreadable}
		}
		changes = append(changes, c)
	}
	for _, path := range w.unmerged {
		changes = append(changes, plan.Change{Path: path, Status: plan.Unmerged, New: plan.Regular})
	}
	for _, path := range w.unreadable {
		changes = append(changes, plan.Change{Path: path, Status: plan.Unreadable})
	}
	return sorted(changes), nil
}

// tracked lists what differs between base and the tracked files.
func (w *workTree) tracked(ctx context.Context, base plan.Commit) ([]plan.Change, error) {
	if w.index == nil {
		return w.byGit(ctx, base)
	}
	changes, err := w.repo.objects.diffIndex(plumbing.NewHash(base.Tree), w.index)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// An object go-git cannot find or read; git may.
		w.fellBack = true
		return w.byGit(ctx, base)
	}
	return w.overlay(ctx, base, changes)
}

// overlay turns base-to-index changes into base-to-work-tree changes with what
// git said of the paths that differ from the index.
func (w *workTree) overlay(ctx context.Context, base plan.Commit, staged []plan.Change) ([]plan.Change, error) {
	if len(w.edited) == 0 && len(w.unmerged) == 0 {
		return staged, nil
	}
	told := map[string]bool{} // told as unmerged, or here
	for _, path := range w.unmerged {
		told[path] = true
	}
	var changes []plan.Change
	var doubtful []string // staged and edited: it may be as in base again
	for _, c := range staged {
		if told[c.Path] {
			continue
		}
		told[c.Path] = true
		e, isEdited := w.edited[c.Path]
		switch {
		case !isEdited:
			changes = append(changes, c)
		case e.Status == plan.Deleted && c.Status == plan.Added: // staged, then removed: as in base
		case e.Status == plan.Deleted:
			changes = append(changes, plan.Change{Path: c.Path, Status: plan.Deleted, Old: c.Old})
		case c.Status == plan.Added:
			changes = append(changes, plan.Change{Path: c.Path, Status: plan.Added, New: e.New})
		default:
			doubtful = append(doubtful, c.Path)
		}
	}
	for path, e := range w.edited {
		switch {
		case told[path]:
		case e.Status == plan.Deleted && w.index.find(path) == nil: // added by intent alone, then removed: as in base
		default:
			e.Blob = ""
			changes = append(changes, e)
		}
	}
	if len(doubtful) > 0 {
		more, err := w.repo.diffByGit(ctx, base, doubtful)
		if err != nil {
			return nil, err
		}
		changes = append(changes, more...)
	}
	return changes, nil
}
