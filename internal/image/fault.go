package image

import (
	"errors"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"

	"homelab/internal/fault"
)

const (
	brokenHint = "the builder wrote a broken archive: correct its derivation; if that is known to be good, check the file with nix-store --verify-path"
	againHint  = "the file was built anew meanwhile, or the script does not write the same twice: build again, so that it is read as it is now"
	kindsHint  = "a target must build an image: an archive as of docker save or an OCI layout in a tar, plain or compressed with gzip or zstd, the script of dockerTools.streamLayeredImage, or the JSON of nix2container"
)

// broken is an archive that contradicts itself or its format.
func broken(format string, args ...any) error {
	return fault.Newf(fault.Precondition, brokenHint, format, args...)
}

// foreign is a file that is something else than an image.
func foreign(format string, args ...any) error {
	return fault.Newf(fault.Precondition, kindsHint, format, args...)
}

// changed is a source that is not what was read of it before.
func changed(format string, args ...any) error {
	return fault.Newf(fault.Conflict, againHint, format, args...)
}

// unreadable explains why the bytes of an archive could not be had.
func unreadable(err error) error {
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return fault.Newf(fault.Precondition, "check the disk and the permissions of the file", "it cannot be read: %w", path.Err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return broken("the archive is cut short")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fault.Newf(fault.Precondition, "have the derivation compress with zstd --long=27 or less",
			"the archive needs a zstd window of more than %d MiB to decompress", maxWindow>>20)
	}
	return broken("the archive cannot be unpacked: %.300s", err)
}
