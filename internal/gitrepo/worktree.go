package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"homelab/internal/plan"
)

// workTree is the files as they are now.
type workTree struct {
	repo  *Repo
	index *index // nil when the git command reads it
	// fellBack means that git had to compare after all.
	fellBack bool

	edited     map[string]plan.Change // from the index to the work tree; only with an index
	untracked  []string               // nested repositories end in a slash
	unmerged   []string
	unreadable []string
	ignored    []string        // what Ignores came across
	strangers  []string        // what the index does not have, before git was asked; only with an index
	asked      map[string]bool // by Ignores: is anything there ignored
	warnings   []plan.Warning

	listOnce sync.Once // only without an index
	list     []plan.Entry
	listErr  error

	digesting sync.Mutex
	digests   map[string]string // a registry and a plan ask for the same files
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

func (r *Repo) indexStamp() fileStamp { return stampFile(r.indexFile) }

func (r *Repo) indexMoved(w *workTree) bool {
	return w.index != nil && r.indexStamp() != w.index.stamp
}

// look clears what stat data can clear and asks git about the rest.
func (w *workTree) look(ctx context.Context) error {
	found, err := w.repo.scan(ctx, w.index)
	if err != nil {
		return err
	}
	w.unmerged = w.index.unmerged
	w.edited = map[string]plan.Change{}
	tracked, unknown := found.tracked, found.unknown
	w.strangers = found.unknown
	if len(tracked)+len(unknown) > 0 {
		if tracked, unknown, err = w.decide(ctx, found); err != nil {
			return err
		}
	}
	decided, hidden := w.untracked, w.unreadable
	group, inGroup := errgroup.WithContext(ctx)
	group.Go(func() error { return w.settleTracked(inGroup, tracked) })
	group.Go(func() error {
		if len(unknown) == 0 {
			return nil
		}
		if w.index.ruled {
			// With a path of the root among them git keeps the whole index in sight.
			unknown = append(unknown, ".gitignore")
		}
		listed, closed, err := w.repo.listUntracked(inGroup, unknown)
		w.untracked = slices.Concat(decided, listed)
		hidden = append(hidden, closed...)
		return err
	})
	group.Go(func() (err error) {
		w.unreadable, err = w.repo.notIgnored(inGroup, found.unreadable)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	w.unreadable = append(w.unreadable, hidden...)
	slices.Sort(w.unreadable)
	w.unreadable = slices.Compact(w.unreadable)
	slices.Sort(w.untracked)
	w.untracked = slices.Compact(w.untracked)
	return nil
}

// settleTracked lets git decide which of the tracked suspects differ from the
// index. It asks git diff, not git status: only that compares what filters make
// of a file whose size is another.
func (w *workTree) settleTracked(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	out, err := w.repo.diff(ctx, diffArgs(paths))
	if err != nil {
		return err
	}
	changes, err := parseRaw(out)
	for _, c := range changes {
		w.edited[c.Path] = c
	}
	for _, path := range w.unmerged {
		delete(w.edited, path)
	}
	return err
}

// diffArgs are the arguments of git diff for some paths, or for all when they
// are many; tree is what to compare with, left out for the index.
func diffArgs(paths []string, tree ...string) []string {
	args := []string{"diff", "--raw", "-z", "--abbrev=64", "--no-renames", "--no-ext-diff", "--ignore-submodules=none"}
	args = append(append(args, tree...), "--")
	if len(paths) <= maxPathspecs {
		args = append(args, paths...)
	}
	return args
}

// listUntracked lists what is neither tracked nor ignored, below the given paths
// or, when they are none or many, everywhere. Unreadable folders are those git
// complains about.
func (r *Repo) listUntracked(ctx context.Context, paths []string) (untracked, unreadable []string, err error) {
	args := []string{"ls-files", "-z", "--others", "--exclude-standard", "--"}
	if len(paths) <= maxPathspecs {
		args = append(args, paths...)
	}
	result, err := r.run(ctx, gitCall{args: args})
	if err != nil {
		return nil, nil, err
	}
	if result.Exit != 0 {
		return nil, nil, gitError("ls-files", r.root, result)
	}
	untracked = slices.Sorted(records(result.Stdout))
	return untracked, warnedAbout(string(result.Stderr)), nil
}

// listIgnored lists the files that git ignores at and below a path, all of them
// for an empty one; nested repositories end in a slash.
func (r *Repo) listIgnored(ctx context.Context, path string) ([]string, error) {
	args := []string{"ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"}
	if path != "" {
		// With a path of the root beside it git keeps the whole index in sight, and
		// the ignore files that are only there.
		args = append(args, path, ".gitignore")
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return nil, err
	}
	var found []string
	for file := range records(out) {
		if rest, ok := strings.CutPrefix(file, path); ok && (path == "" || rest == "" || rest[0] == '/') {
			found = append(found, file)
		}
	}
	return found, nil
}

// maxPathspecs bounds how many paths git is given: it compares each with every
// entry of the index. Above it, git looks at everything.
const maxPathspecs = 100

// notIgnored drops the paths git ignores.
func (r *Repo) notIgnored(ctx context.Context, paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	// The command takes no literal pathspecs; a leading ./ keeps colons plain. With
	// a slash at its end it misreads a folder that a rule takes back.
	bare := make([]string, len(paths))
	for i, path := range paths {
		bare[i] = "./" + strings.TrimSuffix(path, "/")
	}
	result, err := r.run(ctx, gitCall{
		args:  []string{"check-ignore", "-z", "--stdin"},
		env:   []string{"GIT_LITERAL_PATHSPECS=0"},
		stdin: strings.NewReader(strings.Join(bare, "\x00") + "\x00"),
	})
	if err != nil {
		return nil, err
	}
	if result.Exit != 0 && result.Exit != 1 { // 1: none is ignored
		return nil, gitError("check-ignore", r.root, result)
	}
	ignored := map[string]bool{}
	for path := range records(result.Stdout) {
		ignored[strings.TrimPrefix(path, "./")] = true
	}
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return ignored[strings.TrimSuffix(path, "/")] }), nil
}

// Engine is part of [plan.Snapshot].
func (w *workTree) Engine() string {
	if w.index == nil || w.fellBack {
		return "git"
	}
	return "go-git"
}

// Entries is part of [plan.Snapshot].
func (w *workTree) Entries(ctx context.Context) ([]plan.Entry, error) {
	if w.index != nil {
		return w.index.listing(), nil
	}
	w.listOnce.Do(func() {
		var out []byte
		if out, w.listErr = w.repo.git(ctx, "ls-files", "-z", "--stage"); w.listErr == nil {
			w.list, w.listErr = parseStages(out)
		}
	})
	return w.list, w.listErr
}

// listing is every path of the index, made once.
func (ix *index) listing() []plan.Entry {
	ix.listOnce.Do(func() {
		list := make([]plan.Entry, 0, len(ix.entries)+len(ix.besides))
		for i := range ix.entries {
			e := &ix.entries[i]
			list = append(list, entryOf(e.path, e.mode))
		}
		if len(ix.besides) > 0 {
			list = append(list, ix.besides...)
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

// Compared is part of [plan.Snapshot]. What the git command reads it cannot tell
// cheaply.
func (w *workTree) Compared(path string) bool {
	if w.index == nil {
		return false
	}
	e := w.index.find(path)
	return e != nil && !e.assumeValid && !e.skipped
}

// Ignores is part of [plan.Snapshot]. Of a folder with files that no rule ignores
// it says whether others are ignored.
func (w *workTree) Ignores(ctx context.Context, path string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(w.repo.root, path)); err != nil {
		return false, nil //nolint:nilerr // it is not there
	}
	// Git refuses to be asked beyond a link, or about another repository.
	if link := w.repo.linkAbove(path); link != "" {
		path = link
	}
	if inside, err := w.inSubmodule(ctx, path); inside || err != nil {
		return false, err
	}
	if known, ok := w.asked[path]; ok {
		return known, nil
	}
	if w.index != nil && !w.strange(path) {
		return false, nil
	}
	found, err := w.repo.listIgnored(ctx, path)
	if err != nil {
		return false, err
	}
	w.ignored = append(w.ignored, found...)
	slices.Sort(w.ignored)
	w.ignored = slices.Compact(w.ignored)
	some := len(found) > 0
	if !some && path != "" {
		// Rules can name what has no file: an empty folder, a pipe.
		left, err := w.repo.notIgnored(ctx, []string{path})
		if err != nil {
			return false, err
		}
		some = len(left) == 0
	}
	if w.asked == nil {
		w.asked = map[string]bool{}
	}
	w.asked[path] = some
	return some, nil
}

// strange says whether something is at, above or below a path that the index
// does not have and that is not known to be untracked: only that can be ignored.
func (w *workTree) strange(path string) bool {
	return slices.ContainsFunc(w.strangers, func(name string) bool {
		if _, told := slices.BinarySearch(w.untracked, name); told {
			return false
		}
		name = strings.TrimSuffix(name, "/")
		return path == "" || name == path || strings.HasPrefix(name, path+"/") || strings.HasPrefix(path, name+"/")
	})
}

// inSubmodule says whether a path is below a submodule.
func (w *workTree) inSubmodule(ctx context.Context, path string) (bool, error) {
	entries, err := w.Entries(ctx)
	if err != nil {
		return false, err
	}
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		at, found := slices.BinarySearchFunc(entries, path[:i], func(e plan.Entry, name string) int { return cmp.Compare(e.Path, name) })
		if found {
			return entries[at].Kind == plan.Submodule, nil
		}
	}
	return false, nil
}

// Ignored is part of [plan.Snapshot]: what was there when Ignores was asked of it
// or of a folder above it.
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

// denied says that a file is there and may not be read.
func (r *Repo) denied(path string) bool {
	return errors.Is(unix.Access(filepath.Join(r.root, path), unix.R_OK), unix.EACCES)
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
