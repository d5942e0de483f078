package tree

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattrs reads the extended attributes of what is open.
func Xattrs(fd int) ([]Xattr, error) {
	list, err := whole(func(into []byte) (int, error) { return unix.Flistxattr(fd, into) })
	if errors.Is(err, unix.ENOTSUP) || err == nil && len(list) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
	slices.Sort(names)
	var found []Xattr
	for _, name := range names {
		if !IsCaptured(name) {
			continue
		}
		value, err := whole(func(into []byte) (int, error) { return unix.Fgetxattr(fd, name, into) })
		if err != nil {
			return nil, err
		}
		found = append(found, Xattr{name, string(value)})
	}
	return found, nil
}

// whole asks how long an answer is, then for the answer, until it fits.
func whole(ask func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := ask(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		into := make([]byte, n)
		n, err = ask(into)
		if !errors.Is(err, unix.ERANGE) {
			return into[:max(n, 0)], err
		}
	}
}

func SetXattr(fd int, x Xattr) error { return unix.Fsetxattr(fd, x.Name, []byte(x.Value), 0) }

// DropACL takes away what a folder would hand on to everything in it.
func DropACL(fd int) error {
	for _, name := range []string{aclDefault, aclAccess} {
		err := unix.Fremovexattr(fd, name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}

// SyncAll waits until everything of the file system is on the disk.
func SyncAll(fd int) error { return unix.Syncfs(fd) }
