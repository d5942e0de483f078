package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/job"
)

// copied makes a folder for copies, which goes when work is done.
func copied(ctx context.Context, jobs *job.Store, jobID string, work func(copies *os.Root) error) (err error) {
	base := filepath.Join(jobs.Dir, "captures")
	sweepCopies(ctx, jobs, base)
	dir := filepath.Join(base, jobID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return durable.Explain(err)
	}
	defer func() { err = errors.Join(err, removeCopies(dir)) }()
	copies, err := os.OpenRoot(dir)
	if err != nil {
		return durable.Explain(err)
	}
	defer copies.Close()
	return work(copies)
}

// sweepCopies removes the copies of jobs that were killed. What cannot be removed only takes
// room.
func sweepCopies(ctx context.Context, jobs *job.Store, base string) {
	left, _ := os.ReadDir(base)
	for _, folder := range left {
		if j, err := jobs.Get(ctx, folder.Name()); err == nil && j.State.Over() || fault.CodeOf(err) == fault.NotFound {
			_ = removeCopies(filepath.Join(base, folder.Name()))
		}
	}
}

// removeCopies removes a folder of copies, also what is in folders that nobody may
// write to, as the state has them: they keep a user out who is not root.
func removeCopies(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	if root, err := os.OpenRoot(dir); err == nil {
		loosen(root)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fault.Newf(fault.Precondition, "remove "+dir+" by hand: it is a copy of the state", "what was copied cannot be removed: %w", err)
	}
	return nil
}

// loosen lets the user into every folder below one, and closes it. What cannot be
// changed cannot be removed, which tells.
func loosen(folder *os.Root) {
	defer folder.Close()
	list, err := folder.Open(".")
	if err != nil {
		return
	}
	defer list.Close()
	entries, _ := list.ReadDir(-1)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		_ = folder.Chmod(entry.Name(), 0o700)
		if below, err := folder.OpenRoot(entry.Name()); err == nil {
			loosen(below)
		}
	}
}
