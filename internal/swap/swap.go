// Package swap puts something new in the place of what is there, and back, by renames
// within the file system that both are on.
//
// What happens is inside of the folder itself, since what a volume is mounted at
// cannot be renamed: in a folder .homelab-ID are what is new, until it is swapped, and
// then what was there. Of a file, or of what is not there yet, that folder is beside
// it. How far a swap has come is told by the name of a file in it, so going on and
// going back need no space, and whoever comes after a crash does either.
//
// Somebody may write to the folder all the while: nothing outside of it is changed, no
// link is followed, and nothing is written over.
package swap

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/lazy"
	"homelab/internal/tree"
)

// Prefix is what the names begin with that are not part of an item.
const Prefix = ".homelab-"

// Target is the place of an item: a folder, a file, or a name that nothing has yet. A
// swap is changed by one at a time: the caller sees to that. A context that is done
// ends a change between two steps; what follows it goes on from there.
type Target struct {
	path  string
	spots []spot
}

// spot is where the folder of a swap can be.
type spot struct {
	root *os.Root
	name string // that is swapped; ".": all that is in root
}

// OpenFolder opens a folder that is there, such as the mountpoint of a volume.
func OpenFolder(path string) (*Target, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, failed(path, err)
	}
	return &Target{path, []spot{{root, "."}}}, nil
}

// Open opens a folder or a file, or the place for one: a folder that is there.
func Open(path string) (*Target, error) {
	path = filepath.Clean(path)
	if path == "/" {
		return OpenFolder(path)
	}
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, failed(filepath.Dir(path), err)
	}
	t := &Target{path, []spot{{parent, filepath.Base(path)}}}
	info, err := parent.Lstat(filepath.Base(path))
	switch {
	case errors.Is(err, unix.ENOENT):
		return t, nil
	case err != nil:
		err = failed(path, err)
	case info.Mode().IsRegular():
		return t, nil
	case !info.IsDir():
		err = fault.Newf(fault.Precondition, "name the folder or file itself in the registry", "%s is neither a folder nor a file", path)
	default:
		var inside *os.Root
		if inside, err = parent.OpenRoot(filepath.Base(path)); err == nil {
			t.spots = append([]spot{{inside, "."}}, t.spots...)
			return t, nil
		}
		err = failed(path, err)
	}
	return nil, errors.Join(err, t.Close())
}

// Path is what was opened, or what [Target.Show] says.
func (t *Target) Path() string { return t.path }

// Show has it known to people by another path than it was opened by.
func (t *Target) Show(path string) { t.path = path }

func (t *Target) Close() error {
	var all error
	for _, s := range t.spots {
		all = errors.Join(all, s.root.Close())
	}
	return all
}

// Stage makes room for what is new: it is to become name in root. What an earlier one
// of that id has staged is removed.
func (t *Target) Stage(ctx context.Context, id string) (root *os.Root, name string, err error) {
	if !idSyntax().MatchString(id) {
		return nil, "", fault.Newf(fault.InvalidArgument, "", "%q cannot be the id of a swap", id)
	}
	if err := t.Discard(ctx, id); err != nil {
		return nil, "", err
	}
	if err := t.spots[0].stage(ctx, id); err != nil {
		return nil, "", failed(t.path, err)
	}
	return t.Staged(id)
}

// Staged opens the room that [Target.Stage] has made.
func (t *Target) Staged(id string) (root *os.Root, name string, err error) {
	a, err := t.there(id)
	if err != nil {
		return nil, "", err
	}
	defer a.close()
	if a.step != Staging {
		return nil, "", a.other("filled")
	}
	root, err = a.root.OpenRoot(Prefix + id + "/" + newName)
	return root, a.name, failed(t.path, err)
}

// Swap puts what is staged in place of what is there. That it has been staged as a
// whole, and is on the disk, the caller sees to.
func (t *Target) Swap(ctx context.Context, id string) error {
	a, err := t.there(id)
	if err != nil {
		return err
	}
	defer a.close()
	return failed(t.path, a.forward(ctx))
}

// Back undoes a swap, however far it came: what was there is there again, and what is
// new is staged. When nothing is staged there is nothing to undo.
func (t *Target) Back(ctx context.Context, id string) error {
	a, err := t.find(id)
	if a == nil || err != nil {
		return err
	}
	defer a.close()
	return failed(t.path, a.back(ctx))
}

// Discard removes what is staged, unless it is swapped. What somebody had put in the
// way of a swap or of its undoing is kept until [Target.Commit].
func (t *Target) Discard(ctx context.Context, id string) error {
	a, err := t.find(id)
	if a == nil || err != nil {
		return err
	}
	defer a.close()
	return failed(t.path, a.discard(ctx))
}

// Commit removes what a swap has put aside, for good.
func (t *Target) Commit(ctx context.Context, id string) error {
	a, err := t.find(id)
	if a == nil || err != nil {
		return err
	}
	defer a.close()
	return failed(t.path, a.commit(ctx))
}

var idSyntax = lazy.Regexp(`^[0-9A-Za-z][0-9A-Za-z.-]{0,99}$`)

// find opens the folder of a swap; nil: there is none.
func (t *Target) find(id string) (*area, error) {
	for _, s := range t.spots {
		a, err := s.open(id)
		if a != nil || err != nil {
			return a, failed(t.path, err)
		}
	}
	return nil, nil
}

// there is find, and fails when there is none.
func (t *Target) there(id string) (*area, error) {
	a, err := t.find(id)
	if a == nil && err == nil {
		err = fault.Newf(fault.NotFound, "restore it once more", "%s has nothing staged as %s", t.path, id)
	}
	return a, err
}

// isOurs says whether a name is none of the item.
func isOurs(name string) bool { return strings.HasPrefix(name, Prefix) }

// failed gives an error its remedy, where it has none.
func failed(path string, err error) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Newf(fault.Precondition, "make room on that disk, then call again", "no space is left in %s: %w", path, err)
	case errors.Is(err, unix.ENOENT):
		return fault.Newf(fault.NotFound, "make the folder that it is to be in", "%s is not there: %w", path, err)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EXDEV):
		return fault.Newf(fault.Precondition, "unmount what is mounted in it", "%s cannot be swapped: %w", path, err)
	case errors.Is(err, os.ErrPermission):
		return fault.Newf(fault.Denied, "run it as root; see whether lsattr shows something immutable", "%s cannot be changed: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is on", "%s cannot be changed: %w", path, err)
}

// folder opens a folder within one that is open.
func folder(in *os.File, name string) (*os.File, error) {
	fd, err := tree.Open(int(in.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), in.Name()+"/"+name), nil
}
