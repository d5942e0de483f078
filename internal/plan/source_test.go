package plan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
	"homelab/registry"
)

// fakeNix evaluates a flake to what its registry.json says, at the revision that
// is asked for, and counts.
type fakeNix struct {
	r     *gittest.Repo
	mu    sync.Mutex
	evals []string // read when nobody evaluates
	fail  error

	identity string
	asked    func(ref string) // told of every flake whose targets are evaluated
}

func (n *fakeNix) count(eval string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.evals = append(n.evals, eval)
}

func (n *fakeNix) Available(context.Context) error { return nil }

func (n *fakeNix) Identity() string { return n.identity }

// Targets evaluates NAME to NAME.drv, and to /nix/store/COMMIT-NAME.
func (n *fakeNix) Targets(_ context.Context, ref string, attrs []string) (map[string]plan.Evaluated, error) {
	if n.asked != nil {
		n.asked(ref)
	}
	_, commit, _ := strings.Cut(ref, "?")
	commit, _, _ = strings.Cut(commit, "?")
	n.count(fmt.Sprintf("%.7s targets %s", commit, strings.Join(attrs, " ")))
	if n.fail != nil {
		return nil, n.fail
	}
	found := map[string]plan.Evaluated{}
	for _, attr := range attrs {
		found[attr] = plan.Evaluated{Drv: attr + ".drv", Out: "/nix/store/" + commit + "-" + attr, Output: "out"}
		if strings.Contains(attr, "broken") {
			found[attr] = plan.Evaluated{Err: fault.New(fault.EvalFailed, "broken", "mend it")}
		}
	}
	return found, nil
}

func (n *fakeNix) Sources(context.Context, []string) (map[string][]plan.StoreSource, error) {
	return nil, nil
}

func (n *fakeNix) GitRef(root, commit, dir string) string {
	return filepath.Base(root) + "?" + commit + "?" + dir
}

func (n *fakeNix) EvalJSON(_ context.Context, ref, attr string) ([]byte, error) {
	parts := append(strings.Split(ref, "?"), "", "") // one outside has none
	n.count(fmt.Sprintf("%.7s %s#%s", parts[1], parts[2], attr))
	if n.fail != nil {
		return nil, n.fail
	}
	path := filepath.Join(parts[2], "registry.json")
	if parts[1] == "" {
		return os.ReadFile(n.r.Path(path))
	}
	return []byte(n.r.Git("show", parts[1]+":"+path)), nil
}

func flakeHomelab(t *testing.T) (*gittest.Repo, *fakeNix, *plan.Planner) {
	r := newHomelab(t)
	r.Remove("homelab.json")
	r.Write("flake.nix", "{ }")
	r.Write("registry.json", homelab)
	r.Commit("flake")
	n := &fakeNix{r: r}
	return r, n, flakePlanner(t, r, n, t.TempDir())
}

func flakePlanner(t *testing.T, r *gittest.Repo, n *fakeNix, cache string) *plan.Planner {
	repo, err := gitrepo.Open(t.Context(), r.Dir)
	require.NoError(t, err)
	return &plan.Planner{Repo: repo, Source: &plan.Source{Root: r.Dir, Nix: n, CacheDir: cache}, Machine: "x86_64-linux"}
}

func TestEvaluatesEachStateOnce(t *testing.T) {
	t.Parallel()
	r, n, p := flakeHomelab(t)
	cache := p.Source.CacheDir
	ask := func() string {
		got, err := p.Plan(t.Context(), plan.Request{})
		require.NoError(t, err)
		return brief(got)
	}
	unmatched := "unmatched flake.nix\nunmatched registry.json\n"
	assert.Empty(t, ask())
	assert.Empty(t, ask())
	assert.Equal(t, []string{" #homelab"}, n.evals, "clean: once, and the base is the same state")

	r.Write("services/ha/untracked", "x")
	assert.Contains(t, ask(), "services/ha/untracked")
	assert.Len(t, n.evals, 1, "flakes do not see it")
	r.Remove("services/ha/untracked")

	edit(r)
	assert.Equal(t, want(haEdited), ask())
	assert.Equal(t, want(haEdited), ask())
	assert.Len(t, n.evals, 2, "an edit is another state")

	r.Write("registry.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
	r.Write("flake.nix", "{ /* edited */ }")
	first := ask()
	assert.Equal(t, "ha rebuild\n  hint M services/ha/config.yaml services/ha\n  registry M services.ha\n"+unmatched, first)
	assert.Len(t, n.evals, 3)

	n.fail = fault.New(fault.EvalFailed, "must not be called", "")
	p = flakePlanner(t, r, n, cache)
	assert.Equal(t, first, ask(), "another process finds all of it on disk")

	files, err := filepath.Glob(filepath.Join(cache, "registry", "*.json"))
	require.NoError(t, err)
	for _, file := range files {
		require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	}
	p = flakePlanner(t, r, n, cache)
	_, err = p.Plan(t.Context(), plan.Request{})
	assert.ErrorContains(t, err, "must not be called", "a damaged cache is not believed")
}

// What an evaluation depends on is told from every edit, also where no hint is.
func TestFolderBecomesAFileBesideAFlake(t *testing.T) {
	t.Parallel()
	for _, staged := range []bool{false, true} {
		r, n, p := flakeHomelab(t)
		r.Write("notes/old/x", "1")
		r.Commit("notes")
		r.Remove("notes/old")
		r.Write("notes/old", "x")
		if staged {
			r.Git("add", "-A")
		}
		for range 2 {
			got, err := p.Plan(t.Context(), plan.Request{})
			require.NoError(t, err)
			assert.Zero(t, got.Counts.Rebuild)
			assert.Contains(t, brief(got), "unmatched notes/old/x")
		}
		assert.Len(t, n.evals, 2, "the work tree and the base, once each")
		_, err := p.List(t.Context(), plan.ListRequest{})
		require.NoError(t, err)
		check, err := p.Check(t.Context(), plan.CheckRequest{})
		require.NoError(t, err)
		assert.True(t, check.Valid)
	}
}

// A registry below a file is not there, and that is no defect.
func TestRegistryBelowAFile(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	p := planner(t, r)
	for _, setting := range []string{r.Path("README.md/homelab.json"), filepath.Join(t.TempDir(), "homelab.json")} {
		p.Source.Setting = setting
		_, err := p.Plan(t.Context(), plan.Request{})
		assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%s: %v", setting, err)
	}
}

// Nix sees bytes and modes that git was told to look away from, or takes for
// equal: each of them evaluates anew, and nothing else does.
func TestWhatGitDoesNotSee(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(r *gittest.Repo)
		change  func(t *testing.T, r *gittest.Repo)
	}{
		"assume-unchanged": {
			func(r *gittest.Repo) { r.Git("update-index", "--assume-unchanged", "README.md") },
			func(_ *testing.T, r *gittest.Repo) { r.Write("README.md", "other") },
		},
		"permissions": {
			func(r *gittest.Repo) { r.Git("config", "core.fileMode", "false") },
			func(t *testing.T, r *gittest.Repo) { require.NoError(t, os.Chmod(r.Path("README.md"), 0o755)) },
		},
		"line endings": {
			func(r *gittest.Repo) { r.Write(".gitattributes", "* text\n"); r.Commit("attributes") },
			func(_ *testing.T, r *gittest.Repo) { r.Write("README.md", "README.md\r\n") },
		},
		"line endings, by attributes that git ignores": {
			func(r *gittest.Repo) {
				r.Write(".gitignore", ".gitattributes\n")
				r.Write(".gitattributes", "* text\n")
				r.Git("add", ".gitignore")
			},
			func(_ *testing.T, r *gittest.Repo) { r.Write("README.md", "README.md\r\n") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, n, p := flakeHomelab(t)
			c.prepare(r)
			edit(r)
			ask := func() {
				n.evals = nil
				_, err := p.Plan(t.Context(), plan.Request{})
				require.NoError(t, err)
			}
			ask()
			ask()
			assert.Empty(t, n.evals, "remembered")
			c.change(t, r)
			ask()
			assert.Equal(t, []string{" #homelab"}, n.evals)
		})
	}
}

func TestBaseThatDoesNotEvaluate(t *testing.T) {
	t.Parallel()
	r, _, p := flakeHomelab(t)
	good := r.Rev("HEAD")
	r.Write("registry.json", "{")
	r.Commit("broken")
	r.Write("registry.json", homelab)
	r.Commit("mended")
	got, err := p.Plan(t.Context(), plan.Request{Base: "HEAD~1"})
	require.NoError(t, err)
	assert.Equal(t, 3, got.Counts.Rebuild)
	assert.Contains(t, brief(got), "warning baseRegistryUnreadable")
	got, err = p.Plan(t.Context(), plan.Request{Base: good})
	require.NoError(t, err)
	assert.Empty(t, brief(got))
}

func TestWhichRegistry(t *testing.T) {
	t.Parallel()
	other := strings.NewReplacer(`"prom"`, `"prometheus"`, `"services/prom"`, `"services/prom"`).Replace(homelab)
	outside := filepath.Join(t.TempDir(), "elsewhere.json")
	require.NoError(t, os.WriteFile(outside, []byte(other), 0o644))
	list := func(p *plan.Planner) (string, error) {
		got, err := p.List(t.Context(), plan.ListRequest{})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(got.Source, " ", got.Services[2].Name), nil
	}
	for _, c := range []struct{ setting, want string }{
		{"", "flake .#homelab prom"},
		{"flake:.#other", "flake .#other prom"},
		{"flake:./sub#other", "flake ./sub#other prometheus"},
		{"flake:ROOT#other", "flake .#other prom"},
		{"flake:git+file://ROOT/sub", "flake ./sub#homelab prometheus"},
		{"ROOT/registry.json", "registry.json prom"},
		{"ROOT/sub/registry.json", "sub/registry.json prometheus"},
		{outside, outside + " prometheus"},
	} {
		r, _, p := flakeHomelab(t)
		r.Write("sub/registry.json", other)
		r.Commit("sub")
		p.Source.Setting = strings.Replace(c.setting, "ROOT", r.Dir, 1)
		got, err := list(p)
		require.NoError(t, err, c.setting)
		assert.Equal(t, c.want, got)
	}

	r, n, p := flakeHomelab(t)
	n.fail = fault.New(fault.NotFound, "no such attribute", "")
	_, err := list(p)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	assert.ErrorContains(t, err, "looked for the flake's homelab (flake.nix does not have it) and for homelab.json (not there)")
	r.Write("homelab.json", homelab)
	got, err := p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
	assert.Contains(t, brief(got), "warning registryFallback")

	r.Remove("homelab.json")
	r.Git("rm", "-q", "--cached", "flake.nix")
	r.Git("commit", "-q", "-m", "untracked")
	_, err = list(p)
	assert.ErrorContains(t, err, "Nix does not see flake.nix: git does not track it")
	assert.Equal(t, "git add flake.nix", fault.Of(err).Hint)

	p.Source.Nix = noNix{}
	_, err = list(p)
	assert.ErrorContains(t, err, "looked for the flake's homelab (nix is not installed) and for homelab.json (not there)")

	p.Source.Setting = "flake:-x#y"
	_, err = list(p)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
}

// A link to itself is no registry, on disk and in a commit; as the base, it is one
// that cannot be read.
func TestRegistryThatLinksToItself(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"homelab.json", "other.json"} {
		r := newHomelab(t)
		r.Remove("homelab.json")
		r.Link(target, "homelab.json")
		r.Link("homelab.json", "other.json")
		r.Commit("loop")
		for _, request := range []plan.Request{{}, {Head: "HEAD"}} {
			_, err := planner(t, r).Plan(t.Context(), request)
			assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "%+v: %v", request, err)
			assert.EqualError(t, err, "registry homelab.json: it is a link that leads back to itself")
			assert.NotEmpty(t, fault.Of(err).Hint)
		}
		_, err := planner(t, r).List(t.Context(), plan.ListRequest{})
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))

		r.Remove("homelab.json")
		r.Write("homelab.json", homelab)
		got := ask(t, r, plan.Request{})
		assert.Contains(t, brief(got), "warning baseRegistryUnreadable")
		assert.Equal(t, 3, got.Counts.Rebuild)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newHomelab(t)
	r.Write("homelab.json", strings.NewReplacer(
		`"hints": ["services/ha", "shared/*.nix"]`, `"hints": ["services/ha", "shared/*.nix", "gone", "logs"], "inputs": ["nixpkgs"]`,
		`"hints": ["services/prom"]`, `"hints": ["services/prom", "shared"]`,
		`"hints": ["services/grafana"]`, `"hints": ["services/grafana", "./shared/"]`,
	).Replace(homelab))
	r.Write(".gitignore", "logs/\n")
	r.Write("docs/a", "x")
	r.Write("docs/b", "x")
	r.Write("flake.lock", `{"nodes": {"root": {"inputs": {"other": "other"}}, "other": {}}, "root": "root"}`)
	r.Commit("two")
	r.Write("logs/x", "ignored")
	r.Write("services/ha/new", "untracked")
	got, err := planner(t, r).Check(t.Context(), plan.CheckRequest{})
	require.NoError(t, err)
	assert.Equal(t, &plan.Check{
		Source: "homelab.json", Valid: true, Problems: []registry.Problem{},
		StaleHints:        []plan.StaleHint{{Service: "ha", Hint: "gone"}, {Service: "ha", Hint: "logs", Ignored: true}},
		Uncovered:         plan.FolderList{Count: 4, Folders: []plan.Folder{{Path: ".", Files: 2}, {Path: "docs", Files: 2}}},
		Shared:            plan.SharedList{Hints: []plan.SharedHint{}},
		Untracked:         plan.FileList{Count: 1, Files: []plan.File{{Path: "services/ha/new", Status: plan.Untracked}}},
		MissingAttributes: []plan.MissingAttribute{}, WholeFlake: []plan.WholeFlake{},
		Warnings: []plan.Warning{{Code: "unknownInput", Message: `ha names the flake input "nixpkgs", which flake.lock does not have`, Hint: "valid: other"}},
	}, got)

	r.Write("homelab.json", `{"version": 2, "services": {}}`)
	got, err = planner(t, r).Check(t.Context(), plan.CheckRequest{})
	require.NoError(t, err)
	assert.False(t, got.Valid)
	assert.Equal(t, "homelab.json", got.Source)
	assert.Equal(t, "$.version", got.Problems[0].Path)
}
