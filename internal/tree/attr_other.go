//go:build !linux

package tree

import "golang.org/x/sys/unix"

// Xattrs finds none: the attributes of other systems have other names and
// mean other things.
func Xattrs(int) ([]Xattr, error) { return nil, nil }

// SetXattr refuses to lose what it cannot set.
func SetXattr(int, Xattr) error { return unix.ENOTSUP }

func DropACL(int) error { return nil }

// SyncAll starts the writing of everything; it cannot wait for its end here.
func SyncAll(int) error { return unix.Sync() }
