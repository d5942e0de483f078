package swap

import (
	"context"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// forward swaps, from wherever it is.
func (a *area) forward(ctx context.Context) error {
	for {
		var err error
		switch a.step {
		case Swapped:
			return nil
		case Staging:
			err = a.begin(ctx)
		case Out:
			err = a.turn(ctx, a.moveOut, In)
		case In:
			err = a.turn(ctx, a.moveIn, Swapped)
		case BackOut, BackIn:
			err = a.back(ctx)
		default:
			err = a.other("swapped")
		}
		if err != nil {
			return err
		}
	}
}

// back undoes a swap, from wherever it is.
func (a *area) back(ctx context.Context) error {
	for {
		var err error
		switch a.step {
		case Staging, Stray, "":
			return nil
		case Swapped, In:
			err = a.to(ctx, BackOut)
		case Out:
			err = a.to(ctx, BackIn)
		case BackOut:
			err = a.turn(ctx, a.moveBackOut, BackIn)
		case BackIn:
			err = a.turn(ctx, a.moveBackIn, Staging)
		default:
			err = a.other("swapped back")
		}
		if err != nil {
			return err
		}
	}
}

func (a *area) other(what string) error {
	return fault.Newf(fault.Conflict, "see what is kept aside", "%s cannot be %s: it is %q", a.dir.Name(), what, a.step)
}

// turn moves what a step moves, then goes on to the next.
func (a *area) turn(ctx context.Context, move func(ctx context.Context, aside *os.File) error, next Step) error {
	which := oldName
	if a.step == In || a.step == BackOut {
		which = newName
	}
	aside, err := folder(a.dir, which)
	if err != nil {
		return err
	}
	defer aside.Close()
	if err := move(ctx, aside); err != nil {
		return err
	}
	for _, f := range []*os.File{aside, a.top} {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return a.to(ctx, next)
}

func (a *area) moveOut(ctx context.Context, old *os.File) error { return a.move(ctx, a.top, old) }

func (a *area) moveBackOut(ctx context.Context, aside *os.File) error {
	return a.move(ctx, a.top, aside)
}

func (a *area) moveIn(ctx context.Context, aside *os.File) error {
	if err := a.move(ctx, aside, a.top); err != nil {
		return err
	}
	return a.become(ctx, a.New)
}

func (a *area) moveBackIn(ctx context.Context, old *os.File) error {
	if err := a.move(ctx, old, a.top); err != nil {
		return err
	}
	return a.become(ctx, a.Old)
}

// become gives the folder that is swapped its attributes.
func (a *area) become(ctx context.Context, wanted *attributes) error {
	if wanted == nil {
		return nil
	}
	return a.change(ctx, func() error { return wanted.apply(int(a.top.Fd())) })
}

// begin looks whether it can be swapped, and notes what renames lose.
func (a *area) begin(ctx context.Context) error {
	aside, err := folder(a.dir, newName)
	if err != nil {
		return err
	}
	defer aside.Close()
	names, err := namesOf(aside)
	if err != nil {
		return err
	}
	if a.name != "." {
		if !slices.Equal(names, []string{a.name}) {
			return fault.Newf(fault.Conflict, "restore it once more", "%s has not what is to become %q", aside.Name(), a.name)
		}
	} else if at := slices.IndexFunc(names, isOurs); at >= 0 {
		return fault.Newf(fault.BundleIncompatible, "use another bundle", "%.300q of it is a name that homelab keeps for itself", names[at])
	}
	if err := a.unmounted(); err != nil {
		return err
	}
	if a.name == "." {
		a.Old, err = attributesOf(int(a.top.Fd()))
		if err == nil && a.New == nil { // swapped and back, its time is that of the moves
			a.New, err = attributesOf(int(aside.Fd()))
		}
		if err == nil {
			err = a.tell(ctx)
		}
	}
	if err == nil {
		err = a.top.Sync()
	}
	if err != nil {
		return err
	}
	return a.to(ctx, Out)
}

// unmounted fails when something is mounted in what is swapped: it would go aside, and
// be removed with it.
func (a *area) unmounted() error {
	found, err := mounts(a.top, a.name)
	if err != nil || len(found) == 0 {
		return err
	}
	return fault.Newf(fault.Precondition, "unmount it, or have the registry name what is in it one by one", "%.300s is mounted in what is to be swapped", found[0])
}

// move moves all that is swapped from one folder to the other. What has the name of
// something that was moved before came meanwhile, by somebody: that goes away.
func (a *area) move(ctx context.Context, from, to *os.File) error {
	names, err := namesOf(from)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if isOurs(name) && from == a.top || a.name != "." && name != a.name {
			continue
		}
		for {
			err = a.change(ctx, func() error { return rename(int(from.Fd()), name, int(to.Fd())) })
			if err != unix.EEXIST {
				break
			}
			if err := a.toStray(ctx, name); err != nil {
				return err
			}
			if from == a.top {
				err = nil
				break
			}
		}
		if err != nil {
			return &os.PathError{Op: "rename", Path: name, Err: err}
		}
	}
	return nil
}

// toStray moves away what is where something else belongs.
func (a *area) toStray(ctx context.Context, name string) error {
	for n := 0; ; n++ {
		at := strayName + strconv.Itoa(n)
		err := a.change(ctx, func() error { return unix.Mkdirat(int(a.dir.Fd()), at, 0o700) })
		if err != nil && err != unix.EEXIST {
			return err
		}
		to, err := folder(a.dir, at)
		if err != nil {
			return err
		}
		err = a.change(ctx, func() error { return rename(int(a.top.Fd()), name, int(to.Fd())) })
		if err == nil {
			err = to.Sync()
		}
		_ = to.Close()
		if err != unix.EEXIST {
			return err
		}
	}
}

// attributes are what a folder has besides its content.
type attributes struct {
	Mode   uint32  `json:"mode"`
	UID    uint32  `json:"uid"`
	GID    uint32  `json:"gid"`
	Sec    int64   `json:"sec"`
	Nsec   int64   `json:"nsec"`
	Xattrs []xattr `json:"xattrs,omitempty"`
}

type xattr struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

func attributesOf(fd int) (*attributes, error) {
	stat, err := tree.StatOpen(fd)
	if err != nil {
		return nil, err
	}
	found, err := tree.Xattrs(fd)
	if err != nil {
		return nil, err
	}
	a := &attributes{Mode: uint32(stat.Mode) & 0o7777, UID: stat.Uid, GID: stat.Gid}
	a.Sec, a.Nsec = stat.Mtim.Unix()
	for _, x := range found {
		a.Xattrs = append(a.Xattrs, xattr{x.Name, []byte(x.Value)})
	}
	return a, nil
}

// apply sets them in an order in which none takes away another.
func (a *attributes) apply(fd int) error {
	now, err := attributesOf(fd)
	if err != nil {
		return err
	}
	for _, x := range now.Xattrs {
		if err := tree.RemoveXattr(fd, x.Name); err != nil {
			return err
		}
	}
	if now.UID != a.UID || now.GID != a.GID {
		if err := unix.Fchown(fd, int(a.UID), int(a.GID)); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, a.Mode); err != nil {
		return err
	}
	for _, x := range a.Xattrs {
		if err := tree.SetXattr(fd, tree.Xattr{Name: x.Name, Value: string(x.Value)}); err != nil {
			return err
		}
	}
	return tree.SetTime(fd, ".", a.Sec, a.Nsec)
}

// renameUnlessThere moves an entry, unless one of that name is there, where that
// cannot be done at once.
func renameUnlessThere(from int, name string, to int) error {
	if _, err := tree.Stat(to, name); err != unix.ENOENT {
		if err == nil {
			err = unix.EEXIST
		}
		return err
	}
	return unix.Renameat(from, name, to, name)
}
