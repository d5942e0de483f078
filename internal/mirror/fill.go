package mirror

import (
	"golang.org/x/sys/unix"

	"homelab/internal/tree"
)

// filling is a file of the copy that is being written.
type filling struct {
	fd, folder int
	name       string
	size       int64 // as far as it is known
}

func (s *Sink) begins(at int, name string, flags int) error {
	fd, err := tree.Open(at, name, unix.O_RDWR|flags)
	if err != nil {
		return err
	}
	s.file = &filling{fd: fd, folder: at, name: name}
	if flags != 0 {
		return nil
	}
	stat, err := tree.StatOpen(fd)
	if err == nil && uint32(stat.Mode)&unix.S_IFMT != unix.S_IFREG {
		err = unix.ENXIO
	}
	if err == nil {
		s.file.size = stat.Size
	}
	return err
}

// inFile applies a message about the file that is open.
func (s *Sink) inFile(kind frame, f *fields) error {
	var err error
	switch kind {
	case frameData:
		offset := f.int64()
		data := f.take(len(f.rest))
		if f.bad || offset < 0 || offset > maxSize-int64(len(data)) {
			return garbled("a part of a file begins at %d", offset)
		}
		err = tree.WriteAt(s.file.fd, data, offset)
		s.file.size = max(s.file.size, offset+int64(len(data)))
	case frameHole:
		hole := tree.Extent{Offset: f.int64(), Length: f.int64()}
		if f.done() != nil || hole.Offset < 0 || hole.Length < 1 || hole.Length > blockSize || hole.Offset > maxSize {
			return garbled("a hole of a file has %d bytes at %d", hole.Length, hole.Offset)
		}
		err = s.file.punch(hole)
	case frameClose:
		return s.close(f)
	default:
		return garbled("a message of the type %d is in a file", kind)
	}
	if err != nil {
		return applyFailed(s.path(s.file.name), err)
	}
	return nil
}

// punch makes a hole, or what reads like one where there can be none.
func (f *filling) punch(hole tree.Extent) error {
	err := tree.Punch(f.fd, hole) // up to a whole block of the file system, also behind the end
	if err == unix.ENOTSUP || err == unix.ENOSYS {
		err = tree.WriteAt(f.fd, make([]byte, max(min(hole.Length, f.size-hole.Offset), 0)), hole.Offset)
	}
	return err
}

// close ends the file that is open.
func (s *Sink) close(f *fields) error {
	size, h := f.int64(), f.head()
	if err := f.done(); err != nil {
		return err
	}
	if size < 0 || size > maxSize {
		return garbled("a file has %d bytes", size)
	}
	file := s.file
	s.file = nil
	var err error
	if size != file.size {
		err = unix.Ftruncate(file.fd, size)
	}
	if err == nil {
		err = s.finish(file.fd, h, false)
	}
	if closed := unix.Close(file.fd); err == nil {
		err = closed
	}
	if err == nil {
		err = tree.SetTime(file.folder, file.name, h.sec, h.nsec)
	}
	if err != nil {
		return applyFailed(s.path(file.name), err)
	}
	return nil
}
