package swap

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
)

// discard removes what is staged. What was there is not in the folder then: a folder
// that should have nothing of it and has is left alone.
func (a *area) discard(ctx context.Context) error {
	if a.step != Staging && a.step != Stray && a.step != "" {
		return fault.Newf(fault.Conflict, "swap it back first, or commit it", "%s has what was there: it is %q", a.dir.Name(), a.step)
	}
	if err := a.removeAll(ctx, newName); err != nil {
		return err
	}
	names, err := namesOf(a.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != oldName && !strings.HasPrefix(name, strayName) {
			continue
		}
		err := a.change(ctx, func() error { return unix.Unlinkat(int(a.dir.Fd()), name, unix.AT_REMOVEDIR) })
		if err == unix.ENOTEMPTY && a.step == Staging && name != oldName {
			err = a.to(ctx, Stray)
		}
		if err != nil && !(err == unix.ENOTEMPTY && a.step == Stray) {
			return err
		}
	}
	if a.step == Stray {
		return nil
	}
	return a.end(ctx)
}

// commit removes all that is aside.
func (a *area) commit(ctx context.Context) error {
	switch a.step {
	case Swapped:
		if err := a.to(ctx, Committed); err != nil {
			return err
		}
	case Committed, Stray:
	case "":
		return a.discard(ctx)
	default:
		return a.other("committed")
	}
	names, err := namesOf(a.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == oldName || name == newName || strings.HasPrefix(name, strayName) {
			if err := a.removeAll(ctx, name); err != nil {
				return err
			}
		}
	}
	return a.end(ctx)
}

// removeAll removes a folder of ours with all that is in it, but nothing that is
// mounted there.
func (a *area) removeAll(ctx context.Context, name string) error {
	found, err := mounts(a.dir, name)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fault.Newf(fault.Precondition, "unmount it", "%.300s is mounted in what is to be removed", found[0])
	}
	opened, err := folder(a.dir, name)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	_ = opened.Close()
	return a.change(ctx, func() error { return a.root.RemoveAll(Prefix + a.id + "/" + name) })
}

// end removes what is left: the step before what else tells of it.
func (a *area) end(ctx context.Context) error {
	for _, name := range []string{aboutTemp, stepName + string(a.step), aboutName} {
		if err := a.change(ctx, func() error { return unix.Unlinkat(int(a.dir.Fd()), name, 0) }); err != nil && err != unix.ENOENT {
			return err
		}
	}
	return a.keepingTime(func() error {
		return a.change(ctx, func() error { return unix.Unlinkat(int(a.top.Fd()), Prefix+a.id, unix.AT_REMOVEDIR) })
	})
}
