package restic

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/tree"
)

// Extract has restic restore each item into a folder that only this user can enter,
// beside its target. What came is looked through, stripped of what a bundle does not
// bring, and then moved: nothing is written over.
func (b *snapshotBundle) Extract(ctx context.Context, x bundle.Extraction) (*bundle.Extracted, error) {
	done := &bundle.Extracted{Report: bundle.Report{Skipped: []bundle.Skipped{}}}
	if len(x.Targets) != len(b.manifest.Items) {
		return done, fault.Newf(fault.InvalidArgument, "", "%d targets for %d items", len(x.Targets), len(b.manifest.Items))
	}
	for _, target := range x.Targets {
		if err := free(target); err != nil {
			return done, err
		}
	}
	for i, target := range x.Targets {
		if target.Root == nil {
			continue
		}
		if err := b.extract(ctx, i, x, done); err != nil {
			return done, err
		}
	}
	if x.Sync {
		unix.Sync()
	}
	done.Report = b.report()
	return done, nil
}

// free fails unless a target can be made.
func free(target bundle.Target) error {
	switch {
	case target.Root == nil:
		return nil
	case target.Name == ".":
		folder, err := target.Root.Open(".")
		if err != nil {
			return notExtracted(target, err)
		}
		defer folder.Close()
		if names, err := folder.Readdirnames(1); err == nil {
			return fault.Newf(fault.Conflict, "extract into an empty folder", "%s is not empty: %q is in it", target.Root.Name(), names[0])
		} else if err != io.EOF {
			return notExtracted(target, err)
		}
		return nil
	case target.Name == "" || target.Name == ".." || strings.ContainsAny(target.Name, "/\x00"):
		return fault.Newf(fault.InvalidArgument, "", "%q is not a name in %s", target.Name, target.Root.Name())
	}
	if _, err := target.Root.Lstat(target.Name); err == nil {
		return notExtracted(target, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return notExtracted(target, err)
	}
	return nil
}

func (b *snapshotBundle) extract(ctx context.Context, i int, x bundle.Extraction, done *bundle.Extracted) (err error) {
	target := x.Targets[i]
	stage := ".restic-" + rand.Text()
	var changed time.Time // of a target that is the root itself: when its item was
	if err := target.Root.Mkdir(stage, 0o700); err != nil {
		return notExtracted(target, err)
	}
	defer func() {
		removed := target.Root.RemoveAll(stage)
		if removed == nil && !changed.IsZero() {
			removed = target.Root.Chtimes(".", changed, changed)
		}
		if err == nil && removed != nil {
			err = notExtracted(target, removed)
		}
	}()
	path, err := filepath.Abs(filepath.Join(target.Root.Name(), stage))
	if err != nil {
		return err
	}
	if open, err := target.Root.Stat(stage); err != nil {
		return notExtracted(target, err)
	} else if named, err := os.Stat(path); err != nil || !os.SameFile(open, named) {
		return fault.Newf(fault.Conflict, "name the folder itself", "%s is not where it was", target.Root.Name())
	}
	at := itemPath(i, b.manifest.Bases[i])
	args := []string{"restore", noCache, "--quiet", "--target", path, "--include", pattern("/" + at)}
	if b.repository.punches(ctx) {
		args = append(args, "--sparse")
	}
	if _, err := b.repository.run(ctx, append(args, b.id)...); err != nil {
		return err
	}
	came, err := tidy(filepath.Join(path, at), x.Privileged, done)
	if err != nil {
		return err
	}
	if said := b.manifest.Items[i].Totals; came.Entries != said.Entries || came.Bytes != said.Bytes {
		return fault.Newf(fault.BundleCorrupt, "use another bundle", "item %d of the bundle came with %d entries and %d bytes, and has %d and %d", i, came.Entries, came.Bytes, said.Entries, said.Bytes)
	}
	if changed, err = move(target, filepath.Join(stage, at)); err != nil {
		return notExtracted(target, err)
	}
	done.Placed += came.Entries
	return nil
}

// punches says whether this restic knows how to make holes again: it learned that
// in 0.15, as all that came later know.
func (r *Repository) punches(ctx context.Context) bool {
	said, err := r.run(ctx, "version")
	return err == nil && !strings.HasPrefix(string(said), "restic 0.14.")
}

// tidy takes from what restic restored all that a bundle does not bring, and counts.
// Nobody else gets at it yet, so paths lead where they seem to.
func tidy(root string, privileged bool, done *bundle.Extracted) (t bundle.Totals, err error) {
	names := map[inode]bool{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		t.Entries++
		if kind := entry.Type(); kind&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			return fault.Newf(fault.BundleCorrupt, "use another bundle", "%.300q is neither a folder, a file nor a link", path)
		} else if kind&fs.ModeSymlink != 0 {
			return nil
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		stripped, err := strip(path, privileged)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return nil
		}
		if id := (inode{uint64(stat.Dev), stat.Ino}); !names[id] {
			names[id] = true
			t.Bytes += stat.Size
		}
		if stat.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && !privileged {
			stripped = true
			err = unix.Chmod(path, uint32(stat.Mode)&0o1777)
		}
		if stripped {
			done.Stripped++
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.Newf(fault.BundleCorrupt, "use another bundle", "the bundle lacks an item: %w", err)
	}
	return t, err
}

// strip removes the attributes that a bundle does not bring, and tells whether one
// of them gave rights.
func strip(path string, privileged bool) (rights bool, err error) {
	buffer := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buffer)
	if errors.Is(err, unix.ENOTSUP) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00") {
		if name == "" || tree.Keeps(name, privileged) {
			continue
		}
		// What the host puts on every file, it does not let go.
		err := unix.Lremovexattr(path, name)
		if tree.Keeps(name, true) {
			rights = true
			if err != nil {
				return rights, err
			}
		}
	}
	return rights, nil
}

// move moves what was restored to where it belongs. When that is the root itself,
// it tells when the item was changed: moving changes the root.
func move(target bundle.Target, from string) (changed time.Time, err error) {
	if target.Name != "." {
		return changed, rename(target.Root, from, target.Name)
	}
	item, err := target.Root.Open(from)
	if err != nil {
		return changed, err
	}
	defer item.Close()
	info, err := item.Stat()
	if err != nil {
		return changed, err
	}
	if !info.IsDir() {
		return changed, errors.New("it is a file: it needs a name")
	}
	names, err := item.Readdirnames(-1)
	if err != nil {
		return changed, err
	}
	for _, name := range names {
		if err := rename(target.Root, filepath.Join(from, name), name); err != nil {
			return changed, err
		}
	}
	return info.ModTime(), dress(target.Root, item)
}

func rename(root *os.Root, from, to string) error {
	if _, err := root.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return root.Rename(from, to)
}

// dress gives the folder of the root what the folder that was restored has.
func dress(root *os.Root, from *os.File) error {
	to, err := root.Open(".")
	if err != nil {
		return err
	}
	defer to.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &stat); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := unix.Fchown(int(to.Fd()), int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(int(to.Fd()), uint32(stat.Mode)&0o7777); err != nil {
		return err
	}
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(int(from.Fd()), names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if !tree.Keeps(name, true) {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), name, value[:n], 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func notExtracted(target bundle.Target, err error) error {
	path := filepath.Join(target.Root.Name(), target.Name)
	switch {
	case fault.CodeOf(err) != fault.Internal:
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Newf(fault.Precondition, "make room on that disk, then call again", "no space is left to extract %.300q: %w", path, err)
	case errors.Is(err, fs.ErrExist):
		return fault.Newf(fault.Conflict, "extract into a place of its own, where nobody else writes", "%.300q is there already: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.Denied, "run it as root, or extract into a folder of your own", "%.300q cannot be extracted: %w", path, err)
	}
	return fault.Newf(fault.Precondition, "check the disk that it is extracted to", "%.300q cannot be extracted: %w", path, err)
}
