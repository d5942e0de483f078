//go:build !linux

package tree

import (
	"time"

	"golang.org/x/sys/unix"
)

// Stamps is known of no file system of other systems.
func Stamps(int) bool { return false }

// Punch cannot.
func Punch(int, Extent) error { return unix.ENOTSUP }

// RemoveXattr has nothing to remove: none are found here.
func RemoveXattr(int, string) error { return unix.ENOTSUP }

// Boot is told by no other system.
func Boot() (string, time.Duration, error) { return "", 0, unix.ENOTSUP }
