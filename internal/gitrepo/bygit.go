package gitrepo

import (
	"context"
	"fmt"
	"strings"

	"homelab/internal/plan"
)

// lookByGit looks at the work tree with the git command alone.
func (w *workTree) lookByGit(ctx context.Context) error {
	result, err := w.repo.run(ctx, gitCall{args: []string{
		"status", "--porcelain=v2", "-z", "-uall", "--no-renames", "--ignore-submodules=none"}})
	if err != nil {
		return err
	}
	if result.Exit != 0 {
		return gitError("status", w.repo.root, result)
	}
	if w.settled, err = parseStatus(result.Stdout); err != nil {
		return err
	}
	w.unreadable = warnedAbout(string(result.Stderr))
	return nil
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
	case strings.EqualFold(r.config.Section("extensions").Option("objectformat"), "sha256"):
		return emptyTree256
	}
	return emptyTree1
}

// diffByGit lists what differs between base and the tracked files of the work
// tree, all of them or only the given paths. Unmerged paths are left out: the
// status tells them.
func (r *Repo) diffByGit(ctx context.Context, base plan.Commit, paths []string) ([]plan.Change, error) {
	args := []string{"diff", "--raw", "-z", "--abbrev=64", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", r.treeArgument(base), "--"}
	few := len(paths) <= maxPathspecs
	if few {
		args = append(args, paths...)
	}
	out, err := r.git(ctx, args...)
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
