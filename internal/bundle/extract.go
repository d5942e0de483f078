package bundle

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// Extraction says where items go.
type Extraction struct {
	// Targets has a place for each item of the manifest. One without a Root is
	// verified and not extracted.
	Targets []Target
	// Privileged brings back setuid and setgid of files, and their capabilities.
	Privileged bool
	// Sync waits, at the end, until all of it is on the disk.
	Sync     bool
	Progress func(Progress) // called often, one call at a time; may be nil
}

// Target is where an item goes: a name in Root that is not there yet. For a
// folder it may be ".", if Root is empty.
type Target struct {
	Root *os.Root
	Name string
}

// Extracted is what has been extracted, also by an extraction that failed.
type Extracted struct {
	Report         // of what was read
	Placed   int64 // entries that were made
	Stripped int64 // files without the setuid, setgid or capabilities they had
	Unowned  int64 // entries of others that now are the caller's, who is not root
}

// Extract verifies a bundle and extracts its items. What it extracted may be
// used only if it returns no error: the last bytes decide. It makes nothing
// outside of the targets, and in them nothing over what is there.
func (r *Reader) Extract(ctx context.Context, x Extraction) (*Extracted, error) {
	e := &extractor{Extraction: x, reader: r, root: os.Geteuid() == 0}
	defer e.close()
	if err := e.check(); err != nil {
		return &e.done, err
	}
	report, err := r.read(ctx, e.place)
	if report != nil {
		e.done.Report = *report
	}
	if err == nil {
		err = e.leave(0)
	}
	if err == nil && x.Sync {
		err = e.sync()
	}
	return &e.done, err
}

type extractor struct {
	Extraction
	reader *Reader
	root   bool

	counting sync.Mutex // files are made beside each other
	done     Extracted
	progress Progress

	item    int
	parents []*os.File // the folders of the targets
	open    []opened   // the folders that lead to the entry
}

// opened is a folder that things are put into. It gets what it has of its own
// when it is full, since putting changes its time.
type opened struct {
	fd     int
	header *header
	path   string // in the item
}

// check opens the folders of all targets, and looks whether they are free.
func (e *extractor) check() error {
	if len(e.Targets) != len(e.reader.Manifest.Items) {
		return fault.Newf(fault.InvalidArgument, "", "%d targets for %d items", len(e.Targets), len(e.reader.Manifest.Items))
	}
	e.item = -1
	for _, target := range e.Targets {
		if target.Root == nil {
			e.parents = append(e.parents, nil)
			continue
		}
		if target.Name != "." && (checkPath(target.Name) != nil || strings.Contains(target.Name, "/")) {
			return fault.Newf(fault.InvalidArgument, "", "%q is not a name in %s", target.Name, target.Root.Name())
		}
		parent, err := target.Root.Open(".")
		if err != nil {
			return extractFailed(target.Root.Name(), err)
		}
		e.parents = append(e.parents, parent)
		if err := free(parent, target.Name); err != nil {
			return err
		}
	}
	return nil
}

func free(parent *os.File, name string) error {
	if name != "." {
		if _, err := tree.Stat(int(parent.Fd()), name); err != unix.ENOENT {
			if err == nil {
				err = unix.EEXIST
			}
			return extractFailed(parent.Name()+"/"+name, err)
		}
		return nil
	}
	names, err := parent.Readdirnames(1)
	if err == io.EOF {
		return nil
	}
	if err == nil {
		return fault.Newf(fault.Conflict, "extract into an empty folder", "%s is not empty: %q is in it", parent.Name(), names[0])
	}
	return extractFailed(parent.Name(), err)
}

// place makes an entry, or finds the place of a file.
func (e *extractor) place(h *header, path string) (fill, error) {
	if path == "" {
		if err := e.leave(0); err != nil {
			return nil, err
		}
		e.item = e.reader.item
	}
	if e.Targets[e.item].Root == nil {
		return nil, nil
	}
	depth := 0
	if path != "" {
		depth = strings.Count(path, "/") + 1
	}
	if err := e.leave(depth); err != nil {
		return nil, err
	}
	parent, name := e.parent(path)
	if h.kind == file {
		return func(content next) error { return e.placed(h, e.file(parent, name, h, content)) }, nil
	}
	var err error
	switch h.kind {
	case folder:
		err = e.folder(parent, name, path, h)
	case symlink:
		if err = unix.Symlinkat(h.link, parent, name); err == nil {
			err = e.finishAt(parent, name, h)
		}
	case hardlink:
		err = e.hardlink(parent, name, h)
	}
	return nil, e.placed(h, err)
}

// placed counts what was made.
func (e *extractor) placed(h *header, err error) error {
	if err != nil {
		return e.failed(h.path, err)
	}
	e.count(func() {
		e.done.Placed++
		e.progress.Entries++
	})
	return nil
}

func (e *extractor) count(add func()) {
	e.counting.Lock()
	defer e.counting.Unlock()
	add()
	if e.Progress != nil {
		e.Progress(e.progress)
	}
}

// failed leaves alone what has been explained.
func (e *extractor) failed(path string, err error) error {
	if code := fault.CodeOf(err); code != fault.Internal {
		return err
	}
	return extractFailed(path, err)
}

// parent is the open folder that an entry goes into, and its name in it.
func (e *extractor) parent(path string) (int, string) {
	if path == "" {
		return int(e.parents[e.item].Fd()), e.Targets[e.item].Name
	}
	return e.open[len(e.open)-1].fd, path[strings.LastIndexByte(path, '/')+1:]
}

func (e *extractor) folder(parent int, name, path string, h *header) error {
	if name != "." {
		if err := unix.Mkdirat(parent, name, 0o700); err != nil {
			return err
		}
	}
	fd, err := tree.Open(parent, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	e.open = append(e.open, opened{fd, h, path})
	if path == "" {
		return tree.DropACL(fd)
	}
	return nil
}

func (e *extractor) file(parent int, name string, h *header, content next) error {
	fd, err := tree.Open(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	err = e.fill(fd, h, content)
	if err == nil {
		err = e.finish(fd, h)
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	if err == nil {
		err = setTime(parent, name, h)
	}
	return err
}

// fill writes a file; what is not stored becomes a hole.
func (e *extractor) fill(fd int, h *header, content next) error {
	for _, extent := range h.data() {
		for at := extent.Offset; at < extent.End(); {
			part, err := content(extent.End() - at)
			if err == nil {
				err = tree.WriteAt(fd, part, at)
			}
			if err != nil {
				return err
			}
			at += int64(len(part))
			e.count(func() { e.progress.Stored += int64(len(part)) })
		}
	}
	if h.sparse {
		return unix.Ftruncate(fd, h.size)
	}
	return nil
}

// finish gives an open file or folder its owner, mode and attributes, in an
// order in which none takes away another.
func (e *extractor) finish(fd int, h *header) error {
	if e.owns(h) {
		if err := unix.Fchown(fd, int(h.uid), int(h.gid)); err != nil {
			return err
		}
	}
	mode, stripped := h.mode, false
	if h.kind == file && !e.Privileged && mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		mode, stripped = mode&^(unix.S_ISUID|unix.S_ISGID), true
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return err
	}
	for _, x := range h.xattrs {
		if x.Name == tree.Capability && !e.Privileged {
			stripped = true
		} else if err := tree.SetXattr(fd, x); err != nil {
			return fmt.Errorf("%s: %w", x.Name, err)
		}
	}
	if stripped {
		e.count(func() { e.done.Stripped++ })
	}
	return nil
}

// owns says whether the owner is to be set. Only root can give files away.
func (e *extractor) owns(h *header) bool {
	if e.root {
		return true
	}
	if int(h.uid) != os.Geteuid() || int(h.gid) != os.Getegid() {
		e.count(func() { e.done.Unowned++ })
	}
	return false
}

// finishAt is [extractor.finish] for a link.
func (e *extractor) finishAt(parent int, name string, h *header) error {
	if e.owns(h) {
		if err := unix.Fchownat(parent, name, int(h.uid), int(h.gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return setTime(parent, name, h)
}

func setTime(parent int, name string, h *header) error {
	return tree.SetTime(parent, name, h.mtime.sec, h.mtime.nsec)
}

// hardlink gives another name to a file that was made before. The way to it is
// gone again from the root of the item, through folders only.
func (e *extractor) hardlink(parent int, name string, h *header) error {
	at := e.open[0].fd
	names := strings.Split(h.link, "/")[2:]
	for _, step := range names[:len(names)-1] {
		fd, err := tree.Open(at, step, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		at = fd
	}
	target := names[len(names)-1]
	stat, err := tree.Stat(at, target)
	if err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return fault.Newf(fault.Conflict, "extract into a place of its own, where nobody else writes", "%.300q is no file any more", h.link)
	}
	return unix.Linkat(at, target, parent, name, 0)
}

// leave finishes the folders that are deeper than what comes next.
func (e *extractor) leave(depth int) error {
	for len(e.open) > depth {
		last := e.open[len(e.open)-1]
		e.open = e.open[:len(e.open)-1]
		err := e.finish(last.fd, last.header)
		if closed := unix.Close(last.fd); err == nil {
			err = closed
		}
		if err == nil {
			parent, name := e.parent(last.path)
			err = setTime(parent, name, last.header)
		}
		if err != nil {
			return extractFailed(last.header.path, err)
		}
	}
	return nil
}

func (e *extractor) sync() error {
	for i, parent := range e.parents {
		if parent == nil {
			continue
		}
		if err := tree.SyncAll(int(parent.Fd())); err != nil {
			return extractFailed(e.Targets[i].Root.Name(), err)
		}
	}
	return nil
}

func (e *extractor) close() {
	for _, folder := range e.open {
		_ = unix.Close(folder.fd)
	}
	for _, parent := range e.parents {
		if parent != nil {
			_ = parent.Close()
		}
	}
}
