package bundle

import (
	"context"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/hint"
	"homelab/internal/tree"
)

// node is a folder, a file or a link that is captured.
type node struct {
	folder int // the folder it is in, open
	name   string
	path   string // in the bundle
	kind   kind
	stat   *unix.Stat_t
	link   string // of a hard link the path of the file it is another name of
	open   int    // of a folder: itself
}

// inode identifies a file that has several names.
type inode struct{ device, number uint64 }

// walker goes through an item in the order of a bundle. It opens each name in
// its folder and follows no link.
type walker struct {
	ctx     context.Context
	exclude *hint.Matcher // nil: nothing
	visit   func(node) error
	skip    func(Skipped)

	base  int              // length of the item's path with a slash
	names map[inode]string // of files that have several: the first one
}

// walk visits an item. Its Root and Name are those of [Source].
func (w *walker) walk(root *os.Root, name, path string) error {
	w.base, w.names = len(path)+1, map[inode]string{}
	parent, err := root.Open(".")
	if err != nil {
		return captureFailed(path, err)
	}
	defer parent.Close()
	fd := int(parent.Fd())
	stat, err := tree.Stat(fd, name)
	if err == unix.ENOENT {
		return fault.Newf(fault.NotFound, "check the name of the volume or path", "there is no %.300q in %s to capture", name, root.Name())
	}
	if err != nil {
		return captureFailed(path, err)
	}
	if t := stat.Mode & unix.S_IFMT; t != unix.S_IFDIR && t != unix.S_IFREG {
		return fault.Newf(fault.InvalidArgument, "name the folder or file itself", "%.300q of %s is neither a folder nor a file", name, root.Name())
	}
	return w.node(fd, name, path, stat)
}

func (w *walker) node(folderFD int, name, path string, stat *unix.Stat_t) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := checkPath(path); err != nil {
		return fault.Newf(fault.Precondition, "exclude it, or move it", "a bundle cannot hold it: %w", err)
	}
	n := node{folder: folderFD, name: name, path: path, stat: stat}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		n.kind = folder
		return w.folder(n)
	case unix.S_IFLNK:
		n.kind = symlink
	case unix.S_IFREG:
		n.kind = file
		if stat.Nlink > 1 {
			id := inode{uint64(stat.Dev), stat.Ino}
			if first, known := w.names[id]; known {
				n.kind, n.link = hardlink, first
			} else {
				w.names[id] = path
			}
		}
	case unix.S_IFIFO:
		w.skip(Skipped{path, "fifo"})
		return nil
	case unix.S_IFSOCK:
		w.skip(Skipped{path, "socket"})
		return nil
	default:
		w.skip(Skipped{path, "device"})
		return nil
	}
	return w.visit(n)
}

// folder visits a folder and what is in it. When an entry comes, goes or is
// replaced meanwhile, its times change.
func (w *walker) folder(n node) error {
	fd, err := tree.Open(n.folder, n.name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return captureFailed(n.path, err)
	}
	f := os.NewFile(uintptr(fd), n.path)
	defer f.Close()
	n.open = fd
	if err := unchanged(n, fd); err != nil {
		return err
	}
	if err := w.visit(n); err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return captureFailed(n.path, err)
	}
	slices.Sort(names)
	for _, name := range names {
		path := n.path + "/" + name
		if w.exclude != nil && len(w.exclude.Match(path[w.base:])) > 0 {
			continue
		}
		stat, err := tree.Stat(fd, name)
		if err != nil {
			return captureFailed(path, err)
		}
		if err := w.node(fd, name, path, stat); err != nil {
			return err
		}
	}
	return unchanged(n, fd)
}

// unchanged fails when what is open is not what the walk saw.
func unchanged(n node, fd int) error {
	now, err := tree.StatOpen(fd)
	if err != nil {
		return captureFailed(n.path, err)
	}
	saw := n.stat
	if now.Dev != saw.Dev || now.Ino != saw.Ino || now.Mode != saw.Mode || now.Size != saw.Size || now.Mtim != saw.Mtim || now.Ctim != saw.Ctim {
		return changed(n.path)
	}
	return nil
}

// extentsOf lists what of a file holds data, as far as a bundle can tell.
func extentsOf(fd int, stat *unix.Stat_t) (extents []tree.Extent, sparse bool, err error) {
	extents, sparse, err = tree.Extents(fd, stat)
	return thin(extents), sparse, err
}

// thin stores the smallest holes when there are more than a bundle can tell of.
func thin(extents []tree.Extent) []tree.Extent {
	for least := int64(8 << 10); len(extents) > maxExtents; least *= 2 {
		kept := extents[:1]
		for _, e := range extents[1:] {
			if last := &kept[len(kept)-1]; e.Offset-last.End() < least {
				last.Length = e.End() - last.Offset
			} else {
				kept = append(kept, e)
			}
		}
		extents = kept
	}
	return extents
}
