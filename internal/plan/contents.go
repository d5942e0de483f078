package plan

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"homelab/internal/nar"
)

// maxHashed bounds what is read of one state to hash it, in bytes.
const maxHashed = 1 << 30

// contents hashes files and folders of one state as Nix does, once it copied
// them to its store.
type contents struct {
	at      state
	root    string // of the work tree
	entries []Entry
	left    int64
}

func (a *analysis) contents(ctx context.Context, at state) (*contents, error) {
	entries, err := at.snapshot.Entries(ctx)
	return &contents{at: at, root: a.view.planner.Source.Root, entries: entries, left: maxHashed}, err
}

// hashes are the hashes that a path may have. None when there is nothing, or it
// cannot be read. A folder with a submodule has two, since Nix leaves an empty
// folder for it in a commit, and only the folder above it in a work tree with
// edits.
func (c *contents) hashes(ctx context.Context, name string) []string {
	files := c.files(ctx, name)
	edited := make([]nar.File, 0, len(files))
	submodules := 0
	for _, file := range files {
		if file.Folder {
			submodules++
			if file.Path = path.Dir(file.Path); file.Path == "." {
				continue
			}
		}
		edited = append(edited, file)
	}
	if len(files) == submodules {
		return nil
	}
	variants := [][]nar.File{files}
	if submodules > 0 {
		variants = append(variants, edited)
	}
	hashes := make([]string, 0, len(variants))
	for _, variant := range variants {
		hash, err := nar.Hash(variant)
		if err != nil {
			return nil
		}
		hashes = append(hashes, hash)
	}
	return hashes
}

// files are the tracked files at and below a path, and the empty folders in
// place of submodules.
func (c *contents) files(ctx context.Context, at string) []nar.File {
	var files []nar.File
	from := 0
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
		if file, ok := c.file(ctx, entry, name); ok {
			files = append(files, file)
		}
	}
	return files
}

func (c *contents) file(ctx context.Context, entry Entry, name string) (nar.File, bool) {
	if entry.Kind == Submodule {
		return nar.File{Path: name, Folder: true}, true
	}
	isLink, executable := entry.Kind == Link, entry.Executable
	if c.at.work {
		info, err := os.Lstat(filepath.Join(c.root, entry.Path))
		if errors.Is(err, fs.ErrNotExist) {
			return nar.File{}, false
		}
		if err == nil {
			isLink = info.Mode().Type() == fs.ModeSymlink
			executable = info.Mode().IsRegular() && info.Mode()&0o100 != 0
		}
	}
	return nar.File{
		Path: name, Link: isLink, Executable: executable,
		Read: func() ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if isLink {
				target, err := c.at.snapshot.ReadLink(ctx, entry.Path)
				return []byte(target), err
			}
			content, err := c.at.snapshot.ReadFile(ctx, entry.Path, c.left)
			c.left -= int64(len(content))
			return content, err
		},
	}, true
}
