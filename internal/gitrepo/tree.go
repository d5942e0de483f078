package gitrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/plan"
)

// tree is the files of one commit.
type tree struct {
	repo   *Repo
	commit plan.Commit
	byGit  bool

	once    sync.Once
	entries []plan.Entry
	err     error
}

// Tree is part of [plan.Repo].
func (r *Repo) Tree(_ context.Context, c plan.Commit) (plan.Snapshot, error) {
	return &tree{repo: r, commit: c, byGit: r.foreign != ""}, nil
}

// Engine is part of [plan.Snapshot].
func (t *tree) Engine() string {
	if t.byGit {
		return "git"
	}
	return "go-git"
}

// Changes is part of [plan.Snapshot].
func (t *tree) Changes(ctx context.Context, base plan.Commit) ([]plan.Change, error) {
	if !t.byGit {
		changes, err := t.repo.objects.diffTrees(plumbing.NewHash(base.Tree), plumbing.NewHash(t.commit.Tree))
		if err == nil {
			return sorted(changes), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	t.byGit = true
	changes, err := t.repo.diffTreesByGit(ctx, base, t.commit)
	return sorted(changes), err
}

// Entries is part of [plan.Snapshot].
func (t *tree) Entries(ctx context.Context) ([]plan.Entry, error) {
	t.once.Do(func() { t.entries, t.err = t.list(ctx) })
	return t.entries, t.err
}

func (t *tree) list(ctx context.Context) ([]plan.Entry, error) {
	if !t.byGit {
		if ix, err := t.repo.currentIndex(); err == nil && ix.equals(t.commit) {
			return ix.listing(), nil
		}
		var entries []plan.Entry
		err := t.repo.objects.walkTree("", plumbing.NewHash(t.commit.Tree), func(l leaf) error {
			entries = append(entries, entryOf(l.path, l.mode))
			return ctx.Err()
		})
		if err == nil || ctx.Err() != nil {
			return entries, err
		}
	}
	if t.commit.Empty() {
		return nil, nil
	}
	out, err := t.repo.git(ctx, "ls-tree", "-r", "-z", t.commit.ID)
	if err != nil {
		return nil, err
	}
	return parseStages(out)
}

// equals says that the index certainly has just the files of the commit.
func (ix *index) equals(c plan.Commit) bool {
	return ix.cacheTree != nil && ix.cacheTree.count >= 0 && !c.Empty() &&
		len(ix.intents)+len(ix.unmerged) == 0 && ix.cacheTree.hash == plumbing.NewHash(c.Tree)
}

// maxLinks is how many symbolic links in a row are followed, as in Linux.
const maxLinks = 40

// ReadFile is part of [plan.Snapshot]. It follows symbolic links as far as they
// stay in the tree.
func (t *tree) ReadFile(ctx context.Context, path string, most int64) ([]byte, error) {
	for range maxLinks {
		next, err := t.throughLink(ctx, path)
		if err != nil {
			return nil, err
		}
		if next == "" {
			return t.readBlob(ctx, path, most)
		}
		path = next
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
}

// throughLink replaces the first symbolic link on the way to a path by its
// target; "" when there is none.
func (t *tree) throughLink(ctx context.Context, path string) (string, error) {
	for i := range len(path) + 1 {
		if i < len(path) && path[i] != '/' {
			continue
		}
		isLink, err := t.isLink(ctx, path[:i])
		if err != nil || !isLink {
			if err != nil {
				return "", err
			}
			continue
		}
		target, err := t.readBlob(ctx, path[:i], maxTarget)
		if err != nil {
			return "", err
		}
		next := filepath.Join(filepath.Dir(path[:i]), string(target), path[i:])
		if filepath.IsAbs(string(target)) || next == ".." || strings.HasPrefix(next, "../") {
			return "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return next, nil
	}
	return "", nil
}

func (t *tree) isLink(ctx context.Context, path string) (bool, error) {
	if !t.byGit {
		found, ok, err := t.repo.objects.lookup(plumbing.NewHash(t.commit.Tree), path)
		if err == nil {
			return ok && found.mode == filemode.Symlink, nil
		}
	}
	if t.commit.Empty() {
		return false, nil
	}
	out, err := t.repo.git(ctx, "ls-tree", "-z", t.commit.ID, "--", path)
	return strings.HasPrefix(string(out), "120000 "), err
}

// readBlob returns the content of a file, or the target of a link.
func (t *tree) readBlob(ctx context.Context, path string, most int64) ([]byte, error) {
	if !t.byGit {
		found, ok, err := t.repo.objects.lookup(plumbing.NewHash(t.commit.Tree), path)
		if err == nil && !ok {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		if err == nil {
			if found.mode == filemode.Submodule {
				return nil, fmt.Errorf("%s is a submodule", path)
			}
			if content, err := t.repo.objects.blob(found.hash, most); err == nil {
				return content, nil
			}
		}
	}
	result, err := t.repo.run(ctx, gitCall{args: []string{"cat-file", "-s", t.commit.ID + ":" + path}})
	if err != nil {
		return nil, err
	}
	if result.Exit != 0 || t.commit.Empty() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	var size int64
	if _, err := fmt.Sscan(string(result.Stdout), &size); err != nil || size > most {
		return nil, tooLarge(path, size, most)
	}
	return t.repo.git(ctx, "cat-file", "blob", t.commit.ID+":"+path)
}

// ReadLink is part of [plan.Snapshot].
func (t *tree) ReadLink(ctx context.Context, path string) (string, error) {
	isLink, err := t.isLink(ctx, path)
	if err != nil {
		return "", err
	}
	if !isLink {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: fs.ErrInvalid}
	}
	target, err := t.readBlob(ctx, path, maxTarget)
	return string(target), err
}

const maxTarget = 4096 // PATH_MAX

// Digest is part of [plan.Snapshot].
func (t *tree) Digest(_ context.Context, c plan.Change) (string, error) { return c.Blob, nil }

// Compared is part of [plan.Snapshot].
func (t *tree) Compared(string) bool { return true }

// Ignores is part of [plan.Snapshot].
func (t *tree) Ignores(context.Context, string) (bool, error) { return false, nil }

// Ignored is part of [plan.Snapshot].
func (t *tree) Ignored() []string { return nil }

// Warnings is part of [plan.Snapshot].
func (t *tree) Warnings() []plan.Warning { return nil }

// Digest is part of [plan.Snapshot]. A submodule, or a nested repository, is
// its commit with what changed on top of it.
func (w *workTree) Digest(ctx context.Context, c plan.Change) (string, error) {
	if c.Status == plan.Deleted {
		return "", nil // whatever is in its way now is a change of its own
	}
	w.digesting.Lock()
	defer w.digesting.Unlock()
	key := c.Path + "\x00" + c.Blob // no path has a NUL
	if known, ok := w.digests[key]; ok {
		return known, nil
	}
	digest, err := w.digest(ctx, c)
	if err == nil {
		if w.digests == nil {
			w.digests = map[string]string{}
		}
		w.digests[key] = digest
	}
	return digest, err
}

func (w *workTree) digest(ctx context.Context, c plan.Change) (string, error) {
	path := filepath.Join(w.repo.root, c.Path)
	info, err := os.Lstat(path)
	if isAbsent(err) || err == nil && w.takenForUnchanged(c) && w.repo.linkAbove(c.Path) != "" {
		return c.Blob, nil // what is staged, where the file itself is kept away
	}
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	switch {
	case info.IsDir():
		return nestedDigest(ctx, path, c.Blob)
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "link %s", target)
	case info.Mode().IsRegular():
		fmt.Fprintf(sum, "file %t ", info.Mode()&0o100 != 0)
		if err := copyFile(ctx, sum, path); err != nil {
			return "", err
		}
	default:
		return info.Mode().Type().String(), nil
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// takenForUnchanged says that git may not have looked where a changed path leads
// today. What it did look at is not behind a link: there it would be deleted.
func (w *workTree) takenForUnchanged(c plan.Change) bool {
	return c.Status != plan.Untracked && !w.Compared(c.Path)
}

// isAbsent says that nothing is at a path, or that a file is in the place of one
// of its folders.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// linkAbove is the first symbolic link in the place of one of a path's folders:
// what is behind it does not belong to the path. "" when there is none.
func (r *Repo) linkAbove(path string) string {
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		info, err := os.Lstat(filepath.Join(r.root, path[:i]))
		if err != nil {
			return ""
		}
		if info.Mode()&os.ModeSymlink != 0 {
			return path[:i]
		}
	}
	return ""
}

// nestedDigest is the state of a repository in the work tree; of a submodule that
// is not checked out, the commit that is staged.
func nestedDigest(ctx context.Context, dir, staged string) (string, error) {
	nested, err := Open(ctx, dir)
	if err != nil || nested.root != dir {
		return staged, nil //nolint:nilerr // not a repository of its own
	}
	head, err := nested.Head(ctx)
	if err != nil {
		return "", err
	}
	now, err := nested.WorkTree(ctx)
	if err != nil {
		return "", err
	}
	changes, err := now.Changes(ctx, head)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "repository %s\n", head.ID)
	for _, c := range changes {
		digest, err := now.Digest(ctx, c)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %q %s\n", c.Status, c.Path, digest)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// copyFile hashes a file in pieces, so that a large one can be canceled.
func copyFile(ctx context.Context, into io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	const piece = 16 << 20
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n, err := io.CopyN(into, file, piece); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("after %d bytes: %w", n, err)
		}
	}
}

// readFile reads a regular file of at most most bytes.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular(): // opening a pipe would wait forever
		return nil, fault.Newf(fault.InvalidArgument, "put a file there, or move it away", "%s is not a file", path)
	case info.Size() > most:
		return nil, tooLarge(path, info.Size(), most)
	}
	return os.ReadFile(path)
}

func tooLarge(path string, size, most int64) error {
	return fault.Newf(fault.InvalidArgument, "homelab reads registries, lock files and links: keep data elsewhere", "%s has %d bytes, more than the %d homelab reads", path, size, most)
}
