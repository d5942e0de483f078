package tree

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Clones says whether a file system may be one whose clones are known to be what their
// files were, data that is not on the disk yet included. Not all xfs have any.
func Clones(fd int) bool { return isOn(fd, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC) }

// isOn says whether what is open is on a file system of one of these types.
func isOn(fd int, types ...int64) bool {
	var stat unix.Statfs_t
	if err := Retry(func() error { return unix.Fstatfs(fd, &stat) }); err != nil {
		return false
	}
	return slices.Contains(types, int64(stat.Type))
}

// Nameless makes a file on the file system of a folder that is open. It is in no
// folder: when it is closed, or its process dies, it is gone.
func Nameless(folder int) (fd int, err error) {
	err = Retry(func() error {
		fd, err = unix.Openat(folder, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, err
}

// Clone has a file share all data of another one, from an offset on, which is a multiple
// of [CloneUnit] behind its end. What was written to the other one is in it, also through
// a memory map; what is written later is not.
func Clone(from, into int, at int64) error {
	return Retry(func() error {
		return unix.IoctlFileCloneRange(into, &unix.FileCloneRange{Src_fd: int64(from), Dest_offset: uint64(at)})
	})
}

// WriteInPlace has btrfs write over the data of an empty file where it is, without sums
// of it. Such files are cloned into such files alone.
func WriteInPlace(fd int) error {
	return Retry(func() error { return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, nocow) })
}

const nocow = 0x00800000 // FS_NOCOW_FL of linux/fs.h
