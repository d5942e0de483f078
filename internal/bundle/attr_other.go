//go:build !linux

package bundle

import "golang.org/x/sys/unix"

// xattrsOf finds none: the attributes of other systems have other names and
// mean other things.
func xattrsOf(int) ([]xattr, error) { return nil, nil }

// setXattr refuses to lose what it cannot set.
func setXattr(int, xattr) error { return unix.ENOTSUP }

func dropACL(int) error { return nil }

// syncAll starts the writing of everything; it cannot wait for its end here.
func syncAll(int) error { return unix.Sync() }
