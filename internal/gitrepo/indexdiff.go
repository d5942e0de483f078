package gitrepo

import (
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"homelab/internal/plan"
)

// diffIndex lists what differs between a tree and the index. Folders that the
// cache tree knows to equal the tree's are not entered, as in git itself.
func (o *objects) diffIndex(base plumbing.Hash, ix *index) ([]plan.Change, error) {
	d := &indexDiff{diff: diff{objects: o}, entries: ix.entries}
	if err := d.folder("", base, 0, len(ix.entries), ix.cacheTree); err != nil {
		return nil, err
	}
	return d.changes, nil
}

type indexDiff struct {
	diff
	entries []indexEntry
}

// folder compares the tree of one folder with entries[lo:hi], which are all the
// entries below it.
func (d *indexDiff) folder(prefix string, tree plumbing.Hash, lo, hi int, known *cacheTree) error {
	if known != nil && known.count >= 0 && known.hash == tree {
		return nil
	}
	old, err := d.objects.tree(tree)
	if err != nil {
		return err
	}
	for len(old) > 0 || lo < hi {
		name, isDir, end := "", false, lo
		if lo < hi {
			name, isDir = cutComponent(d.entries[lo].path[len(prefix):])
			end = lo + 1
			if isDir {
				end = below(d.entries, lo, hi, prefix+name+"/")
			}
		}
		order := 0
		switch {
		case len(old) == 0:
			order = 1
		case lo == hi:
			order = -1
		default:
			order = compareNames(old[0].name, old[0].mode == filemode.Dir, name, isDir)
		}
		switch {
		case order < 0:
			if err := d.each(prefix, old[0], d.deleted); err != nil {
				return err
			}
			old = old[1:]
		case order > 0:
			for ; lo < end; lo++ {
				d.added(d.entries[lo].leaf)
			}
		case isDir:
			if err := d.folder(prefix+name+"/", old[0].hash, lo, end, known.child(name)); err != nil {
				return err
			}
			old, lo = old[1:], end
		default:
			if was, is := old[0], d.entries[lo].leaf; was.hash != is.hash || was.mode != is.mode {
				d.differs(leaf{is.path, was.mode, was.hash}, is)
			}
			old, lo = old[1:], end
		}
	}
	return nil
}

// cutComponent returns the first component of a path, and whether there is more.
func cutComponent(path string) (name string, more bool) {
	name, _, more = strings.Cut(path, "/")
	return name, more
}

// components yields the components of a path, each with whether more follow.
func components(path string) func(func(string, bool) bool) {
	return func(yield func(string, bool) bool) {
		for path != "" {
			name, rest, more := strings.Cut(path, "/")
			if !yield(name, more) {
				return
			}
			path = rest
		}
	}
}
