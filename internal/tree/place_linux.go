package tree

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stamps says whether every write to a file of this file system gives it a new
// time before it returns, also a write through a memory map, if it is the first
// to its page since the last sync. It is known of these; tmpfs does not do it, NFS
// and FUSE hear late of what others write, overlayfs depends on what is below.
func Stamps(fd int) bool {
	return isOn(fd, unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC)
}

// Punch makes a part of a file a hole; what is behind its end stays as it is.
func Punch(fd int, e Extent) error {
	return Retry(func() error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, e.Offset, e.Length)
	})
}

// RemoveXattr takes an attribute away.
func RemoveXattr(fd int, name string) error { return unix.Fremovexattr(fd, name) }

// Boot names this run of the kernel, and says since when it lasts, by a clock that
// nobody sets.
func Boot() (id string, up time.Duration, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, err
	}
	var now unix.Timespec
	err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return strings.TrimSpace(string(text)), time.Duration(now.Nano()), err
}
