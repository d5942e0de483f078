package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"homelab/internal/plan"
)

// lookByGit looks at the work tree with the git command alone.
func (w *workTree) lookByGit(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		w.untracked, w.unreadable, err = w.repo.listUntracked(ctx, nil)
		return err
	})
	group.Go(func() error {
		out, err := w.repo.git(ctx, "ls-files", "-z", "--unmerged")
		if err != nil {
			return err
		}
		entries, err := parseStages(out)
		for _, entry := range entries {
			w.unmerged = append(w.unmerged, entry.Path)
		}
		return err
	})
	return group.Wait()
}

// byGit lists what differs between base and the tracked files. What git takes
// for deleted because it may not look is unreadable.
func (w *workTree) byGit(ctx context.Context, base plan.Commit) ([]plan.Change, error) {
	changes, err := w.repo.diffByGit(ctx, base, nil)
	if err != nil {
		return nil, err
	}
	kept := changes[:0]
	for _, c := range changes {
		if slices.Contains(w.unmerged, c.Path) {
			continue
		}
		switch {
		case c.New == plan.Regular && w.repo.denied(c.Path):
			c = plan.Change{Path: c.Path, Status: plan.Unreadable}
		case c.Status == plan.Deleted:
			if hidden := w.hidden(c.Path); hidden != "" {
				c = plan.Change{Path: hidden, Status: plan.Unreadable}
			}
		}
		kept = append(kept, c)
	}
	return kept, nil
}

// hidden is the folder, or the path itself, that may not be looked at; "" when
// the path is simply gone.
func (w *workTree) hidden(path string) string {
	if _, err := os.Lstat(filepath.Join(w.repo.root, path)); !errors.Is(err, fs.ErrPermission) || w.repo.linkAbove(path) != "" {
		return ""
	}
	for i, char := range path {
		if char == '/' && unix.Access(filepath.Join(w.repo.root, path[:i]), unix.R_OK) != nil {
			return path[:i+1]
		}
	}
	return path
}

// warnedAbout picks the folders out of git's warnings that it could not open.
func warnedAbout(stderr string) []string {
	var folders []string
	for line := range strings.Lines(stderr) {
		_, rest, ok := strings.Cut(line, "could not open directory '")
		path, _, closed := strings.Cut(rest, "'")
		if ok && closed {
			folders = append(folders, path)
		}
	}
	return folders
}

// emptyTree is the id of the tree without entries, in sha1 and in sha256.
const (
	emptyTree1   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	emptyTree256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
)

// treeArgument names a commit's tree for a git command.
func (r *Repo) treeArgument(c plan.Commit) string {
	switch {
	case !c.Empty():
		return c.ID
	case r.sha256:
		return emptyTree256
	}
	return emptyTree1
}

// diffByGit lists what differs between base and the tracked files of the work
// tree, all of them or only the given paths. Unmerged paths are left out: the
// index tells them.
func (r *Repo) diffByGit(ctx context.Context, base plan.Commit, paths []string) ([]plan.Change, error) {
	args := diffArgs(paths, r.treeArgument(base))
	out, err := r.diff(ctx, args)
	if err != nil && strings.Contains(err.Error(), "Permission denied") {
		// Some file cannot be compared by content, so none is: what only looks
		// changed counts as changed.
		args[0] = "diff-index"
		out, err = r.git(ctx, args...)
	}
	if isMissing(err) {
		return nil, fmt.Errorf("%w: %w", plan.ErrMissing, err)
	}
	if err != nil {
		return nil, err
	}
	changes, err := parseRaw(out)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, path := range paths {
		wanted[path] = true
	}
	kept := changes[:0]
	for _, c := range changes {
		if c.Status != plan.Unmerged && (len(paths) == 0 || wanted[c.Path]) {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// diffTreesByGit lists what differs between two commits.
func (r *Repo) diffTreesByGit(ctx context.Context, base, head plan.Commit) ([]plan.Change, error) {
	out, err := r.git(ctx, "diff-tree", "-r", "--raw", "-z", "--abbrev=64", "--no-renames", "--no-ext-diff",
		"--ignore-submodules=none", r.treeArgument(base), r.treeArgument(head), "--")
	if isMissing(err) {
		return nil, fmt.Errorf("%w: %w", plan.ErrMissing, err)
	}
	if err != nil {
		return nil, err
	}
	return parseRaw(out)
}
