//go:build !linux

package swap

import (
	"os"

	"golang.org/x/sys/unix"
)

// mounts are not known here: what is mounted cannot be renamed in any case.
func mounts(*os.File, string) ([]string, error) { return nil, nil }

func rename(from int, name string, to int) error { return renameUnlessThere(from, name, to) }

// room is what a file system has left; entries are -1 when it does not count them.
func room(fd int) (bytes, entries int64, err error) {
	var stat unix.Statfs_t
	err = unix.Fstatfs(fd, &stat)
	return int64(stat.Bavail) * int64(stat.Bsize), -1, err
}
