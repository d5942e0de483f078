package bundle

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrsOf reads the extended attributes of what is open.
func xattrsOf(fd int) ([]xattr, error) {
	list, err := whole(func(into []byte) (int, error) { return unix.Flistxattr(fd, into) })
	if errors.Is(err, unix.ENOTSUP) || err == nil && len(list) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
	slices.Sort(names)
	var found []xattr
	for _, name := range names {
		if !isCaptured(name) {
			continue
		}
		value, err := whole(func(into []byte) (int, error) { return unix.Fgetxattr(fd, name, into) })
		if err != nil {
			return nil, err
		}
		found = append(found, xattr{name, string(value)})
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

func setXattr(fd int, x xattr) error { return unix.Fsetxattr(fd, x.name, []byte(x.value), 0) }

// dropACL takes away what a folder would hand on to everything in it.
func dropACL(fd int) error {
	for _, name := range []string{aclDefault, aclAccess} {
		err := unix.Fremovexattr(fd, name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}

// syncAll waits until everything of the file system is on the disk.
func syncAll(fd int) error { return unix.Syncfs(fd) }
