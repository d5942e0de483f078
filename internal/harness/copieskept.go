package harness

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/durable"
	"homelab/registry"
)

// copied works with a folder for copies: that of the last bundle, or one that goes when
// work is done.
func (b *bundling) copied(ctx context.Context, jobID string, work func(copies *os.Root) error) error {
	if done, err := b.copiedAgain(work); done || err != nil {
		return err
	}
	return copied(ctx, b.jobs, jobID, work)
}

// copiedAgain works with the copies of the last bundle, which restic compares with what
// it has: see docs/decisions/0025-the-copy-for-restic-is-kept.md. It does nothing when another bundle has
// them, or when they would hold secrets for longer than the work takes.
func (b *bundling) copiedAgain(work func(copies *os.Root) error) (done bool, err error) {
	if !b.isRestic() {
		return false, nil
	}
	dir := filepath.Join(b.jobs.Dir, "copies", b.host, b.name)
	secret := func(item registry.StateItem) bool { return item.Class == bundle.ClassSecret }
	if slices.ContainsFunc(b.service.State.Items, secret) {
		return false, os.RemoveAll(dir) // it may not always have been one
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return true, durable.Explain(err)
	}
	copies, err := os.OpenRoot(dir)
	if err != nil {
		return true, durable.Explain(err)
	}
	defer copies.Close()
	lock, err := copies.Open(".")
	if err != nil {
		return true, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil // that bundle copies all by itself
	}
	b.kept = true
	return true, work(copies)
}
