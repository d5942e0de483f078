package plan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
	"homelab/registry"
)

const haEdited = `
	ha rebuild
	  hint M services/ha/config.yaml services/ha
`

func edit(r *gittest.Repo) { r.Write("services/ha/config.yaml", "edited") }

// clone clones a repository over the file protocol, so that --depth counts.
func clone(t testing.TB, r *gittest.Repo, args ...string) *gittest.Repo {
	dir := filepath.Join(t.TempDir(), "clone")
	r.Git(append(append([]string{"clone", "-q"}, args...), "file://"+r.Dir, dir)...)
	dir, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	return &gittest.Repo{T: t, Dir: dir}
}

func TestBaseMissing(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	one := r.Rev("HEAD")
	edit(r)
	r.Commit("two")
	shallow := clone(t, r, "--depth=1")
	for _, base := range []string{one, strings.Repeat("1", 40)} {
		got := ask(t, shallow, plan.Request{Base: base})
		assert.Equal(t, want(`
			grafana unknown
			  baseMissing
			  dependency via prom
			  ! baseMissing
			ha unknown
			  baseMissing
			  ! baseMissing
			prom unknown
			  baseMissing
			  ! baseMissing
			warning baseMissing
		`), brief(got))
		assert.False(t, got.Complete)
		assert.Equal(t, plan.Side{Ref: base, Commit: base, State: plan.StateMissing, Relation: "unknown", Why: "asked for"}, got.Base)
		assert.Contains(t, got.Warnings[0].Hint, "git fetch --unshallow")
	}
}

// In a shallow clone an ancestor is missing however it is named, and so is a merge
// base with it.
func TestBaseBeforeAShallowClone(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	one := r.Rev("HEAD")
	edit(r)
	r.Commit("two")
	shallow := clone(t, r, "--depth=1")
	for _, request := range []plan.Request{
		{Base: "HEAD~1"}, {Base: "HEAD^"}, {Base: "main~1"}, {Base: one[:8]}, {Base: "HEAD~1", MergeBase: true}, {Base: "HEAD~1", Head: "HEAD"},
	} {
		got := ask(t, shallow, request)
		assert.Equal(t, plan.Counts{Total: 3, Unknown: 3}, got.Counts, "%+v", request)
		assert.Equal(t, plan.StateMissing, got.Base.State)
		assert.Contains(t, got.Warnings[0].Hint, "git fetch --unshallow")
	}
	_, err := planner(t, shallow).Plan(t.Context(), plan.Request{Head: "HEAD~1"})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "git fetch --unshallow")
}

// A commit whose trees were lost is as missing as a lost commit.
func TestBaseTreeMissing(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	one := r.Rev("HEAD")
	lost := r.Rev("HEAD:services/prom")
	r.Write("services/prom/prometheus.yml", "edited")
	r.Commit("two")
	require.NoError(t, os.Remove(r.Path(".git/objects/"+lost[:2]+"/"+lost[2:])))
	got := ask(t, r, plan.Request{Base: one})
	assert.Equal(t, plan.StateMissing, got.Base.State)
	assert.Equal(t, plan.Counts{Total: 3, Unknown: 3}, got.Counts)
}

func TestUnbornHead(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Write("homelab.json", homelab)
	r.Write("services/ha/config.yaml", "x")
	r.Git("add", "-A")
	r.Write("services/prom/prometheus.yml", "x")
	got := ask(t, r, plan.Request{})
	assert.Equal(t, plan.Side{State: plan.StateEmpty, Relation: "unrelated", Why: "nothing has been committed yet"}, got.Base)
	assert.Equal(t, want(`
		grafana rebuild
		  registry A homelab.json services.grafana
		  dependency via prom
		ha rebuild
		  hint A services/ha/config.yaml services/ha
		  registry A homelab.json services.ha
		prom rebuild
		  hint ? services/prom/prometheus.yml services/prom
		  registry A homelab.json services.prom
		stale  lib
		stale grafana services/grafana
		stale ha shared/*.nix
		warning untracked
	`), brief(got))
}

func TestAllZeroBase(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	got := ask(t, r, plan.Request{Base: strings.Repeat("0", 40), Services: []string{"ha"}})
	assert.Equal(t, plan.StateEmpty, got.Base.State)
	assert.Equal(t, 7, got.Changes.Count-1, "every tracked file and the registry")
	assert.Equal(t, plan.Added, got.Changes.Files[0].Status)
}

func TestRelations(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Git("tag", "one")
	edit(r)
	r.Commit("two")
	r.Git("tag", "two")
	r.Git("checkout", "-q", "-b", "side", "one")
	r.Write("services/prom/prometheus.yml", "edited")
	r.Commit("side")
	r.Git("checkout", "-q", "--orphan", "alone")
	r.Commit("alone")
	for _, c := range []struct{ base, head, relation string }{
		{"one", "one", "same"}, {"one", "two", "ancestor"}, {"two", "one", "descendant"},
		{"two", "side", "diverged"}, {"alone", "two", "unrelated"},
	} {
		got := ask(t, r, plan.Request{Base: c.base, Head: c.head})
		assert.Equal(t, c.relation, got.Base.Relation, "%s..%s", c.base, c.head)
	}
	// A rollback is compared tree with tree.
	assert.Equal(t, want(haEdited), brief(ask(t, r, plan.Request{Base: "two", Head: "one"})))
	// The pull request question sees only this side's changes.
	assert.Equal(t, want(`
		grafana rebuild
		  dependency via prom
		prom rebuild
		  hint M services/prom/prometheus.yml services/prom
	`), brief(ask(t, r, plan.Request{Base: "two", Head: "side", MergeBase: true})))
	// Without a common ancestor nothing can be told.
	got := ask(t, r, plan.Request{Base: "alone", Head: "two", MergeBase: true})
	assert.Equal(t, plan.Counts{Total: 3, Unknown: 3}, got.Counts)
	assert.Equal(t, "no merge base with alone, asked for", got.Base.Why)
}

// Two merges across each other leave two merge bases: what differs from either
// counts.
func TestSeveralMergeBases(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Git("checkout", "-q", "-b", "a")
	edit(r)
	a := r.Commit("a")
	r.Git("checkout", "-q", "-b", "b", "main")
	r.Write("services/prom/prometheus.yml", "edited")
	b := r.Commit("b")
	r.Git("merge", "-q", "-m", "m", a)
	r.Git("checkout", "-q", "a")
	r.Git("merge", "-q", "-m", "m", b)
	got := ask(t, r, plan.Request{Base: "b", Head: "a", MergeBase: true})
	assert.Equal(t, want(`
		grafana rebuild
		  dependency via prom
		ha rebuild
		  hint M services/ha/config.yaml services/ha
		prom rebuild
		  hint M services/prom/prometheus.yml services/prom
		warning severalMergeBases
	`), brief(got))
}

// An entry of the registry that differs from either base counts.
func TestRegistryOfSeveralMergeBases(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Git("checkout", "-q", "-b", "a")
	r.Write("homelab.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
	a := r.Commit("a")
	r.Git("checkout", "-q", "-b", "b", "main")
	r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/grafana"]`, `"hints": ["services/grafana", "lib"]`, 1))
	b := r.Commit("b")
	r.Git("merge", "-q", "-m", "m", a)
	r.Git("checkout", "-q", "a")
	r.Git("merge", "-q", "-m", "m", b)
	assert.Equal(t, want(`
		grafana rebuild
		  registry M homelab.json services.grafana
		ha rebuild
		  registry M homelab.json services.ha
		warning severalMergeBases
	`), brief(ask(t, r, plan.Request{Base: "b", Head: "a", MergeBase: true})))
}

// homelab.json taking over from the flake is another registry, however long it
// was there.
func TestOtherSource(t *testing.T) {
	t.Parallel()
	r, _, p := flakeHomelab(t)
	r.Write("homelab.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
	r.Commit("both")
	r.Remove("flake.nix")
	got, err := p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, want(`
		ha rebuild
		  registry M homelab.json services.ha
		unmatched flake.nix
	`), brief(got))
}

func TestDefaultBaseIsTheUpstream(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	c := clone(t, r)
	edit(c)
	c.Commit("mine")
	r.Write("services/prom/prometheus.yml", "theirs")
	r.Commit("theirs")
	c.Git("fetch", "-q")
	got := ask(t, c, plan.Request{})
	assert.Equal(t, want(haEdited), brief(got))
	assert.Equal(t, plan.Side{
		Ref: "origin/main", Commit: c.Rev("HEAD~1"), State: plan.StateCommit, Relation: "ancestor",
		Why: "merge base with the upstream branch origin/main",
	}, got.Base)
}

// A merge base with nothing named is the one with the upstream, or a slip: HEAD
// would say that a branch touches nothing.
func TestMergeBaseWithoutABase(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Git("checkout", "-q", "-b", "feature")
	edit(r)
	r.Commit("mine")
	c := clone(t, r, "--branch", "main")
	_, err := planner(t, r).Plan(t.Context(), plan.Request{MergeBase: true})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
	assert.ErrorContains(t, err, "mergeBase needs a base")
	assert.Contains(t, fault.Of(err).Hint, "such as main")

	edit(c)
	c.Commit("mine")
	p := planner(t, c)
	p.Deployed = func(context.Context, *registry.Registry, []string) (map[string]plan.Deployment, []plan.Warning, error) {
		t.Error("asked what is deployed")
		return nil, nil, nil
	}
	got, err := p.Plan(t.Context(), plan.Request{MergeBase: true})
	require.NoError(t, err)
	assert.Equal(t, want(haEdited), brief(got), "what is deployed is another question")
	assert.Equal(t, "merge base with the upstream branch origin/main", got.Base.Why)
}

// The branch was merged and deleted: what it adds cannot be told.
func TestUpstreamGone(t *testing.T) {
	t.Parallel()
	c := clone(t, newHomelab(t))
	edit(c)
	c.Commit("mine")
	c.Git("update-ref", "-d", "refs/remotes/origin/main")
	got := ask(t, c, plan.Request{})
	assert.Equal(t, plan.Counts{Total: 3, Unknown: 3}, got.Counts)
	assert.Contains(t, got.Warnings[0].Message, "the upstream branch origin/main is gone")
	assert.Equal(t, want(haEdited), brief(ask(t, c, plan.Request{Base: "HEAD~1"})))
}

func TestLinkedWorkTreeAndSubfolder(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	dir := filepath.Join(t.TempDir(), "linked")
	r.Git("worktree", "add", "-q", "-b", "linked", dir)
	dir, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	linked := &gittest.Repo{T: t, Dir: dir}
	edit(linked)
	assert.Equal(t, want(haEdited), brief(ask(t, linked, plan.Request{})))
	assert.Empty(t, brief(ask(t, r, plan.Request{})), "the main work tree")
	below := &gittest.Repo{T: t, Dir: linked.Path("services/prom")}
	assert.Equal(t, want(haEdited), brief(ask(t, below, plan.Request{})), "hints stay relative to the root")
}

func TestNestedRepository(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("services/ha/custom/x", "x")
	nested := &gittest.Repo{T: t, Dir: r.Path("services/ha/custom")}
	nested.Git("init", "-q", "-b", "main")
	nested.Commit("inner")
	got := ask(t, r, plan.Request{})
	assert.Equal(t, want(`
		ha rebuild
		  hint ? services/ha/custom/ services/ha
		warning untracked
	`), strings.ReplaceAll(brief(got), "submodule ?", "hint ?"))
	_, err := planner(t, nested).Plan(t.Context(), plan.Request{})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "its own root, without a registry: %v", err)
}

// GIT_DIR and its like count for the current folder, not for one that is named.
func TestGitDirFromTheEnvironment(t *testing.T) {
	r := newHomelab(t)
	edit(r)
	elsewhere := newHomelab(t)
	t.Chdir(elsewhere.Dir)
	t.Setenv("GIT_DIR", r.Path(".git"))
	t.Setenv("GIT_WORK_TREE", r.Dir)

	repo, err := gitrepo.Open(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, r.Dir, repo.Root())
	p := planner(t, elsewhere)
	p.Repo, p.Source = repo, &plan.Source{Root: repo.Root(), Nix: noNix{}}
	got, err := p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Equal(t, want(haEdited), brief(got))

	got, err = planner(t, elsewhere).Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Empty(t, brief(got))
}

func TestNotARepository(t *testing.T) {
	t.Parallel()
	_, err := gitrepo.Open(t.Context(), t.TempDir())
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "--repo")

	bare := gittest.New(t, "--bare")
	_, err = gitrepo.Open(t.Context(), bare.Dir)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.ErrorContains(t, err, "bare")
}

func TestMissingRevision(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Git("branch", "feature/prometheus")
	for _, c := range []struct {
		request plan.Request
		code    fault.Code
		hint    string
	}{
		{plan.Request{Base: "feature/promethues"}, fault.NotFound, "did you mean feature/prometheus?"},
		{plan.Request{Base: "maim"}, fault.NotFound, "did you mean main?"},
		{plan.Request{Head: "zzzzzz"}, fault.NotFound, "git branch -a"},
		{plan.Request{Base: "--output=x"}, fault.InvalidArgument, "name a branch"},
		{plan.Request{Base: "main..HEAD"}, fault.InvalidArgument, "name a branch"},
		{plan.Request{Head: strings.Repeat("2", 40)}, fault.NotFound, "git fetch"},
		{plan.Request{Services: []string{"grafanna"}}, fault.UnknownService, "did you mean grafana?"},
		{plan.Request{System: "x86-linux"}, fault.InvalidArgument, "did you mean"},
		{plan.Request{Limit: -1}, fault.InvalidArgument, "limit goes from"},
		{plan.Request{Cursor: "x"}, fault.InvalidArgument, "nextCursor"},
	} {
		_, err := planner(t, r).Plan(t.Context(), c.request)
		assert.Equal(t, c.code, fault.CodeOf(err), "%+v: %v", c.request, err)
		assert.Contains(t, fault.Of(err).Hint, c.hint, "%+v", c.request)
	}
}

func TestNotUTF8(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("services/ha/bad\xff\xfename", "x")
	r.Git("add", "-A")
	got := ask(t, r, plan.Request{})
	assert.Equal(t, plan.Reason{
		Kind: plan.ByHint, Path: "services/ha/bad\uFFFDname", PathBase64: "c2VydmljZXMvaGEvYmFk//5uYW1l",
		Status: plan.Added, Hint: "services/ha",
	}, got.Services[1].Reasons[0])
}

func TestManyChangesAreBounded(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	var script strings.Builder
	script.WriteString("commit refs/heads/many\ncommitter A <a@example.org> 1700000000 +0000\ndata 1\nx\nfrom refs/heads/main^0\n")
	const many = 100_000
	for i := range many {
		fmt.Fprintf(&script, "M 100644 inline services/ha/many/%d/%d\ndata 1\nx\n", i/1000, i)
	}
	r.GitInput(script.String(), "fast-import", "--quiet")
	request := plan.Request{Base: "main", Head: "many", Limit: 10}
	p := planner(t, r)
	got, err := p.Plan(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, many, got.Changes.Count)
	assert.Len(t, got.Changes.Files, 10)
	assert.Equal(t, many, got.Services[1].ReasonCount)
	assert.Len(t, got.Services[1].Reasons, 10)

	request.Cursor = got.NextCursor
	next, err := p.Plan(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, got.PlanID, next.PlanID)
	assert.Greater(t, next.Changes.Files[0].Path, got.Changes.Files[9].Path)

	request.Base = "many"
	_, err = p.Plan(t.Context(), request)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "the cursor of another question")
}
