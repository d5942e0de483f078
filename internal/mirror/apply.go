package mirror

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// message applies a message about an entry.
func (s *Sink) message(kind frame, f *fields) error {
	if s.file != nil {
		return s.inFile(kind, f)
	}
	if kind == frameLeave {
		return s.leave(f)
	}
	var name string
	switch kind {
	case frameSymlink, frameLink:
		name = f.text()
	default:
		name, f.rest = string(f.rest), nil
	}
	at, name, err := s.at(kind, name)
	if err != nil {
		return err
	}
	switch kind {
	case frameEnter, frameFolder:
		err = s.enter(at, name, kind == frameFolder)
	case frameRemove:
		err = remove(at, name, 0)
	case frameSymlink:
		err = s.symlink(at, name, f)
	case frameLink:
		err = s.link(at, name, f)
	case frameCreate:
		err = s.begins(at, name, unix.O_CREAT|unix.O_EXCL)
	case frameOpen:
		err = s.begins(at, name, 0)
	default:
		return garbled("a message of it has the type %d", kind)
	}
	if err != nil {
		return applyFailed(s.path(name), err)
	}
	return f.done()
}

// at is the open folder that an entry is in, and its name there. The tree itself
// has none: it is called what the place is called.
func (s *Sink) at(kind frame, name string) (int, string, error) {
	if len(s.open) > 0 {
		if name == "" || name == "." || name == ".." || len(name) > tree.MaxName || strings.ContainsAny(name, "/\x00") {
			return 0, "", garbled("an entry has the name %.300q", name)
		}
		return s.open[len(s.open)-1].fd, name, nil
	}
	if name != "" || kind == frameRemove || kind == frameSymlink || kind == frameLink {
		return 0, "", garbled("the tree has the name %.300q", name)
	}
	return int(s.parent.Fd()), s.place.Name, nil
}

func (s *Sink) enter(at int, name string, fresh bool) error {
	if len(s.open) > maxDepth {
		return garbled("it has more than %d folders in each other", maxDepth)
	}
	if fresh && name != "." {
		if err := unix.Mkdirat(at, name, 0o700); err != nil {
			return err
		}
	}
	fd, err := tree.Open(at, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	s.open = append(s.open, opened{fd, at, name})
	return nil
}

// leave gives a folder what it has of its own, now that it is full: putting
// something into it changes its time.
func (s *Sink) leave(f *fields) error {
	h := f.head()
	if err := f.done(); err != nil {
		return err
	}
	if len(s.open) == 0 {
		return garbled("it leaves a folder that it did not enter")
	}
	last := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	err := s.finish(last.fd, h, true)
	if closed := unix.Close(last.fd); err == nil {
		err = closed
	}
	if err == nil {
		err = tree.SetTime(last.folder, last.name, h.sec, h.nsec)
	}
	if err != nil {
		return applyFailed(s.path(last.name), err)
	}
	return nil
}

// remove takes away an entry with everything below it, and follows nothing.
func remove(at int, name string, depth int) error {
	err := unix.Unlinkat(at, name, 0)
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	if depth > maxDepth {
		return fault.Newf(fault.Conflict, placeHint, "the copy has folders of somebody else: %.300q is too deep", name)
	}
	fd, err := tree.Open(at, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	folder := os.NewFile(uintptr(fd), name)
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, in := range names {
		if err := remove(fd, in, depth+1); err != nil {
			return err
		}
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}

func (s *Sink) symlink(at int, name string, f *fields) error {
	h := f.head()
	target := string(f.take(len(f.rest)))
	if err := f.done(); err != nil {
		return err
	}
	if target == "" || len(target) > maxPath || strings.IndexByte(target, 0) >= 0 || len(h.xattrs) > 0 {
		return garbled("a link leads to %.300q", target)
	}
	if err := unix.Symlinkat(target, at, name); err != nil {
		return err
	}
	if s.owns(h) {
		if err := unix.Fchownat(at, name, int(h.uid), int(h.gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return tree.SetTime(at, name, h.sec, h.nsec)
}

// link gives another name to a file of the copy. The way to it is gone again
// from the root of the copy, through folders only.
func (s *Sink) link(at int, name string, f *fields) error {
	path := string(f.take(len(f.rest)))
	steps := strings.Split(path, "/")
	if f.bad || len(path) > maxPath || len(steps) > maxDepth {
		return garbled("a name is one of %.300q", path)
	}
	from := s.open[0].fd
	for i, step := range steps {
		if step == "" || step == "." || step == ".." || strings.IndexByte(step, 0) >= 0 {
			return garbled("a name is one of %.300q", path)
		}
		if i == len(steps)-1 {
			break
		}
		fd, err := tree.Open(from, step, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		from = fd
	}
	target := steps[len(steps)-1]
	stat, err := tree.Stat(from, target)
	if err != nil {
		return err
	}
	if uint32(stat.Mode)&unix.S_IFMT != unix.S_IFREG {
		return fault.Newf(fault.Conflict, placeHint, "%.300q of the copy is no file", path)
	}
	return unix.Linkat(from, target, at, name, 0)
}

// finish gives an open file or folder its owner, mode and attributes, in an
// order in which none takes away another.
func (s *Sink) finish(fd int, h *head, folder bool) error {
	if s.owns(h) {
		if err := unix.Fchown(fd, int(h.uid), int(h.gid)); err != nil {
			return err
		}
	}
	mode, stripped := h.mode, false
	if !folder && !s.place.Privileged && mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		mode, stripped = mode&^(unix.S_ISUID|unix.S_ISGID), true
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return err
	}
	has, err := tree.Xattrs(fd)
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, x := range h.xattrs {
		want[x.Name] = true
	}
	for _, x := range has { // of before, or of the folder that it was made in
		if !want[x.Name] {
			if err := tree.RemoveXattr(fd, x.Name); err != nil {
				return fmt.Errorf("%s: %w", x.Name, err)
			}
		}
	}
	for _, x := range h.xattrs {
		if x.Name == tree.Capability && !s.place.Privileged {
			stripped = true
		} else if err := tree.SetXattr(fd, x); err != nil {
			return fmt.Errorf("%s: %w", x.Name, err)
		}
	}
	if stripped {
		s.tally.Stripped++
	}
	return nil
}

// owns says whether the owner is to be set. Only root can give files away.
func (s *Sink) owns(h *head) bool {
	if !s.root && (int(h.uid) != os.Geteuid() || int(h.gid) != os.Getegid()) {
		s.tally.Unowned++
	}
	return s.root
}
