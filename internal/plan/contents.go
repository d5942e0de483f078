package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/nar"
)

// What is read of one state is bounded, in bytes; a file of a commit is held whole.
const (
	maxHashed = 1 << 30
	maxHeld   = 128 << 20
)

var (
	// errTooMuch says that what is left of the bound does not suffice.
	errTooMuch = errors.New("there is more than 1 GiB to read, or a file of a commit with more than 128 MiB")
	// errLarger says that something is larger than all that is wanted.
	errLarger = errors.New("larger than any source")
)

// wanted are the sources that are looked for: their NAR sizes, by hash.
type wanted map[string]int64

func (w wanted) note(sources []StoreSource) {
	for _, source := range sources {
		w[source.NarHash] = source.NarSize
	}
}

func (w wanted) hasSize(size int64) bool {
	for _, s := range w {
		if s == size {
			return true
		}
	}
	return false
}

func (w wanted) largest() int64 {
	largest := int64(0)
	for _, s := range w {
		largest = max(largest, s)
	}
	return largest
}

// contents finds files and folders of one state that are equal to sources, by
// hashing them as Nix does once it copied them to its store. Only what has the
// size of a source is hashed.
type contents struct {
	at      state
	root    string // of the work tree
	entries []Entry
	wanted  wanted
	largest int64 // of the wanted
	left    int64 // bytes that may still be read
	known   map[string]looked
	last    lastRead
}

// looked is what was found at a path; no file: nothing is there.
type looked struct {
	file *nar.File // without its path
	err  error
}

// lastRead is the file of a commit that was read last.
type lastRead struct {
	path    string
	content []byte
}

func (a *analysis) contents(ctx context.Context, at state, w wanted) (*contents, error) {
	entries, err := at.snapshot.Entries(ctx)
	return &contents{
		at: at, root: a.view.planner.Source.Root, entries: entries,
		wanted: w, largest: w.largest(), left: maxHashed, known: map[string]looked{},
	}, err
}

// equal are the hashes of the wanted sources that a path is equal to; none when
// nothing is there. An error says that this cannot be told. A folder with a
// submodule is several things: Nix 2.8 leaves an empty folder for it in a commit,
// and only the folder above it in a work tree with edits; 2.26 leaves nothing.
func (c *contents) equal(ctx context.Context, name string) (hashes []string, err error) {
	files, err := c.files(ctx, name)
	if errors.Is(err, errLarger) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	edited, newer := make([]nar.File, 0, len(files)), make([]nar.File, 0, len(files))
	submodules := 0
	for _, file := range files {
		if !file.Folder {
			newer = append(newer, file)
		} else {
			submodules++
			if file.Path = path.Dir(file.Path); file.Path == "." {
				continue
			}
		}
		edited = append(edited, file)
	}
	if len(files) == submodules {
		return nil, nil
	}
	variants := [][]nar.File{files}
	if submodules > 0 {
		variants = append(variants, edited, newer)
	}
	for _, variant := range variants {
		if !c.wanted.hasSize(nar.Size(variant)) {
			continue
		}
		hash, err := nar.Hash(variant)
		if err != nil {
			return nil, err
		}
		if _, ok := c.wanted[hash]; ok {
			hashes = append(hashes, hash)
		}
	}
	return hashes, nil
}

// files are the tracked files at and below a path, and the empty folders in
// place of submodules. It fails with errLarger as soon as they are.
func (c *contents) files(ctx context.Context, at string) ([]nar.File, error) {
	var files []nar.File
	from, size := 0, int64(0)
	if at != "" {
		from, _ = slices.BinarySearchFunc(c.entries, at, func(e Entry, p string) int { return strings.Compare(e.Path, p) })
	}
	for _, entry := range c.entries[from:] {
		name := entry.Path
		if at != "" {
			rest, below := strings.CutPrefix(name, at)
			if !below {
				break
			}
			if rest != "" && rest[0] != '/' {
				continue // a.b is between a and a/b
			}
			name = strings.TrimPrefix(rest, "/")
		}
		file, err := c.file(ctx, entry)
		if err != nil {
			return nil, err
		}
		if file == nil {
			continue
		}
		if size += file.Size; size > c.largest {
			return nil, errLarger
		}
		with := *file
		with.Path = name
		files = append(files, with)
	}
	return files, nil
}

// file is what is at an entry, looked at once; nil when it is gone.
func (c *contents) file(ctx context.Context, entry Entry) (*nar.File, error) {
	found, ok := c.known[entry.Path]
	if !ok {
		found.file, found.err = c.look(ctx, entry)
		c.known[entry.Path] = found
	}
	return found.file, found.err
}

func (c *contents) look(ctx context.Context, entry Entry) (*nar.File, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case entry.Kind == Submodule:
		return &nar.File{Folder: true}, nil
	case c.at.work:
		return c.lookOnDisk(ctx, entry.Path)
	case entry.Kind == Link:
		return c.link(ctx, entry.Path)
	}
	content, err := c.read(ctx, entry.Path)
	if err != nil {
		return nil, err
	}
	return &nar.File{
		Executable: entry.Executable, Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) {
			content, err := c.read(ctx, entry.Path)
			return io.NopCloser(bytes.NewReader(content)), err
		},
	}, nil
}

// lookOnDisk is a file of the work tree, which is read in pieces.
func (c *contents) lookOnDisk(ctx context.Context, name string) (*nar.File, error) {
	full := filepath.Join(c.root, name)
	info, err := os.Lstat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Mode().Type() == fs.ModeSymlink:
		return c.link(ctx, name)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is not a file", name)
	}
	return &nar.File{
		Executable: info.Mode()&0o100 != 0, Size: info.Size(),
		Open: func() (io.ReadCloser, error) {
			if info.Size() > c.left {
				return nil, errTooMuch
			}
			c.left -= info.Size()
			file, err := os.Open(full)
			return cancelable{file, ctx}, err
		},
	}, nil
}

// cancelable is a file that is read until the context ends.
type cancelable struct {
	*os.File
	ctx context.Context
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.File.Read(p)
}

func (c *contents) link(ctx context.Context, name string) (*nar.File, error) {
	target, err := c.at.snapshot.ReadLink(ctx, name)
	return &nar.File{
		Link: true, Size: int64(len(target)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(target)), nil },
	}, err
}

// read is the content of a file of a commit, which tells no size before it is
// read: errLarger when it cannot be one of the wanted, nor in one.
func (c *contents) read(ctx context.Context, name string) ([]byte, error) {
	if c.last.path == name {
		return c.last.content, nil
	}
	c.last = lastRead{}
	most := min(c.left, maxHeld)
	content, err := c.at.snapshot.ReadFile(ctx, name, min(most, c.largest))
	switch tooLong := fault.CodeOf(err) == fault.InvalidArgument; {
	case tooLong && c.largest <= most:
		return nil, errLarger
	case tooLong:
		return nil, errTooMuch
	case err != nil:
		return nil, err
	}
	c.left -= int64(len(content))
	c.last = lastRead{name, content}
	return content, nil
}
