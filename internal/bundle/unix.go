package bundle

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Everything below is of one folder that is open: no path is resolved, and no
// link is followed.

// retry calls again what a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func statAt(folder int, name string) (*unix.Stat_t, error) {
	stat := &unix.Stat_t{}
	return stat, retry(func() error { return unix.Fstatat(folder, name, stat, unix.AT_SYMLINK_NOFOLLOW) })
}

// openAt opens without waiting for anybody, as a FIFO would.
func openAt(folder int, name string, flags int) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(folder, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, err
}

func readLinkAt(folder int, name string) (string, error) {
	buffer := make([]byte, 4096)
	var n int
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(folder, name, buffer)
		return err
	})
	return string(buffer[:max(n, 0)]), err
}

// writeAt writes all of it.
func writeAt(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		var n int
		err := retry(func() (err error) {
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

// extentsOf lists what of a file holds data, so that all that is read of it is
// its content; sparse is false when that is all of it, or cannot be known.
func extentsOf(fd int, stat *unix.Stat_t) (extents []extent, sparse bool, err error) {
	if stat.Blocks*512 >= stat.Size {
		return nil, false, nil
	}
	for at := int64(0); at < stat.Size; {
		from, err := unix.Seek(fd, at, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // a hole up to the end
			return thin(extents), true, nil
		case errors.Is(err, unix.EINVAL) && at == 0: // the file system tells nothing
			return nil, false, nil
		case err != nil:
			return nil, false, err
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil {
			return nil, false, err
		}
		from, to = from&^(blockSize-1), min(to+padding(to), stat.Size)
		if last := len(extents) - 1; last >= 0 && from <= extents[last].end() {
			extents[last].length = to - extents[last].offset
		} else if from < to {
			extents = append(extents, extent{from, to - from})
		}
		at = max(to, at+1)
	}
	if len(extents) == 1 && extents[0] == (extent{0, stat.Size}) {
		return nil, false, nil
	}
	return thin(extents), true, nil
}

// thin stores the smallest holes when there are more than a bundle can tell of.
func thin(extents []extent) []extent {
	for least := int64(8 << 10); len(extents) > maxExtents; least *= 2 {
		kept := extents[:1]
		for _, e := range extents[1:] {
			if last := &kept[len(kept)-1]; e.offset-last.end() < least {
				last.length = e.end() - last.offset
			} else {
				kept = append(kept, e)
			}
		}
		extents = kept
	}
	return extents
}
