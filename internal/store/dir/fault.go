package dir

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
)

func taken(path, name string) error {
	return fault.Newf(fault.Conflict, "nothing is written over what is kept: call again for a new one", "%s has %s already", path, name)
}

// missing explains why a file could not be had.
func (f *Folder) missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.NotFound, "see what is there with state_list", "%s has no %s", f.path, name)
	}
	return explain(f.path, err)
}

func explain(path string, err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Newf(fault.Precondition, "make room there, then call again", "no space is left in %s: %w", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return fault.Newf(fault.Precondition, "mount what belongs there, or make the folder", "there is no %s: %w", path, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.Newf(fault.Denied, "give yourself the right to write there, or run it as somebody who may", "%s cannot be used: %w", path, err)
	case errors.Is(err, unix.ESTALE), errors.Is(err, unix.EHOSTDOWN), errors.Is(err, unix.ETIMEDOUT), errors.Is(err, unix.ENOTCONN):
		return fault.Newf(fault.HostUnreachable, "see whether the machine that it is on is up, and mount it again", "%s does not answer: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is on", "%s cannot be used: %w", path, err)
}
