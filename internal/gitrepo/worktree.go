package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sys/unix"

	"homelab/internal/plan"
)

// workTree is the files as they are now.
type workTree struct {
	repo  *Repo
	index *index // nil when the git command reads it

	settled    settled
	unreadable []string
	ignored    []string
	warnings   []plan.Warning
}

// WorkTree looks at the files as they are now. When the index moves meanwhile
// it looks once more, and says so when that happens again.
func (r *Repo) WorkTree(ctx context.Context) (plan.Snapshot, error) {
	w, err := r.lookAtWorkTree(ctx)
	if err != nil {
		return nil, err
	}
	if r.indexMoved(w) {
		if w, err = r.lookAtWorkTree(ctx); err != nil {
			return nil, err
		}
		if r.indexMoved(w) {
			w.warn("changedDuringScan", "the index changed while the work tree was looked at", "run it again when git is quiet")
		}
	}
	if _, err := os.Lstat(r.indexFile + ".lock"); err == nil {
		w.warn("indexLocked", "another git command holds index.lock: the work tree may be changing", "wait for it to end; if none runs, remove "+filepath.Base(r.indexFile)+".lock")
	}
	return w, nil
}

func (w *workTree) warn(code, message, hint string) {
	w.warnings = append(w.warnings, plan.Warning{Code: code, Message: message, Hint: hint})
}

func (r *Repo) lookAtWorkTree(ctx context.Context) (*workTree, error) {
	if r.foreign == "" {
		ix, err := r.currentIndex()
		if err == nil {
			w := &workTree{repo: r, index: ix}
			return w, w.look(ctx)
		}
		// Foreign or corrupt: git reads it, or says what is wrong with it.
	}
	w := &workTree{repo: r}
	return w, w.lookByGit(ctx)
}

// currentIndex is the parsed index, read again only when its file has changed.
func (r *Repo) currentIndex() (*index, error) {
	stamp := r.indexStamp()
	r.mu.Lock()
	last := r.index
	r.mu.Unlock()
	if last != nil && last.stamp == stamp && stamp != (fileStamp{}) {
		return last, nil
	}
	ix, err := readIndex(r.indexFile)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.index = ix
	r.mu.Unlock()
	return ix, nil
}

func (r *Repo) indexStamp() fileStamp {
	var st unix.Stat_t
	if unix.Stat(r.indexFile, &st) != nil {
		return fileStamp{}
	}
	return stampOf(&st)
}

func (r *Repo) indexMoved(w *workTree) bool {
	return w.index != nil && r.indexStamp() != w.index.stamp
}

// look clears what stat data can clear and asks git about the rest.
func (w *workTree) look(ctx context.Context) error {
	found, err := scan(ctx, w.repo.root, w.index)
	if err != nil {
		return err
	}
	if w.settled, err = w.repo.settle(ctx, slices.Concat(found.tracked, found.unknown)); err != nil {
		return err
	}
	for _, path := range found.relinked {
		w.settled.edited[path] = edit{plan.TypeChanged, plan.Submodule, plan.Link}
	}
	w.ignored = w.leftOver(found.unknown)
	w.unreadable, err = w.repo.notIgnored(ctx, found.unreadable)
	return err
}

// leftOver are those of the paths under which git saw nothing untracked: it
// ignores them.
func (w *workTree) leftOver(unknown []string) []string {
	slices.Sort(w.settled.untracked)
	var left []string
	for _, path := range unknown {
		at, found := slices.BinarySearch(w.settled.untracked, path)
		if !found && (at == len(w.settled.untracked) || !strings.HasPrefix(w.settled.untracked[at], path)) {
			left = append(left, path)
		}
	}
	return left
}

// maxPathspecs bounds how many paths git is given: it compares each with every
// entry of the index. Above it, git looks at everything.
const maxPathspecs = 100

// settle asks git status about some paths, or about all of them for nil… never
// for an empty list.
func (r *Repo) settle(ctx context.Context, paths []string) (settled, error) {
	if len(paths) == 0 {
		return parseStatus(nil)
	}
	args := []string{"status", "--porcelain=v2", "-z", "-uall", "--no-renames", "--ignore-submodules=none"}
	if len(paths) <= maxPathspecs {
		args = append(append(args, "--"), paths...)
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return settled{}, err
	}
	return parseStatus(out)
}

// notIgnored drops the paths git ignores.
func (r *Repo) notIgnored(ctx context.Context, paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	result, err := r.run(ctx, gitCall{
		args:  []string{"check-ignore", "-z", "--stdin"},
		stdin: strings.NewReader(strings.Join(paths, "\x00") + "\x00"),
	})
	if err != nil {
		return nil, err
	}
	if result.Exit > 1 { // 1: none is ignored
		return nil, gitError("check-ignore", r.root, result)
	}
	ignored := map[string]bool{}
	for path := range records(result.Stdout) {
		ignored[path] = true
	}
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return ignored[path] }), nil
}

// Engine is part of [plan.Snapshot].
func (w *workTree) Engine() string {
	if w.index == nil {
		return "git"
	}
	return "go-git"
}

// Changes is part of [plan.Snapshot].
func (w *workTree) Changes(ctx context.Context, base plan.Commit) ([]plan.Change, error) {
	changes, err := w.tracked(ctx, base)
	if err != nil {
		return nil, err
	}
	for _, path := range w.settled.untracked {
		changes = append(changes, plan.Change{Path: path, Status: plan.Untracked, New: w.kindOnDisk(path)})
	}
	for _, path := range w.settled.unmerged {
		changes = append(changes, plan.Change{Path: path, Status: plan.Unmerged, New: plan.Regular})
	}
	for _, path := range w.unreadable {
		changes = append(changes, plan.Change{Path: path, Status: plan.Unreadable})
	}
	return sorted(changes), nil
}

// tracked lists what differs between base and the tracked files.
func (w *workTree) tracked(ctx context.Context, base plan.Commit) ([]plan.Change, error) {
	if w.index == nil {
		return w.repo.diffByGit(ctx, base, nil)
	}
	changes, err := w.repo.objects.diffIndex(plumbing.NewHash(base.Tree), w.index)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// An object go-git cannot find or read; git may.
		return w.repo.diffByGit(ctx, base, nil)
	}
	return w.overlay(ctx, base, changes)
}

// overlay turns base-to-index changes into base-to-work-tree changes with what
// git status said of the paths that differ from the index.
func (w *workTree) overlay(ctx context.Context, base plan.Commit, staged []plan.Change) ([]plan.Change, error) {
	if len(w.settled.edited) == 0 && len(w.settled.unmerged) == 0 {
		return staged, nil
	}
	unmerged := map[string]bool{}
	for _, path := range w.settled.unmerged {
		unmerged[path] = true
	}
	edited := w.settled.edited
	done := map[string]bool{}
	var changes []plan.Change
	var doubtful []string // staged and edited: it may be as in base again
	for _, c := range staged {
		e, isEdited := edited[c.Path]
		switch {
		case unmerged[c.Path]: // told as unmerged, once
		case !isEdited:
			changes = append(changes, c)
		case e.status == plan.Deleted && c.Status == plan.Added: // staged, then removed: as in base
		case e.status == plan.Deleted:
			changes = append(changes, plan.Change{Path: c.Path, Status: plan.Deleted, Old: c.Old})
		case c.Status == plan.Added:
			changes = append(changes, plan.Change{Path: c.Path, Status: plan.Added, New: e.work})
		case e.index == plan.Submodule && e.work == plan.Link: // git refuses to look
			changes = append(changes, plan.Change{Path: c.Path, Status: plan.TypeChanged, Old: c.Old, New: e.work})
		default:
			doubtful = append(doubtful, c.Path)
		}
		done[c.Path] = true
	}
	for path, e := range edited {
		if done[path] || unmerged[path] {
			continue
		}
		c := plan.Change{Path: path, Status: e.status, Old: e.index, New: e.work}
		if e.status == plan.Added {
			c.Old = plan.NoKind
		}
		if e.status == plan.Modified && e.index != e.work {
			c.Status = plan.TypeChanged
		}
		changes = append(changes, c)
	}
	if len(doubtful) > 0 {
		more, err := w.repo.diffByGit(ctx, base, doubtful)
		if err != nil {
			return nil, err
		}
		changes = append(changes, more...)
	}
	return changes, nil
}

// Entries is part of [plan.Snapshot].
func (w *workTree) Entries(ctx context.Context) ([]plan.Entry, error) {
	if w.index == nil {
		out, err := w.repo.git(ctx, "ls-files", "-z", "--stage")
		if err != nil {
			return nil, err
		}
		return parseStages(out)
	}
	return w.index.listing(), nil
}

// listing is every path of the index, made once.
func (ix *index) listing() []plan.Entry {
	ix.listOnce.Do(func() {
		list := make([]plan.Entry, 0, len(ix.entries)+len(ix.intents)+len(ix.unmerged))
		for i := range ix.entries {
			e := &ix.entries[i]
			list = append(list, plan.Entry{Path: e.path, Kind: kindOf(e.mode)})
		}
		if extra := slices.Concat(ix.intents, ix.unmerged); len(extra) > 0 {
			for _, path := range extra {
				list = append(list, plan.Entry{Path: path, Kind: plan.Regular})
			}
			slices.SortFunc(list, func(a, b plan.Entry) int { return cmp.Compare(a.Path, b.Path) })
		}
		ix.list = list
	})
	return ix.list
}

// ReadFile is part of [plan.Snapshot].
func (w *workTree) ReadFile(_ context.Context, path string, most int64) ([]byte, error) {
	return readFile(filepath.Join(w.repo.root, path), most)
}

// ReadLink is part of [plan.Snapshot].
func (w *workTree) ReadLink(_ context.Context, path string) (string, error) {
	return os.Readlink(filepath.Join(w.repo.root, path))
}

// Ignored is part of [plan.Snapshot].
func (w *workTree) Ignored() []string { return w.ignored }

// Warnings is part of [plan.Snapshot].
func (w *workTree) Warnings() []plan.Warning { return w.warnings }

func (w *workTree) kindOnDisk(path string) plan.Kind {
	info, err := os.Lstat(filepath.Join(w.repo.root, path))
	switch {
	case err != nil:
		return plan.NoKind
	case info.IsDir():
		return plan.Submodule
	case info.Mode()&os.ModeSymlink != 0:
		return plan.Link
	}
	return plan.Regular
}

// sorted orders changes by path. Of two for one path (removed from the index,
// but still there) the tracked one stays.
func sorted(changes []plan.Change) []plan.Change {
	slices.SortStableFunc(changes, func(a, b plan.Change) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(changes, func(a, b plan.Change) bool { return a.Path == b.Path })
}

// isMissing says whether git failed because objects are not here.
func isMissing(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, plan.ErrMissing) {
		return true
	}
	for _, sign := range []string{"bad object", "unable to read tree", "unable to read", "could not get object info", "not a valid object", "missing blob", "bad tree object", "could not read"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}
