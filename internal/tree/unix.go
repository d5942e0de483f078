// Package tree reads and writes the entries of folders with all that they have:
// numeric owners, nanoseconds, extended attributes, holes.
//
// Everything is of one folder that is open: no path is resolved, and no link is
// followed.
package tree

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Retry calls again what a signal interrupted.
func Retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Stat looks at an entry of a folder.
func Stat(folder int, name string) (*unix.Stat_t, error) {
	stat := &unix.Stat_t{}
	return stat, Retry(func() error { return unix.Fstatat(folder, name, stat, unix.AT_SYMLINK_NOFOLLOW) })
}

// StatOpen looks at what is open.
func StatOpen(fd int) (*unix.Stat_t, error) {
	stat := &unix.Stat_t{}
	return stat, Retry(func() error { return unix.Fstat(fd, stat) })
}

// Open opens without waiting for anybody, as a FIFO would.
func Open(folder int, name string, flags int) (fd int, err error) {
	err = Retry(func() error {
		fd, err = unix.Openat(folder, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, err
}

// ReadLink reads where a symbolic link leads.
func ReadLink(folder int, name string) (string, error) {
	buffer := make([]byte, 4096)
	var n int
	err := Retry(func() (err error) {
		n, err = unix.Readlinkat(folder, name, buffer)
		return err
	})
	return string(buffer[:max(n, 0)]), err
}

// ReadAt reads once.
func ReadAt(fd int, into []byte, offset int64) (n int, err error) {
	err = Retry(func() error {
		n, err = unix.Pread(fd, into, offset)
		return err
	})
	return n, err
}

// WriteAt writes all of it.
func WriteAt(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		var n int
		err := Retry(func() (err error) {
			n, err = unix.Pwrite(fd, data, offset)
			return err
		})
		if err != nil {
			return err
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// SetTime sets when an entry was changed last.
func SetTime(folder int, name string, sec, nsec int64) error {
	time := unix.Timespec{Sec: sec, Nsec: nsec}
	return unix.UtimesNanoAt(folder, name, []unix.Timespec{time, time}, unix.AT_SYMLINK_NOFOLLOW)
}

// Extent is a part of a file that holds data.
type Extent struct{ Offset, Length int64 }

// End is the offset behind it.
func (e Extent) End() int64 { return e.Offset + e.Length }

// extentUnit is what extents begin and end at multiples of, but for the end of
// the file: the unit of the smallest block of any file system.
const extentUnit = 512

// Extents lists what of a file holds data, so that all that is read of it is
// its content; sparse is false when that is all of it, or cannot be known.
func Extents(fd int, stat *unix.Stat_t) (extents []Extent, sparse bool, err error) {
	if stat.Blocks*512 >= stat.Size {
		return nil, false, nil
	}
	for at := int64(0); at < stat.Size; {
		from, err := unix.Seek(fd, at, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // a hole up to the end
			return extents, true, nil
		case errors.Is(err, unix.EINVAL) && at == 0: // the file system tells nothing
			return nil, false, nil
		case err != nil:
			return nil, false, err
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil {
			return nil, false, err
		}
		from, to = from&^(extentUnit-1), min((to+extentUnit-1)&^(extentUnit-1), stat.Size)
		if last := len(extents) - 1; last >= 0 && from <= extents[last].End() {
			extents[last].Length = to - extents[last].Offset
		} else if from < to {
			extents = append(extents, Extent{from, to - from})
		}
		at = max(to, at+1)
	}
	if len(extents) == 1 && extents[0] == (Extent{0, stat.Size}) {
		return nil, false, nil
	}
	return extents, true, nil
}

// CloneUnit is a multiple of the blocks of any file system, which clones begin at.
const CloneUnit = 64 << 10
