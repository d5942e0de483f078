package bundle

import (
	"errors"
	"io"
	"io/fs"
	"syscall"

	"homelab/internal/fault"
)

const (
	corruptHint = "use another copy of this bundle, or another bundle; homelab does not restore a part of one"
	changedHint = "freeze what writes there, or capture a copy, then call again"
)

// corrupt is a bundle that contradicts itself or its format.
func corrupt(format string, args ...any) error {
	return fault.Newf(fault.BundleCorrupt, corruptHint, format, args...)
}

// changed is a tree that was written to while it was captured.
func changed(path string) error {
	return fault.Newf(fault.Conflict, changedHint, "%.300q changed while it was captured", path)
}

func foreign() error {
	return fault.New(fault.BundleCorrupt, "this is no bundle", "name a file that homelab wrote as a bundle; if it did, the file is damaged: use another copy")
}

// outside is a source of bytes that marks its own failures, so that they are
// not taken for damage.
type outside struct{ in io.Reader }

type outsideError struct{ error }

func (e outsideError) Unwrap() error { return e.error }

func (o outside) Read(p []byte) (int, error) {
	n, err := o.in.Read(p)
	if err != nil && err != io.EOF {
		err = outsideError{err}
	}
	return n, err
}

// unreadable explains why the bytes of a bundle could not be had. What a
// decoder complains of is damage, whatever it calls it.
func unreadable(err error, at string) error {
	var failed outsideError
	var known *fault.Error
	switch {
	case errors.As(err, &failed):
		if fault.CodeOf(failed.error) != fault.Internal {
			return failed.error
		}
		return fault.Newf(fault.Precondition, "check the disk, the connection and the permissions of the file", "the bundle cannot be read: %w", failed.error)
	case errors.As(err, &known):
		return err
	case errors.Is(err, errSeal):
		return corrupt("the bundle is cut short or damaged, %s: %w", at, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return corrupt("the bundle is cut short, %s", at)
	}
	return corrupt("the bundle is damaged, %s: %.200s", at, err)
}

// captureFailed explains why something could not be read for a bundle.
func captureFailed(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ESTALE):
		return changed(path)
	case errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.Denied, "run it as root", "%.300q cannot be captured: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is on", "%.300q cannot be captured: %w", path, err)
}

// outputFailed explains why a bundle could not be written.
func outputFailed(err error) error {
	if isFull(err) {
		return fault.Newf(fault.Precondition, "make room there, then call again", "no space is left for the bundle: %w", err)
	}
	return fault.Newf(fault.Precondition, "check the place that it is written to", "the bundle cannot be written: %w", err)
}

// extractFailed explains why an entry could not be extracted.
func extractFailed(path string, err error) error {
	switch {
	case isFull(err):
		return fault.Newf(fault.Precondition, "make room on that disk, remove what was extracted, then call again", "no space is left to extract %.300q: %w", path, err)
	case errors.Is(err, fs.ErrExist):
		return fault.Newf(fault.Conflict, "extract into a place of its own, where nobody else writes", "%.300q is there already: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.Denied, "run it as root, or extract into a folder of your own", "%.300q cannot be extracted: %w", path, err)
	case errors.Is(err, syscall.ENOTSUP):
		return fault.Newf(fault.Precondition, "extract onto a file system with extended attributes and access control lists, such as ext4, xfs or btrfs", "%.300q has attributes that the file system does not take: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is extracted to", "%.300q cannot be extracted: %w", path, err)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
