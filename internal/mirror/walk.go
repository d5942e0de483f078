package mirror

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/tree"
)

// dir is a folder that the walk is in.
type dir struct {
	up    *dir
	fd    int    // only for the walk
	name  string // as the sink knows it: empty for the tree itself
	path  string // in the tree
	depth int
	fresh bool // the sink has none yet

	entered bool // the sink is in it; only for steps
}

// walk makes the steps of the whole tree.
func (p *pass) walk() error {
	fd := int(p.parent.Fd())
	stat, err := tree.Stat(fd, p.name)
	if err == unix.ENOENT {
		return fault.Newf(fault.NotFound, "check the name of the volume or path", "there is no %.300q in %s to copy", p.name, p.parent.Name())
	}
	if err != nil {
		return readFailed(p.name, err)
	}
	kind := uint32(stat.Mode) & unix.S_IFMT
	if kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return fault.Newf(fault.InvalidArgument, "name the folder or file itself", "%.300q of %s is neither a folder nor a file", p.name, p.parent.Name())
	}
	if p.top != nil && p.top.stamp.kind() != kind {
		return fault.Newf(fault.Conflict, cutHint, "%.300q of %s is another kind of thing than it was", p.name, p.parent.Name())
	}
	top, err := p.entry(&dir{fd: fd, entered: true}, p.top, p.name, stat)
	p.Source.top = top
	if err == nil && top == nil {
		err = fault.Newf(fault.Conflict, "call again", "%.300q of %s was replaced while it was copied", p.name, p.parent.Name())
	}
	return err
}

// entry copies an entry, of which the sink has old, and returns what the sink
// has then; nil is nothing.
func (p *pass) entry(in *dir, old *node, name string, stat *unix.Stat_t) (*node, error) {
	if err := p.ctx.Err(); err != nil {
		return old, err
	}
	e := &entry{pass: p, in: in, old: old, source: name, name: name, path: join(in.path, name), stat: stat}
	if in.up == nil {
		e.name, e.path = "", ""
	}
	if in.depth > maxDepth || len(e.path) > maxPath {
		return old, tooDeep(e.path)
	}
	kind := uint32(stat.Mode) & unix.S_IFMT
	if old != nil && old.stamp.kind() != kind {
		e.remove()
	}
	var n *node
	var err error
	switch kind {
	case unix.S_IFDIR:
		n, err = e.folder()
	case unix.S_IFREG:
		n, err = e.file()
	case unix.S_IFLNK:
		n, err = e.symlink()
	default:
		p.skip(e.path, kind)
		return nil, nil
	}
	if err == errMoved {
		if p.final {
			return e.old, changed(shown(e.path))
		}
		p.report.Unsettled++
		if e.old != nil {
			e.old.sure = 0
		}
		return e.old, nil
	}
	p.report.Entries++
	return n, err
}

func (p *pass) skip(path string, kind uint32) {
	if p.report.Skipped++; p.report.Skipped <= maxSkipped {
		name := "device"
		switch kind {
		case unix.S_IFIFO:
			name = "fifo"
		case unix.S_IFSOCK:
			name = "socket"
		}
		p.report.Noted = append(p.report.Noted, Skipped{path, name})
	}
}

// errMoved is an entry that is not any more what it was when it was looked at.
var errMoved = fault.New(fault.Conflict, "an entry moved", "")

// entry is an entry of a pass.
type entry struct {
	*pass
	in     *dir
	old    *node
	source string // its name
	name   string // as the sink knows it
	path   string
	stat   *unix.Stat_t
}

// failed tells what moved from what cannot be read.
func (e *entry) failed(err error) error {
	if moved(err) {
		return errMoved
	}
	return readFailed(shown(e.path), err)
}

// remove takes away what the sink has.
func (e *entry) remove() {
	e.old.forget()
	e.old = nil
	in, name := e.in, e.name
	e.then(func() error { return e.at(in, frameRemove, []byte(name)) })
}

// at writes a message about something in a folder.
func (p *pass) at(in *dir, kind frame, parts ...[]byte) error {
	if err := p.enter(in); err != nil {
		return err
	}
	return p.out.put(kind, parts...)
}

// enter has the sink go to a folder.
func (p *pass) enter(d *dir) error {
	if d.entered {
		return nil
	}
	d.entered = true
	kind := frameEnter
	if d.fresh {
		kind = frameFolder
	}
	return p.at(d.up, kind, []byte(d.name))
}

func (e *entry) folder() (*node, error) {
	fd, err := tree.Open(e.in.fd, e.source, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, e.failed(err)
	}
	f := os.NewFile(uintptr(fd), e.path)
	defer f.Close()
	d := &dir{up: e.in, fd: fd, name: e.name, path: e.path, depth: e.in.depth + 1, fresh: e.old == nil}
	before, err := tree.StatOpen(fd)
	if err != nil {
		return nil, e.failed(err)
	}
	xattrs, err := e.xattrs(fd)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, e.failed(err)
	}
	slices.Sort(names)
	n := e.old
	if n == nil {
		n = &node{name: e.source, below: new([]*node)}
		e.then(func() error { return e.enter(d) })
	}
	if err := e.inFolder(d, n, names); err != nil {
		return n, err
	}
	after, err := tree.StatOpen(fd)
	if err != nil {
		return n, readFailed(shown(e.path), err)
	}
	if stampOf(after) != stampOf(e.stat) {
		if e.final {
			return n, changed(shown(e.path))
		}
		e.report.Unsettled++
	}
	head := headOf(before, xattrs).encode()
	sum := digestOf(head)
	e.then(func() error {
		if !d.entered && sum == n.head {
			return nil
		}
		n.head = sum
		return e.at(d, frameLeave, head)
	})
	n.stamp = stampOf(before)
	return n, nil
}

// inFolder goes through the names of a folder, and those that it had.
func (e *entry) inFolder(d *dir, n *node, names []string) error {
	had := *n.below
	has := make([]*node, 0, len(names))
	gone := func(old *node) {
		o := &entry{pass: e.pass, in: d, old: old, name: old.name}
		o.remove()
	}
	for _, name := range names {
		for len(had) > 0 && had[0].name < name {
			gone(had[0])
			had = had[1:]
		}
		var old *node
		if len(had) > 0 && had[0].name == name {
			old, had = had[0], had[1:]
		}
		if e.matcher != nil && len(e.matcher.Match(join(d.path, name))) > 0 {
			continue
		}
		stat, err := tree.Stat(d.fd, name)
		switch {
		case err == unix.ENOENT && !e.final:
			e.report.Unsettled++
			if old != nil {
				gone(old)
			}
			continue
		case err == unix.ENOENT:
			return changed(join(d.path, name))
		case err != nil:
			return readFailed(join(d.path, name), err)
		}
		now, err := e.entry(d, old, name, stat)
		if err != nil {
			return err
		}
		if now != nil {
			has = append(has, now)
		}
	}
	for _, old := range had {
		gone(old)
	}
	if !slices.Equal(has, *n.below) {
		*n.below = slices.Clip(has)
	}
	return nil
}

// xattrs reads the attributes of what is open.
func (e *entry) xattrs(fd int) ([]tree.Xattr, error) {
	xattrs, err := tree.Xattrs(fd)
	if err != nil {
		return nil, e.failed(err)
	}
	size := 0
	for _, x := range xattrs {
		size += len(x.Name) + len(x.Value) + 8
	}
	if size > maxRecords {
		return nil, fault.Newf(fault.Precondition, "exclude it", "%.300q has too many attributes for a copy", shown(e.path))
	}
	return xattrs, nil
}

func (e *entry) symlink() (*node, error) {
	target, err := tree.ReadLink(e.in.fd, e.source)
	if err != nil {
		return nil, e.failed(err)
	}
	head := headOf(e.stat, nil).encode()
	sum := digestOf(head, []byte(target))
	if e.old != nil && e.old.head != sum {
		e.remove()
	}
	n := e.old
	if n == nil {
		n = &node{name: e.source, head: sum}
		e.then(func() error {
			return e.at(e.in, frameSymlink, appendText(nil, e.name), head, []byte(target))
		})
	}
	n.stamp = stampOf(e.stat)
	return n, nil
}

// hardlink is another name of a file that was copied before.
func (e *entry) hardlink(first placed) *node {
	if e.old != nil && e.old.file != first.content {
		e.remove()
	}
	n := e.old
	if n == nil {
		n = &node{name: e.source, file: first.content}
		n.file.names++
		e.then(func() error {
			return e.at(e.in, frameLink, appendText(nil, e.name), []byte(first.path))
		})
	}
	// What it is remembered by is with its first name.
	n.stamp, n.sure = stampOf(e.stat), 0
	return n
}
