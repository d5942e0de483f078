package gitrepo

import (
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"homelab/internal/plan"
)

// leaf is a file, link or submodule of a tree or of the index.
type leaf struct {
	path string
	mode filemode.FileMode
	hash plumbing.Hash
}

// diff collects changes while two trees are walked together.
type diff struct {
	objects *objects
	changes []plan.Change
}

func (d *diff) added(l leaf) {
	d.changes = append(d.changes, plan.Change{Path: l.path, Status: plan.Added, New: kindOf(l.mode), Blob: l.hash.String()})
}

func (d *diff) deleted(l leaf) {
	d.changes = append(d.changes, plan.Change{Path: l.path, Status: plan.Deleted, Old: kindOf(l.mode)})
}

func (d *diff) differs(old, new leaf) {
	d.changes = append(d.changes, plan.Change{
		Path: new.path, Status: statusOf(old.mode, new.mode),
		Old: kindOf(old.mode), New: kindOf(new.mode), Blob: new.hash.String(),
	})
}

// diffTrees lists what differs between two trees. It descends only where the
// ids differ, so its cost follows the change and not the repository.
func (o *objects) diffTrees(base, head plumbing.Hash) ([]plan.Change, error) {
	d := &diff{objects: o}
	if err := d.trees("", base, head); err != nil {
		return nil, err
	}
	return d.changes, nil
}

func (d *diff) trees(prefix string, base, head plumbing.Hash) error {
	if base == head {
		return nil
	}
	old, err := d.objects.tree(base)
	if err != nil {
		return err
	}
	new, err := d.objects.tree(head)
	if err != nil {
		return err
	}
	for len(old) > 0 || len(new) > 0 {
		switch order := compareHeads(old, new); {
		case order < 0:
			if err := d.each(prefix, old[0], d.deleted); err != nil {
				return err
			}
			old = old[1:]
		case order > 0:
			if err := d.each(prefix, new[0], d.added); err != nil {
				return err
			}
			new = new[1:]
		default:
			was, is := old[0], new[0]
			old, new = old[1:], new[1:]
			if was.mode == filemode.Dir {
				if err := d.trees(prefix+was.name+"/", was.hash, is.hash); err != nil {
					return err
				}
			} else if was.hash != is.hash || was.mode != is.mode {
				path := prefix + is.name
				d.differs(leaf{path, was.mode, was.hash}, leaf{path, is.mode, is.hash})
			}
		}
	}
	return nil
}

// each calls visit for every leaf at or below an entry.
func (d *diff) each(prefix string, entry treeEntry, visit func(leaf)) error {
	return d.objects.walk(prefix, entry, func(l leaf) error { visit(l); return nil })
}

func (o *objects) walk(prefix string, entry treeEntry, visit func(leaf) error) error {
	path := prefix + entry.name
	if entry.mode != filemode.Dir {
		return visit(leaf{path, entry.mode, entry.hash})
	}
	return o.walkTree(path+"/", entry.hash, visit)
}

// walkTree visits every leaf below a tree, in git's order.
func (o *objects) walkTree(prefix string, tree plumbing.Hash, visit func(leaf) error) error {
	entries, err := o.tree(tree)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := o.walk(prefix, entry, visit); err != nil {
			return err
		}
	}
	return nil
}

// lookup finds one path in a tree.
func (o *objects) lookup(tree plumbing.Hash, path string) (leaf, bool, error) {
	at := treeEntry{mode: filemode.Dir, hash: tree}
	for name, rest := range components(path) {
		entries, err := o.tree(at.hash)
		if err != nil {
			return leaf{}, false, err
		}
		found := false
		for _, entry := range entries {
			if entry.name == name {
				at, found = entry, true
				break
			}
		}
		if !found || (rest && at.mode != filemode.Dir) {
			return leaf{}, false, nil
		}
	}
	return leaf{path, at.mode, at.hash}, at.mode != filemode.Dir, nil
}

// compareHeads orders the first entries of two trees the way git sorts trees: a
// folder counts as its name with a slash. A file and a folder of one name are
// therefore two entries.
func compareHeads(a, b []treeEntry) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compareNames(a[0].name, a[0].mode == filemode.Dir, b[0].name, b[0].mode == filemode.Dir)
}

func compareNames(a string, aDir bool, b string, bDir bool) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	at := func(s string, dir bool) int {
		switch {
		case len(s) > n:
			return int(s[n])
		case dir:
			return '/'
		}
		return -1
	}
	if order := at(a, aDir) - at(b, bDir); order != 0 || len(a) == len(b) {
		return order
	}
	// Only a name that contains a slash could get here; git has none.
	return len(a) - len(b)
}
