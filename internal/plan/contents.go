package plan

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"homelab/internal/nar"
)

// maxHashed bounds what is read of one state to hash it, in bytes.
const maxHashed = 1 << 30

// contents hashes files and folders of one state as Nix does, once it copied
// them to its store. Submodules are left out, as Nix does unless asked.
type contents struct {
	at      state
	root    string // of the work tree
	entries []Entry
	left    int64
}

func (a *analysis) contents(ctx context.Context, at state) (*contents, error) {
	entries, err := at.snapshot.Entries(ctx)
	return &contents{at, a.view.planner.Source.Root, entries, maxHashed}, err
}

// hashes are the hashes that a path may have: one, or two for a file of a
// commit, since it is not told whether that was executable. None when there is
// nothing, or it cannot be read.
func (c *contents) hashes(ctx context.Context, path string) []string {
	files := c.files(ctx, path)
	if len(files) == 0 {
		return nil
	}
	hash, err := nar.Hash(files)
	if err != nil {
		return nil
	}
	if len(files) > 1 || c.at.work || files[0].Path != "" {
		return []string{hash}
	}
	files[0].Executable = !files[0].Executable
	other, err := nar.Hash(files)
	if err != nil {
		return nil
	}
	return []string{hash, other}
}

// files are the tracked files at and below a path.
func (c *contents) files(ctx context.Context, path string) []nar.File {
	var files []nar.File
	from := 0
	if path != "" {
		from, _ = slices.BinarySearchFunc(c.entries, path, func(e Entry, p string) int { return strings.Compare(e.Path, p) })
	}
	for _, entry := range c.entries[from:] {
		name := entry.Path
		if path != "" {
			rest, below := strings.CutPrefix(name, path)
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
	// Of a commit the executable bits are not told: those of now are likely.
	info, err := os.Lstat(filepath.Join(c.root, entry.Path))
	if c.at.work && errors.Is(err, fs.ErrNotExist) || entry.Kind == Submodule {
		return nar.File{}, false
	}
	isLink := entry.Kind == Link
	if c.at.work && err == nil {
		isLink = info.Mode().Type() == fs.ModeSymlink
	}
	return nar.File{
		Path: name, Link: isLink, Executable: err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0,
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
