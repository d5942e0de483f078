package plan

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"homelab/internal/fault"
	"homelab/registry"
)

// comparison is one base with what differs from it.
type comparison struct {
	side    Side
	commits []Commit // several: the union of the differences counts
	missing bool     // the objects are not here: nothing can be told
	changes []Change
	// Services that were deployed from it; none: it was not chosen for that.
	deployed []string

	// The registry as of the base.
	old         []*Loaded // one for each commit; nil: there was none
	sameEntries bool      // the registry cannot have changed
	unreadable  error     // it could not be read: every entry counts as changed
}

// bases says which comparison each service is decided by.
type bases struct {
	main      *comparison
	all       []*comparison
	byService map[string]*comparison // where it is not main
	deployed  map[string]Deployment  // what is on record; a service that is not in it is decided by main
}

// bases chooses what to compare with: what was asked for, else what is recorded
// as deployed, else the merge base with the upstream branch, else HEAD.
func (p *Planner) bases(ctx context.Context, v *view, r Request, selected []string) (*bases, error) {
	b := &bases{byService: map[string]*comparison{}}
	var err error
	if r.Base != "" {
		b.main, err = p.askedBase(ctx, v, r)
	} else {
		b.main, err = p.defaultBase(ctx, v, r.MergeBase)
	}
	if err != nil {
		return nil, err
	}
	b.all = []*comparison{b.main}
	if r.asksDeployed() {
		err = p.deployedBases(ctx, v, b, selected)
	}
	return b, err
}

// of is the comparison that decides about a service.
func (b *bases) of(service string) *comparison {
	if c := b.byService[service]; c != nil {
		return c
	}
	return b.main
}

func (p *Planner) askedBase(ctx context.Context, v *view, r Request) (*comparison, error) {
	if !r.MergeBase {
		return p.comparisonWith(ctx, v, r.Base, "asked for")
	}
	base, err := p.Repo.Resolve(ctx, r.Base)
	if err != nil {
		return nil, err
	}
	if base.Empty() {
		return p.comparisonWith(ctx, v, r.Base, "asked for")
	}
	return p.mergeBase(ctx, v, r.Base, base, "merge base with "+r.Base+", asked for")
}

// defaultBase is the base where none was named; mergeBase says that a merge base
// was asked for.
func (p *Planner) defaultBase(ctx context.Context, v *view, mergeBase bool) (*comparison, error) {
	head, err := p.Repo.Head(ctx)
	if err != nil {
		return nil, err
	}
	if head.Empty() {
		return &comparison{commits: []Commit{{}}, side: Side{State: StateEmpty, Relation: "unrelated", Why: "nothing has been committed yet"}}, nil
	}
	name, upstream, err := p.Repo.Upstream(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case name != "" && upstream.Missing:
		return &comparison{missing: true, side: Side{Ref: name, State: StateMissing, Relation: "unknown", Why: upstreamGone + ": " + name}}, nil
	case name != "":
		return p.mergeBase(ctx, v, name, upstream, "merge base with the upstream branch "+name)
	case mergeBase:
		return nil, fault.New(fault.InvalidArgument, "mergeBase needs a base, since no branch with an upstream is checked out", "name the branch to merge into as base, such as main")
	}
	c := &comparison{commits: []Commit{head}, side: Side{Ref: "HEAD", Commit: head.ID, State: StateCommit, Why: "HEAD: no branch with an upstream is checked out"}}
	return c, p.relate(ctx, v, c)
}

func (p *Planner) comparisonWith(ctx context.Context, v *view, revision, why string) (*comparison, error) {
	base, err := p.Repo.Resolve(ctx, revision)
	if err != nil {
		return nil, err
	}
	c := &comparison{commits: []Commit{base}, side: Side{Ref: revision, Commit: base.ID, State: StateCommit, Why: why}}
	switch {
	case base.Missing:
		c.side.State, c.side.Relation = StateMissing, "unknown"
		c.commits, c.missing = nil, true // as where there is no merge base
		return c, nil
	case base.Empty():
		c.side.State, c.side.Relation = StateEmpty, "unrelated"
		return c, nil
	}
	return c, p.relate(ctx, v, c)
}

// relate says what the base is to the head commit.
func (p *Planner) relate(ctx context.Context, v *view, c *comparison) error {
	base := c.commits[0]
	common, complete, err := p.Repo.MergeBases(ctx, base, v.commit)
	if err != nil {
		return err
	}
	switch {
	case base.ID == v.commit.ID:
		c.side.Relation = "same"
	case len(common) == 0 && !complete:
		c.side.Relation = "unknown"
	case len(common) == 0:
		c.side.Relation = "unrelated"
	case common[0].ID == base.ID:
		c.side.Relation = "ancestor"
	case common[0].ID == v.commit.ID:
		c.side.Relation = "descendant"
	default:
		c.side.Relation = "diverged"
	}
	return nil
}

// mergeBase compares with where the head left another line of history. Without
// such a place nothing can be told.
func (p *Planner) mergeBase(ctx context.Context, v *view, ref string, other Commit, why string) (*comparison, error) {
	common, complete, err := p.Repo.MergeBases(ctx, other, v.commit)
	if err != nil {
		return nil, err
	}
	c := &comparison{commits: common, side: Side{Ref: ref, State: StateCommit, Relation: "ancestor", Why: why}}
	switch {
	case len(common) == 0:
		c.missing = true
		c.side.Commit, c.side.State, c.side.Relation = other.ID, StateMissing, "unrelated"
		c.side.Why = noMergeBase + strings.TrimPrefix(why, "merge base")
		if !complete || other.Missing {
			c.side.Relation = "unknown"
		}
		return c, nil
	case len(common) > 1:
		ids := make([]string, len(common))
		for i, commit := range common {
			ids[i] = commit.ID[:12]
		}
		v.warnings = append(v.warnings, Warning{"severalMergeBases",
			fmt.Sprintf("there are %d merge bases (%s): what differs from any of them counts", len(common), strings.Join(ids, ", ")), ""})
	}
	c.side.Commit = common[0].ID
	if common[0].ID == v.commit.ID {
		c.side.Relation = "same"
	}
	return c, nil
}

// compare fills in what differs, and the registry as of the base.
func (p *Planner) compare(ctx context.Context, v *view, c *comparison) error {
	seen := map[string]bool{}
	for _, base := range c.commits {
		changes, err := v.changes(ctx, base)
		if errors.Is(err, ErrMissing) {
			c.missing, c.side.State = true, StateMissing
			break
		}
		if err != nil {
			return err
		}
		if len(c.commits) == 1 {
			c.changes = changes
			break
		}
		for _, change := range changes {
			if !seen[change.Path] {
				seen[change.Path] = true
				c.changes = append(c.changes, change)
			}
		}
	}
	if c.missing {
		c.changes, c.sameEntries = nil, true
		v.warnings = append(v.warnings, missingBase(c, p.Repo.Shallow()))
		return nil
	}
	if len(c.commits) > 1 {
		sortChanges(c.changes)
	}
	return p.readOldRegistry(ctx, v, c)
}

func (p *Planner) readOldRegistry(ctx context.Context, v *view, c *comparison) error {
	if c.sameEntries = v.sameRegistry(ctx, c); c.sameEntries {
		return nil
	}
	for _, base := range c.commits {
		tree, err := p.Repo.Tree(ctx, base)
		if err != nil {
			return err
		}
		old, err := p.Source.Read(ctx, state{snapshot: tree, commit: base})
		switch code := fault.CodeOf(err); {
		case err == nil:
			c.old = append(c.old, old)
		case code == fault.NotFound:
			c.old = append(c.old, nil)
			if err := v.warnUntracked(ctx); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case code == fault.InvalidArgument || code == fault.EvalFailed:
			c.unreadable = err
			v.warn(Warning{"baseRegistryUnreadable",
				"the registry of the base cannot be read, so every entry counts as changed: " + firstProblem(err),
				"nothing has to be done: a base with a readable registry compares entry by entry"})
			return nil
		default:
			return err
		}
	}
	return nil
}

// warnUntracked warns, once, that a registry which no base has is not known to git.
func (v *view) warnUntracked(ctx context.Context) error {
	if !v.work || v.loaded.Flake || v.loaded.outside {
		return nil
	}
	entries, err := v.snapshot.Entries(ctx)
	if err != nil {
		return err
	}
	file := v.loaded.File
	root := v.planner.Source.Root
	if at, err := filepath.EvalSymlinks(filepath.Join(root, file)); err == nil { // what its links lead to
		if inside, err := filepath.Rel(root, at); err == nil {
			file = filepath.ToSlash(inside)
		}
	}
	warning := Warning{"registryUntracked",
		fmt.Sprintf("git does not track the registry %s, so every service is new at every base", file),
		"git add it (with -f where git ignores it) and commit it"}
	_, tracked := slices.BinarySearchFunc(entries, file, func(e Entry, path string) int { return strings.Compare(e.Path, path) })
	if !tracked {
		v.warn(warning)
	}
	return nil
}

// warn adds a warning, once.
func (v *view) warn(w Warning) {
	if !slices.Contains(v.warnings, w) {
		v.warnings = append(v.warnings, w)
	}
}

// sameRegistry says that nothing changed which the registry is made of, or is
// found by.
func (v *view) sameRegistry(ctx context.Context, c *comparison) bool {
	l := v.loaded
	if l.outside {
		return true
	}
	found := []string{l.File} // what the choice of the registry depends on
	byDefault := v.planner.Source.Setting == ""
	if byDefault {
		found = append(found, "flake.nix", DefaultFile)
	}
	evaluated := l.Flake || byDefault && v.exists(ctx, "flake.nix")
	if !l.Flake && (!v.snapshot.Compared(l.File) || v.throughLink(ctx, l.File)) {
		return false
	}
	for _, change := range c.changes {
		if evaluated && change.Status != Untracked || slices.Contains(found, change.Path) || change.Old == Link {
			return false
		}
	}
	return true
}

func (v *view) exists(ctx context.Context, path string) bool {
	_, err := v.snapshot.ReadFile(ctx, path, registry.MaxSize)
	return err == nil
}

// throughLink says whether a symbolic link is on the way to a file.
func (v *view) throughLink(ctx context.Context, file string) bool {
	for i := range len(file) + 1 {
		if i == len(file) || file[i] == '/' {
			if _, err := v.snapshot.ReadLink(ctx, file[:i]); err == nil {
				return true
			}
		}
	}
	return false
}

// firstProblem is an error on one line.
func firstProblem(err error) string {
	var problems registry.Problems
	if errors.As(err, &problems) && len(problems) > 0 {
		text := problems[0].String()
		if more := len(problems) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		return text
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	return message
}

func missingBase(c *comparison, shallow bool) Warning {
	side, w := c.side, Warning{Code: "baseMissing"}
	switch {
	case side.Why == noOrigin:
		w.Message = "which commit " + some(c.deployed) + " was deployed from is not on record, so what changed since cannot be told"
		w.Hint = "deploy it again"
		return w
	case strings.HasPrefix(side.Why, upstreamGone):
		w.Message = "the upstream branch " + side.Ref + " is gone, so what this branch adds to it cannot be told: every service counts as unknown"
		w.Hint = "name a base, such as HEAD or the branch it was merged into; or git branch --unset-upstream"
		return w
	case strings.HasPrefix(side.Why, noMergeBase):
		w.Message = "no common ancestor with " + side.Ref + " is known: every service counts as unknown"
		w.Hint = "name a base that shares history with the head, or compare with it directly"
	case len(c.deployed) > 0:
		w.Message = fmt.Sprintf("the objects of %.12s, which was deployed (%s), are not in this repository, so what changed since cannot be told", side.Commit, some(c.deployed))
		w.Hint = "git fetch origin " + side.Commit + ", or deploy again"
	default:
		w.Message = "the objects of base " + side.Ref + " are not in this repository: every service counts as unknown"
		w.Hint = strings.TrimSpace("git fetch origin "+side.Commit) + ", or name a base that is here"
	}
	if shallow {
		w.Hint = "the clone is shallow: git fetch --unshallow (in CI: fetch-depth: 0)"
	}
	return w
}

// noMergeBase begins the reason of a base that is missing for want of an
// ancestor.
const noMergeBase = "no merge base"

// upstreamGone begins the reason of a base that is missing because a remote
// branch was deleted.
const upstreamGone = "the upstream branch is gone"

func missingHead(head string, shallow bool) error {
	hint := "git fetch, or name a revision that is here"
	if shallow {
		hint = "the clone is shallow: git fetch --unshallow (in CI: fetch-depth: 0)"
	}
	return fault.Newf(fault.NotFound, hint, "the objects of head %s are not in this repository", head)
}
