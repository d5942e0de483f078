package gitrepo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"homelab/internal/fault"
	"homelab/internal/plan"
)

// Head is part of [plan.Repo].
func (r *Repo) Head(ctx context.Context) (plan.Commit, error) {
	if r.foreign == "" {
		if id := r.readRef("HEAD"); plumbing.IsHash(id) {
			if tree, err := r.objects.commitTree(plumbing.NewHash(id)); err == nil {
				return plan.Commit{ID: id, Tree: tree.String()}, nil
			}
		}
	}
	c, err := r.ask(ctx, "HEAD")
	if err == nil || !isUnknownRevision(err) {
		return c, err
	}
	// A branch without a commit, or a HEAD that leads nowhere?
	if _, err := r.git(ctx, "symbolic-ref", "-q", "HEAD"); err != nil {
		return plan.Commit{}, fault.Newf(fault.Precondition, "check it with: git status", "HEAD of %s names no commit", r.root)
	}
	return plan.Commit{}, nil
}

// revisionHint is for what is no revision.
const revisionHint = "name a branch, a tag or a commit"

// maxRevision is the length in bytes of the longest revision that is asked for.
const maxRevision = 4096

// Resolve is part of [plan.Repo].
func (r *Repo) Resolve(ctx context.Context, rev string) (plan.Commit, error) {
	full := (len(rev) == 40 || len(rev) == 64) && strings.Trim(rev, "0123456789abcdefABCDEF") == ""
	switch {
	case rev == "":
		return plan.Commit{}, fault.New(fault.InvalidArgument, "a revision is empty", revisionHint)
	case full && strings.Trim(rev, "0") == "":
		return plan.Commit{}, nil
	case strings.HasPrefix(rev, "-") || strings.HasPrefix(rev, "^") || strings.ContainsAny(rev, "\x00\n") || len(rev) > maxRevision:
		return plan.Commit{}, fault.Newf(fault.InvalidArgument, revisionHint, "%.100q is not a revision", rev)
	case rev == "HEAD":
		c, err := r.Head(ctx)
		if err == nil && c.Empty() {
			return c, fault.New(fault.Precondition, "HEAD has no commit yet", "commit something first")
		}
		return c, err
	case full && len(rev) == 40 && r.foreign == "":
		id := strings.ToLower(rev)
		if tree, err := r.objects.commitTree(plumbing.NewHash(id)); err == nil {
			return plan.Commit{ID: id, Tree: tree.String()}, nil
		}
	}
	c, err := r.ask(ctx, rev)
	if err == nil {
		return c, nil
	}
	if !isUnknownRevision(err) {
		if said := (*unexplained)(nil); errors.As(err, &said) {
			err = fault.Newf(fault.InvalidArgument, revisionHint, "%q is not a revision: %s", rev, said.line)
		}
		return c, err
	}
	result, err := r.run(ctx, gitCall{args: []string{"cat-file", "-t", rev}})
	if err != nil {
		return c, err
	}
	switch kind := strings.TrimSpace(string(result.Stdout)); {
	case kind != "" && kind != "commit": // a commit is here without its tree
		return c, fault.Newf(fault.InvalidArgument, revisionHint, "%q is a %s, not a commit", rev, kind)
	case full:
		return plan.Commit{ID: strings.ToLower(rev), Missing: true}, nil
	}
	return r.notHere(ctx, rev)
}

// notHere is the answer for a revision that nothing here has. In a shallow clone
// an ancestor may be what the clone leaves out; elsewhere it does not exist.
func (r *Repo) notHere(ctx context.Context, rev string) (plan.Commit, error) {
	none := plan.Commit{}
	if name, steps := ancestor(rev); steps != "" {
		if c, err := r.Resolve(ctx, name); err == nil {
			if c.Missing || r.Shallow() {
				return plan.Commit{Missing: true}, nil
			}
			return none, fault.Newf(fault.NotFound, "name a commit that is there: git log --oneline lists them",
				"no revision is called %q: the history of %s is shorter than that, or has no such parent", rev, name)
		}
	}
	if id, err := r.cutOff(ctx, rev); id != "" || err != nil {
		return plan.Commit{ID: id, Missing: id != ""}, err
	}
	return none, fault.Newf(fault.NotFound, r.nearRevisions(ctx, rev), "no revision is called %q", rev)
}

// ancestor takes the steps to a parent off a revision: HEAD and ~2^ for HEAD~2^.
// There are none in one that is written in another way.
func ancestor(rev string) (name, steps string) {
	at := strings.IndexAny(rev, "~^")
	if at <= 0 || strings.Contains(rev, ":") || strings.Trim(rev[at:], "~^0123456789") != "" {
		return rev, ""
	}
	return rev[:at], rev[at:]
}

// cutOff is the id of the one commit that begins as rev does among the parents
// that a shallow clone was made without; "" when there is none.
func (r *Repo) cutOff(ctx context.Context, rev string) (string, error) {
	const shortest = 4 // digits, for git
	if len(rev) < shortest || strings.Trim(rev, "0123456789abcdefABCDEF") != "" {
		return "", nil
	}
	boundary, err := os.ReadFile(filepath.Join(r.commonDir, "shallow"))
	if err != nil {
		return "", nil //nolint:nilerr // not shallow
	}
	result, err := r.run(ctx, gitCall{args: []string{"cat-file", "--batch"}, stdin: bytes.NewReader(boundary)})
	if err != nil {
		return "", err
	}
	found := ""
	for line := range strings.Lines(string(result.Stdout)) {
		id, isParent := strings.CutPrefix(strings.TrimSpace(line), "parent ")
		switch {
		case !isParent || !strings.HasPrefix(id, strings.ToLower(rev)) || id == found:
		case found != "":
			return "", nil // it could be either
		default:
			found = id
		}
	}
	return found, nil
}

// ask resolves a revision with the git command.
func (r *Repo) ask(ctx context.Context, rev string) (plan.Commit, error) {
	if strings.Contains(rev, ":") {
		// What follows a colon is a text or a path: nothing can be appended to it.
		out, err := r.git(ctx, "rev-parse", "--verify", rev)
		if err != nil {
			return plan.Commit{}, err
		}
		rev = strings.TrimSpace(string(out))
	}
	// It must name something as it stands: with what is appended, HEAD@{1 would be
	// an entry of the reflog. Before the dashes nothing is taken for a file or for a
	// wildcard, which would be repeated as an answer.
	out, err := r.git(ctx, "rev-parse", rev, rev+"^{commit}", rev+"^{tree}", "--")
	if err != nil && strings.Contains(rev, "...") && strings.Contains(err.Error(), "is a tree, not a commit") {
		return plan.Commit{}, fault.Newf(fault.InvalidArgument, "for what a side changed since it left the other, name the other as base and set mergeBase", "%q does not name one commit", rev)
	}
	if err != nil {
		return plan.Commit{}, err
	}
	lines := strings.Fields(string(out))
	if len(lines) != 4 { // a range, say
		return plan.Commit{}, fault.Newf(fault.InvalidArgument, revisionHint, "%q does not name one commit", rev)
	}
	return plan.Commit{ID: lines[1], Tree: lines[2]}, nil
}

func isUnknownRevision(err error) bool {
	for _, sign := range []string{"unknown revision", "Needed a single revision", "bad revision", "bad object", "ambiguous argument", "not a valid object name", "expected commit type", "invalid object name"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}

// nearRevisions is the hint for a revision nobody knows.
func (r *Repo) nearRevisions(ctx context.Context, rev string) string {
	out, err := r.git(ctx, "for-each-ref", "--count=2000", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
	if err != nil {
		return "git branch -a lists the branches"
	}
	name, steps := ancestor(rev)
	if strings.Trim(name, "0123456789abcdef") == "" {
		return "git fetch, if it is the beginning of a commit's id"
	}
	names := append(strings.Fields(string(out)), "HEAD")
	if at := strings.IndexAny(rev, "~^@:"); at <= 0 || !slices.Contains(names, rev[:at]) { // else the name is not what is wrong
		near := fault.Near(name, names)
		for i := range near {
			near[i] += steps
		}
		if len(near) > 0 {
			return "did you mean " + strings.Join(near, ", ") + "?"
		}
	}
	if r.Shallow() {
		return "the clone is shallow: git fetch --unshallow brings the rest, or name one of the branches of git branch -a"
	}
	return "git branch -a and git tag list the names"
}

// Upstream is part of [plan.Repo].
func (r *Repo) Upstream(ctx context.Context) (string, plan.Commit, error) {
	none := plan.Commit{}
	head, err := os.ReadFile(filepath.Join(r.gitDir, "HEAD"))
	if r.foreign == "" && err == nil {
		branch, onBranch := strings.CutPrefix(strings.TrimSpace(string(head)), "ref: refs/heads/")
		if !onBranch {
			return "", none, nil // detached
		}
		s, err := r.settingsOf(ctx)
		if err != nil {
			return "", none, err
		}
		if !slices.Contains(s.Tracking, branch) {
			return "", none, nil
		}
	}
	result, err := r.run(ctx, gitCall{args: []string{"for-each-ref", "--format=%(HEAD)%(upstream)%00%(upstream:short)", "refs/heads"}})
	if err != nil {
		return "", none, err
	}
	if result.Exit != 0 {
		return "", none, gitError("for-each-ref", r.root, result)
	}
	full, short := currentUpstream(string(result.Stdout))
	if full == "" {
		return "", none, nil
	}
	c, err := r.Resolve(ctx, full)
	if fault.CodeOf(err) == fault.NotFound {
		return short, plan.Commit{Missing: true}, nil
	}
	return short, c, err
}

// currentUpstream picks the upstream of the branch that is checked out, which
// for-each-ref marks with a star.
func currentUpstream(out string) (full, short string) {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "*"); ok {
			full, short, _ = strings.Cut(rest, "\x00")
			return full, short
		}
	}
	return "", ""
}

// readRef follows a reference to an id, through loose files and packed-refs; ""
// when it leads nowhere.
func (r *Repo) readRef(name string) string {
	for range 5 { // git's own bound on symbolic references
		raw, err := os.ReadFile(filepath.Join(r.gitDir, name))
		if err != nil {
			raw, err = os.ReadFile(filepath.Join(r.commonDir, name))
		}
		if err != nil {
			return r.packedRef(name)
		}
		line := strings.TrimSpace(string(raw))
		target, symbolic := strings.CutPrefix(line, "ref: ")
		if !symbolic {
			return line
		}
		name = target
	}
	return ""
}

func (r *Repo) packedRef(name string) string {
	file, err := os.Open(filepath.Join(r.commonDir, "packed-refs"))
	if err != nil {
		return ""
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if id, ref, ok := strings.Cut(lines.Text(), " "); ok && ref == name {
			return id
		}
	}
	return ""
}

// mergeBases is a remembered answer of MergeBases.
type mergeBases struct {
	commits  []plan.Commit
	complete bool
}

// MergeBases is part of [plan.Repo].
func (r *Repo) MergeBases(ctx context.Context, a, b plan.Commit) ([]plan.Commit, bool, error) {
	switch {
	case a.Empty() || b.Empty() || a.Missing || b.Missing:
		return nil, !a.Missing && !b.Missing, nil
	case a.ID == b.ID:
		return []plan.Commit{a}, true, nil
	}
	key := [2]string{a.ID, b.ID}
	r.mu.Lock()
	known, ok := r.pairs[key]
	r.mu.Unlock()
	if ok {
		return known.commits, known.complete, nil
	}
	result, err := r.run(ctx, gitCall{args: []string{"merge-base", "--all", a.ID, b.ID}})
	if err != nil {
		return nil, false, err
	}
	if result.Exit != 0 && result.Exit != 1 { // 1: there is none
		return nil, false, gitError("merge-base", r.root, result)
	}
	shallow := r.Shallow()
	found := mergeBases{complete: !shallow || result.Exit == 0}
	for _, id := range strings.Fields(string(result.Stdout)) {
		c, err := r.Resolve(ctx, id)
		if err != nil {
			return nil, false, err
		}
		found.commits = append(found.commits, c)
	}
	if !shallow { // deepening a shallow clone changes the answer
		r.mu.Lock()
		if len(r.pairs) > 1000 {
			clear(r.pairs)
		}
		r.pairs[key] = found
		r.mu.Unlock()
	}
	return found.commits, found.complete, nil
}
