package restic

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/hint"
)

// maxPatterns bounds what is excluded by name, in bytes: it goes on a command line.
const maxPatterns = 1 << 20

// capture is what restic is to capture. Only names, sizes and times are looked at:
// reading is left to restic, which reads what changed.
type capture struct {
	order    bundle.Order
	stage    string
	manifest *manifest
	paths    []string // of the sources
	exclude  []string // patterns for restic, each for one entry
	skipped  []bundle.Skipped
	seen     []byte // digest of all that was looked at
}

func newCapture(ctx context.Context, order bundle.Order, stage string) (*capture, error) {
	c := &capture{
		order: order, stage: stage, skipped: []bundle.Skipped{},
		manifest: &manifest{Format: formatName, Version: formatVersion, Bases: []string{}, Manifest: &bundle.Manifest{
			ID: order.ID, Created: order.Created.UTC(), Program: order.Program, About: order.About, Items: []bundle.Item{},
		}},
	}
	for _, source := range order.Sources {
		path, err := pathOf(source)
		if err != nil {
			return nil, err
		}
		item := source.Item
		item.Exclude = append([]string{}, item.Exclude...)
		c.paths = append(c.paths, path)
		c.manifest.Items = append(c.manifest.Items, item)
		c.manifest.Bases = append(c.manifest.Bases, filepath.Base(path))
	}
	totals, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, pattern := range c.exclude {
		size += len(pattern)
	}
	if size > maxPatterns {
		return nil, fault.Newf(fault.Precondition, "exclude the folders that they are in", "%d entries are excluded one by one, more than restic can be told", len(c.exclude))
	}
	for i := range totals {
		c.manifest.Items[i].Totals = totals[i]
	}
	return c, nil
}

// pathOf is where a source is, for a command that knows only paths.
func pathOf(source bundle.Source) (string, error) {
	at := source.At
	if at == "" {
		at = "."
	}
	path, err := filepath.Abs(filepath.Join(source.Root.Name(), at))
	if err != nil {
		return "", err
	}
	open, err := source.Root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.Newf(fault.NotFound, "check the name of the volume or path", "there is no %.300q in %s to capture", at, source.Root.Name())
	}
	if err != nil {
		return "", failed(path, err)
	}
	named, err := os.Lstat(path)
	if err != nil || !os.SameFile(open, named) {
		return "", changed(path)
	}
	if !open.IsDir() && !open.Mode().IsRegular() {
		return "", fault.Newf(fault.InvalidArgument, "name the folder or file itself", "%.300q is neither a folder nor a file", path)
	}
	return path, nil
}

// look goes through all sources, and tells how much each holds.
func (c *capture) look(ctx context.Context) ([]bundle.Totals, error) {
	sum := sha256.New()
	all := []bundle.Totals{}
	for i := range c.paths {
		totals, err := c.lookAt(ctx, i, sum)
		if err != nil {
			return nil, err
		}
		all = append(all, totals)
	}
	c.seen = sum.Sum(nil)
	return all, nil
}

// check fails when something is not what it was when it was looked at first.
func (c *capture) check(ctx context.Context) error {
	again := &capture{order: c.order, stage: c.stage, manifest: c.manifest, paths: c.paths}
	if _, err := again.look(ctx); err != nil {
		return err
	}
	if string(again.seen) != string(c.seen) {
		return changed(c.stage)
	}
	return nil
}

// inode identifies a file that has several names.
type inode struct{ device, number uint64 }

func (c *capture) lookAt(ctx context.Context, i int, sum hash.Hash) (t bundle.Totals, err error) {
	var exclude *hint.Matcher
	if patterns := c.manifest.Items[i].Exclude; len(patterns) > 0 {
		set, err := hint.Compile(patterns)
		if err != nil {
			return t, fault.Newf(fault.InvalidArgument, "correct it in the registry", "exclude of item %q: %w", c.manifest.Items[i].Name, err)
		}
		exclude = set.Matcher()
	}
	root := c.paths[i]
	as := filepath.Join(c.stage, itemPath(i, filepath.Base(root)))
	names := map[inode]bool{}
	var line []byte
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return failed(path, err)
		}
		below := strings.TrimPrefix(path[len(root):], "/")
		if below != "" && exclude != nil && len(exclude.Match(below)) > 0 {
			c.exclude = append(c.exclude, pattern(filepath.Join(as, below)))
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return failed(path, err)
		}
		line = append(append(line[:0], path...), 0)
		for _, n := range [...]uint64{stat.Ino, uint64(stat.Mode), uint64(stat.Size), uint64(stat.Mtim.Nano()), uint64(stat.Ctim.Nano()), uint64(stat.Rdev)} {
			line = binary.LittleEndian.AppendUint64(line, n)
		}
		sum.Write(line)
		kind := entry.Type()
		if special := kind & (fs.ModeNamedPipe | fs.ModeSocket | fs.ModeDevice | fs.ModeCharDevice | fs.ModeIrregular); special != 0 {
			c.exclude = append(c.exclude, pattern(filepath.Join(as, below)))
			c.skip(itemPath(i, below), special)
			t.Skipped++
			return nil
		}
		t.Entries++
		id := inode{uint64(stat.Dev), stat.Ino}
		if kind.IsRegular() && !names[id] {
			if stat.Nlink > 1 {
				names[id] = true
			}
			t.Bytes += stat.Size
			t.Stored += min(stat.Size, stat.Blocks*512)
		}
		return nil
	})
	return t, err
}

const maxSkipped = 1000 // as in a bundle

func (c *capture) skip(path string, kind fs.FileMode) {
	if len(c.skipped) == maxSkipped {
		return
	}
	name := "device"
	switch {
	case kind&fs.ModeNamedPipe != 0:
		name = "fifo"
	case kind&fs.ModeSocket != 0:
		name = "socket"
	}
	c.skipped = append(c.skipped, bundle.Skipped{Path: path, Type: name})
}

// pattern is a path for restic, which reads it as a pattern.
func pattern(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func changed(path string) error {
	return fault.Newf(fault.Conflict, "freeze what writes there, or capture a copy, then call again", "%.300q changed while it was captured", path)
}

func failed(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return changed(path)
	case errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.Denied, "run it as root", "%.300q cannot be captured: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is on", "%.300q cannot be captured: %w", path, err)
}
