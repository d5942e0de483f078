//go:build !linux

package tree

import "golang.org/x/sys/unix"

// Clones is known of no file system of other systems.
func Clones(int) bool { return false }

// Nameless is not there on other systems.
func Nameless(int) (int, error) { return -1, unix.ENOTSUP }

// Clone is not there on other systems.
func Clone(_, _ int, _ int64) error { return unix.ENOTSUP }

// WriteInPlace is not there on other systems.
func WriteInPlace(int) error { return unix.ENOTSUP }
