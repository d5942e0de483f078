package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"homelab/internal/plan"
)

// objects reads commits and trees in process. Objects never change, so the
// trees it has parsed are kept, up to a bound.
type objects struct {
	mu      sync.Mutex // the storer is not safe for concurrent reads
	dir     string
	storer  *filesystem.Storage
	commits map[plumbing.Hash]plumbing.Hash // to their trees
	trees   map[plumbing.Hash][]treeEntry
	kept    int // entries in trees
}

// treeEntry is one line of a tree object.
type treeEntry struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}

const (
	maxKeptCommits = 10_000
	maxKeptEntries = 400_000  // about 40 MB
	objectCacheLRU = 8 << 20  // bytes; delta bases, mostly
	maxTreeObject  = 64 << 20 // bytes
)

func openObjects(commonDir string) *objects {
	fs := osfs.New(commonDir, osfs.WithBoundOS())
	lru := cache.NewObjectLRU(objectCacheLRU)
	return &objects{
		dir:     commonDir,
		storer:  filesystem.NewStorageWithOptions(fs, lru, filesystem.Options{}),
		commits: map[plumbing.Hash]plumbing.Hash{},
		trees:   map[plumbing.Hash][]treeEntry{},
	}
}

// read returns the content of an object. Packs that came after the storer was
// opened (fetch, gc) are found on a second look.
func (o *objects) read(kind plumbing.ObjectType, hash plumbing.Hash, most int64) ([]byte, error) {
	object, err := o.find(kind, hash, most)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		o.storer.Reindex()
		object, err = o.find(kind, hash, most)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, hash, err)
	}
	reader, err := object.Reader()
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(reader)
	return content, errors.Join(err, reader.Close())
}

// find reads an object of at most most bytes into memory. Blobs alone are large on
// purpose: the size of one is asked for first.
func (o *objects) find(kind plumbing.ObjectType, hash plumbing.Hash, most int64) (object plumbing.EncodedObject, err error) {
	size := int64(0)
	if kind == plumbing.BlobObject {
		if size, err = o.storer.EncodedObjectSize(hash); err != nil {
			return nil, err
		}
	}
	if size <= most {
		if object, err = o.storer.EncodedObject(kind, hash); err != nil {
			return nil, err
		}
		size = object.Size()
	}
	if size > most {
		return nil, fmt.Errorf("it has %d bytes, more than %d", size, most)
	}
	return object, nil
}

// commitTree is the tree of a commit.
func (o *objects) commitTree(commit plumbing.Hash) (plumbing.Hash, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.commits[commit]; ok {
		return known, nil
	}
	tree, ok := packedTree(o.dir, commit)
	if !ok {
		raw, err := o.read(plumbing.CommitObject, commit, maxTreeObject)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		line, _, _ := bytes.Cut(raw, []byte("\n"))
		id, named := bytes.CutPrefix(line, []byte("tree "))
		if !named || !plumbing.IsHash(string(id)) {
			return plumbing.ZeroHash, fmt.Errorf("commit %s names no tree", commit)
		}
		tree = plumbing.NewHash(string(id))
	}
	if len(o.commits) >= maxKeptCommits {
		clear(o.commits)
	}
	o.commits[commit] = tree
	return tree, nil
}

// blob returns the content of a blob of at most most bytes.
func (o *objects) blob(hash plumbing.Hash, most int64) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.read(plumbing.BlobObject, hash, most)
}

// tree returns the entries of a tree, in git's order. The zero hash is the
// empty tree. The caller must not change them.
func (o *objects) tree(hash plumbing.Hash) ([]treeEntry, error) {
	if hash.IsZero() {
		return nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if entries, ok := o.trees[hash]; ok {
		return entries, nil
	}
	raw, err := o.read(plumbing.TreeObject, hash, maxTreeObject)
	if err != nil {
		return nil, err
	}
	entries, err := parseTree(raw)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", hash, err)
	}
	if o.kept += len(entries); o.kept > maxKeptEntries {
		clear(o.trees)
		o.kept = len(entries)
	}
	o.trees[hash] = entries
	return entries, nil
}

// parseTree reads the lines of a tree object: mode, space, name, NUL, hash.
func parseTree(raw []byte) ([]treeEntry, error) {
	text := string(raw) // names are cut out of this one string
	entries := make([]treeEntry, 0, len(text)/40)
	for at := 0; at < len(text); {
		entry := treeEntry{}
		for ; at < len(text) && text[at] != ' '; at++ {
			if text[at] < '0' || text[at] > '7' {
				return nil, errors.New("malformed mode")
			}
			entry.mode = entry.mode<<3 | filemode.FileMode(text[at]-'0')
		}
		start := at + 1
		for at = start; at < len(text) && text[at] != 0; at++ {
		}
		if start >= len(text) || at+1+len(entry.hash) > len(text) {
			return nil, errors.New("cut short")
		}
		entry.name = text[start:at]
		at++
		copy(entry.hash[:], raw[at:])
		at += len(entry.hash)
		entry.mode = canonical(entry.mode)
		entries = append(entries, entry)
	}
	return entries, nil
}

// canonical is the mode git compares: group-writable files of old repositories
// are plain files.
func canonical(mode filemode.FileMode) filemode.FileMode {
	const kinds, executable = 0o170000, 0o100
	if mode&kinds == 0o100000 {
		if mode&executable != 0 {
			return filemode.Executable
		}
		return filemode.Regular
	}
	return mode & kinds
}

func kindOf(mode filemode.FileMode) plan.Kind {
	switch mode {
	case filemode.Symlink:
		return plan.Link
	case filemode.Submodule:
		return plan.Submodule
	case filemode.Regular, filemode.Executable:
		return plan.Regular
	}
	return plan.NoKind
}

// entryOf is a path as the planner lists it.
func entryOf(path string, mode filemode.FileMode) plan.Entry {
	return plan.Entry{Path: path, Kind: kindOf(mode), Executable: mode == filemode.Executable}
}

// statusOf is the letter for a path that has two different versions.
func statusOf(old, new filemode.FileMode) plan.Status {
	if kindOf(old) != kindOf(new) {
		return plan.TypeChanged
	}
	return plan.Modified
}
