// Package durable writes files that a crash leaves whole, the old content or the new
// one and never a part, and takes locks that a crash lets go of.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"homelab/internal/fault"
)

// WriteFile writes a file for the user alone, by way of a temporary one in the
// same folder. When it returns nil the content is on the disk.
//
// A folder that cannot be written and a disk that is full are
// [fault.Precondition].
func WriteFile(path string, content []byte) error {
	if err := write(path, content); err != nil {
		return Explain(err)
	}
	return nil
}

func write(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder last: a rename is one of them.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if closed := folder.Close(); err == nil {
		err = closed
	}
	return err
}

// Explain gives a failed write its remedy, where it is known.
func Explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Newf(fault.Precondition, "make room on that disk, then call again", "the disk is full: %w", err)
	case errors.Is(err, syscall.ENOTDIR):
		return fault.Newf(fault.Conflict, "move it away", "something is where a folder should be: %w", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.Newf(fault.Precondition, "make the folder writable, or set HOMELAB_STATE to one that is", "cannot be written: %w", err)
	}
	return fmt.Errorf("write: %w", err)
}
