package mirror

import (
	"errors"
	"io/fs"
	"syscall"

	"homelab/internal/fault"
)

const (
	cutHint     = "remove what was copied, then call again"
	changedHint = "stop or freeze everything that writes there, then call again"
	placeHint   = "copy into a place of its own, where nobody else writes"
)

// garbled is a stream that says what no other end says.
func garbled(format string, args ...any) error {
	return fault.Newf(fault.Precondition, "use the same version of homelab at both ends", "the stream between tree and copy is none: "+format, args...)
}

// changed is a tree that was written to in its last pass.
func changed(path string) error {
	return fault.Newf(fault.Conflict, changedHint, "%.300q changed during the last pass", path)
}

// moved says whether a failure only means that an entry is not any more what it
// was a moment ago.
func moved(err error) bool {
	for _, is := range []syscall.Errno{syscall.ENOENT, syscall.ELOOP, syscall.ENOTDIR, syscall.ESTALE, syscall.EINVAL, syscall.ENXIO, syscall.ENODATA} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// readFailed explains why something could not be read.
func readFailed(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Newf(fault.Denied, "run it as root", "%.300q cannot be copied: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is on", "%.300q cannot be copied: %w", path, err)
}

// applyFailed explains why something could not be written.
func applyFailed(path string, err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Newf(fault.Precondition, "make room on that disk, remove what was copied, then call again", "no space is left for the copy of %.300q: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.Denied, "run it as root, or copy into a folder of your own", "the copy of %.300q cannot be written: %w", path, err)
	case errors.Is(err, fs.ErrExist), moved(err):
		return fault.Newf(fault.Conflict, placeHint, "the copy of %.300q is not what was copied before: %w", path, err)
	case errors.Is(err, syscall.ENOTSUP):
		return fault.Newf(fault.Precondition, "copy onto a file system with extended attributes and access control lists, such as ext4, xfs or btrfs", "%.300q has attributes that the file system of the copy does not take: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that the copy is on", "the copy of %.300q cannot be written: %w", path, err)
}
