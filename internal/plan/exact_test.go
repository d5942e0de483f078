package plan_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/nar"
	"homelab/internal/plan"
)

// contentNix evaluates packages.SYSTEM.NAME to what flake/NAME says: a line for
// each path that it is made from. A line "filtered PATH" is a source that is not
// all of the path, "text X" is no source, "rev" is the revision, "throw" fails. Without that file there
// is no such attribute; with a file flake/broken nothing evaluates.
type contentNix struct {
	r *gittest.Repo

	mu      sync.Mutex
	evals   []string // commit or "work", and the names
	drvs    map[string][]plan.StoreSource
	editing func() // while it evaluates
}

func (n *contentNix) Available(context.Context) error { return nil }
func (n *contentNix) Identity() string                { return "content" }
func (n *contentNix) GitRef(_, commit, _ string) string {
	return commit
}

func (n *contentNix) EvalJSON(_ context.Context, ref, _ string) ([]byte, error) {
	raw, err := n.read(ref, "homelab.json")
	if err != nil {
		return nil, fault.New(fault.NotFound, "no registry", "")
	}
	return raw, nil
}

// read is a file as of a commit, or of the work tree.
func (n *contentNix) read(commit, path string) ([]byte, error) {
	if commit == "" {
		return os.ReadFile(n.r.Path(path))
	}
	cmd := exec.Command("git", "show", commit+":"+path)
	cmd.Dir = n.r.Dir
	return cmd.Output()
}

// files are the tracked files at and below a path.
func (n *contentNix) files(commit, path string) []nar.File {
	args := []string{"ls-files", "--stage", "--", path}
	if commit == "" && n.r.Git("status", "--porcelain", "-uno") == "" {
		commit = "HEAD" // Nix takes a clean work tree for its commit
	}
	if commit != "" {
		args = []string{"ls-tree", "-r", "-z", commit, "--", path}
	} else {
		args = slices.Insert(args, 1, "-z")
	}
	var files []nar.File
	for line := range strings.SplitSeq(strings.TrimSuffix(n.r.Git(args...), "\x00"), "\x00") {
		meta, name, _ := strings.Cut(line, "\t")
		below := strings.TrimPrefix(strings.TrimPrefix(name, path), "/")
		if path == "." {
			below = name
		}
		if strings.HasPrefix(meta, "160000") {
			// Nix has an empty folder in its place, of edits the folder above it.
			if commit == "" {
				below = filepath.Dir(below)
			}
			if below != "." {
				files = append(files, nar.File{Path: below, Folder: true})
			}
			continue
		}
		executable := strings.HasPrefix(meta, "100755")
		if commit == "" {
			info, err := os.Lstat(n.r.Path(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			executable = info.Mode()&0o100 != 0
		}
		content, err := n.read(commit, name)
		files = append(files, nar.File{
			Path: below, Executable: executable, Size: int64(len(content)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), err },
		})
	}
	return files
}

func (n *contentNix) Targets(_ context.Context, commit string, attrs []string) (map[string]plan.Evaluated, error) {
	n.mu.Lock()
	names := []string{}
	for _, attr := range attrs {
		names = append(names, attr[strings.LastIndexByte(attr, '.')+1:])
	}
	state := "base"
	if commit == "" {
		state = "work"
	}
	n.evals = append(n.evals, state+" "+strings.Join(names, " "))
	n.mu.Unlock()
	if n.editing != nil && commit == "" {
		n.editing()
	}
	if _, err := n.read(commit, "flake/broken"); err == nil {
		return nil, fault.New(fault.EvalFailed, "syntax error in flake.nix", "mend it")
	}
	found := map[string]plan.Evaluated{}
	for i, attr := range attrs {
		e, err := n.target(commit, names[i])
		e.Err = err
		found[attr] = e
	}
	return found, nil
}

func (n *contentNix) target(commit, name string) (plan.Evaluated, error) {
	recipe, err := n.read(commit, "flake/"+name)
	if err != nil {
		return plan.Evaluated{}, fault.New(fault.NotFound, "the flake has no attribute "+name, "near names")
	}
	out := sha256.New()
	var sources []plan.StoreSource
	for line := range strings.Lines(string(recipe)) {
		what, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		if what == "throw" {
			return plan.Evaluated{}, fault.New(fault.EvalFailed, "thrown by "+name, "look at it")
		}
		fmt.Fprintln(out, what)
		if what == "text" {
			fmt.Fprintln(out, path)
			continue
		}
		if what == "rev" {
			fmt.Fprintln(out, cmp.Or(commit, "dirty"))
			continue
		}
		if path == "" {
			path = what
		}
		files := n.files(commit, path)
		hash, err := nar.Hash(files)
		if err != nil {
			return plan.Evaluated{}, err
		}
		fmt.Fprintln(out, hash)
		source := plan.StoreSource{Path: "/nix/store/" + hash[7:15] + "-" + filepath.Base(path), NarHash: hash, NarSize: nar.Size(files)}
		if what == "filtered" {
			source.NarHash = "sha256-filtered " + hash
		}
		sources = append(sources, source)
	}
	digest := fmt.Sprintf("%.8x", out.Sum(nil))
	drv := "/nix/store/" + digest + "-" + name + ".drv"
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drvs[drv] = sources
	return plan.Evaluated{Drv: drv, Out: "/nix/store/" + digest + "-image"}, nil
}

func (n *contentNix) Sources(_ context.Context, drvs []string) (map[string][]plan.StoreSource, error) {
	found := map[string][]plan.StoreSource{}
	for _, drv := range drvs {
		sources, ok := n.drvs[drv]
		if !ok {
			return nil, fault.New(fault.NotFound, drv+" is not valid", "")
		}
		found[drv] = sources
	}
	return found, nil
}

// newContent is the homelab of the other tests, with what its services are made
// from.
func newContent(t *testing.T, registry string) (*gittest.Repo, *contentNix, *plan.Planner) {
	r := newHomelab(t)
	r.Write("homelab.json", registry)
	r.Write("flake/ha", "services/ha\nlib/oci.nix\n")
	r.Write("flake/prom", "services/prom/prometheus.yml\nlib/oci.nix\n")
	r.Write("flake/grafana", "services/grafana\n")
	r.Commit("flake")
	n := &contentNix{r: r, drvs: map[string][]plan.StoreSource{}}
	return r, n, contentPlanner(t, r, n, t.TempDir())
}

func contentPlanner(t *testing.T, r *gittest.Repo, n *contentNix, cache string) *plan.Planner {
	repo, err := gitrepo.Open(t.Context(), r.Dir)
	require.NoError(t, err)
	return &plan.Planner{
		Repo: repo, Source: &plan.Source{Setting: filepath.Join(repo.Root(), "homelab.json"), Root: repo.Root(), Nix: n, CacheDir: cache},
		Machine: "x86_64-linux",
	}
}

// decisions are those of a plan, without what hints alone say of it.
func decisions(p *plan.Plan) string {
	only := *p
	only.Unmatched, only.StaleHints = plan.PathList{}, nil
	return brief(&only)
}

func TestExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, r *gittest.Repo)
		request plan.Request
		want    string
	}{
		{"nothing", func(*testing.T, *gittest.Repo) {}, plan.Request{}, ``},
		{"a file of one service", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
		}, plan.Request{}, `
			ha rebuild
			  output
			  hint M services/ha/config.yaml services/ha
		`},
		{"under a hint, and not in the output", func(_ *testing.T, r *gittest.Repo) {
			r.Write("shared/a.nix", "edited")
		}, plan.Request{}, ``},
		{"under no hint, and in the output", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/docs/README.md", "edited")
		}, plan.Request{}, `
			ha rebuild
			  output
		`},
		{"a dependency is not followed", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/prom/prometheus.yml", "edited")
		}, plan.Request{}, `
			prom rebuild
			  output
			  hint M services/prom/prometheus.yml services/prom
		`},
		{"a global hint that some do not use", func(_ *testing.T, r *gittest.Repo) {
			r.Write("lib/oci.nix", "edited")
		}, plan.Request{}, `
			ha rebuild
			  output
			  global M lib/oci.nix lib
			prom rebuild
			  output
			  global M lib/oci.nix lib
		`},
		{"asked for", func(*testing.T, *gittest.Repo) {}, plan.Request{Services: []string{"home"}}, `
			ha rebuild
			  explicit
		`},
		{"what the registry says about finding changes", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/prom"]`, `"description": "x", "aliases": ["p"], "hints": ["services/prom", "lib"]`, 1))
		}, plan.Request{}, ``},
		{"what the registry says about deploying", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/prom"]`, `"hints": ["services/prom"], "deploy": {"ports": ["1:1"]}`, 1))
		}, plan.Request{}, `
			prom redeploy
			  registry M homelab.json services.prom
		`},
		{"another attribute with the same output", func(_ *testing.T, r *gittest.Repo) {
			r.Git("mv", "flake/prom", "flake/prometheus")
			r.Write("homelab.json", strings.Replace(homelab, `linux.prom"`, `linux.prometheus"`, 1))
		}, plan.Request{}, ``},
		{"no target, changed", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
		}, plan.Request{System: "aarch64-linux"}, `
			ha blocked
			  hint M services/ha/config.yaml services/ha
			  ! noTarget
			warning noTarget
		`},
		{"no target, and a dependency changed", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", strings.Replace(homelab, `"x86_64-linux": "packages.x86_64-linux.grafana"`, `"aarch64-linux": "grafana"`, 1))
			r.Commit("elsewhere")
			r.Write("services/prom/prometheus.yml", "edited")
		}, plan.Request{}, `
			grafana blocked
			  dependency via prom
			  ! noTarget
			prom rebuild
			  output
			  hint M services/prom/prometheus.yml services/prom
		`},
		{"fails at the head", func(_ *testing.T, r *gittest.Repo) {
			r.Write("flake/ha", "throw")
			r.Write("services/prom/prometheus.yml", "edited")
		}, plan.Request{}, `
			ha unknown
			  ! evalFailed
			prom rebuild
			  output
			  hint M services/prom/prometheus.yml services/prom
		`},
		{"fails at the head, and asked for", func(_ *testing.T, r *gittest.Repo) {
			r.Write("flake/ha", "throw")
		}, plan.Request{Services: []string{"ha"}}, `
			ha unknown
			  explicit
			  ! evalFailed
		`},
		{"no attribute at the head", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("flake/ha")
		}, plan.Request{}, `
			ha unknown
			  ! noAttribute
		`},
		{"fails at the base", func(_ *testing.T, r *gittest.Repo) {
			r.Write("flake/ha", "throw")
			r.Commit("thrown")
			r.Write("flake/ha", "services/ha\n")
		}, plan.Request{}, `
			ha unknown
			  ! baseEvalFailed
		`},
		{"new in the flake", func(_ *testing.T, r *gittest.Repo) {
			was := r.Path("flake/ha")
			content, _ := os.ReadFile(was)
			r.Remove("flake/ha")
			r.Commit("without")
			r.Write("flake/ha", string(content))
			r.Git("add", "-A")
		}, plan.Request{}, `
			ha rebuild
			  output
		`},
		{"the base does not evaluate at all", func(_ *testing.T, r *gittest.Repo) {
			r.Write("flake/broken", "")
			r.Commit("broken")
			r.Remove("flake/broken")
		}, plan.Request{}, `
			grafana unknown
			  ! baseEvalFailed
			ha unknown
			  ! baseEvalFailed
			prom unknown
			  ! baseEvalFailed
			warning baseEvalFailed
		`},
		{"the registry of the base is broken", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", "{")
			r.Commit("broken")
			r.Write("homelab.json", homelab)
			r.Write("services/prom/prometheus.yml", "edited")
		}, plan.Request{Services: []string{"prom"}}, `
			prom rebuild
			  explicit
			  output
			  registry M homelab.json services.prom
			  hint M services/prom/prometheus.yml services/prom
			warning baseRegistryUnreadable
		`},
		{"the registry of the base is broken, and the output is the same", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", "{")
			r.Commit("broken")
			r.Write("homelab.json", homelab)
		}, plan.Request{}, `
			grafana unknown
			  registry M homelab.json services.grafana
			  ! baseRegistryUnreadable
			ha unknown
			  registry M homelab.json services.ha
			  ! baseRegistryUnreadable
			prom unknown
			  registry M homelab.json services.prom
			  ! baseRegistryUnreadable
			warning baseRegistryUnreadable
		`},
		{"nothing committed: against the empty tree", func(*testing.T, *gittest.Repo) {}, plan.Request{Base: strings.Repeat("0", 40), Services: []string{"grafana"}}, `
			grafana rebuild
			  explicit
			  output
			  registry A homelab.json services.grafana
			  hint A services/grafana/g.ini services/grafana
			  global A lib/oci.nix lib
		`},
		{"a base that is not here", func(*testing.T, *gittest.Repo) {}, plan.Request{Base: strings.Repeat("1", 40)}, `
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
		`},
		{"two commits", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
			r.Commit("edited")
			r.Write("services/prom/prometheus.yml", "not looked at")
		}, plan.Request{Base: "HEAD~1", Head: "HEAD"}, `
			ha rebuild
			  output
			  hint M services/ha/config.yaml services/ha
		`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, n, p := newContent(t, homelab)
			c.change(t, r)
			c.request.Mode = plan.Exact
			got, err := p.Plan(t.Context(), c.request)
			require.NoError(t, err)
			assert.Equal(t, want(c.want), decisions(got))
			assert.Equal(t, plan.Exact, got.Mode)
			assert.Nil(t, got.Audit)
			assert.LessOrEqual(t, len(n.evals), 2, "one process for each side")
			for _, s := range got.Services {
				hasOutput := slices.ContainsFunc(s.Reasons, func(r plan.Reason) bool { return r.Kind == plan.ByOutput })
				if s.Out != nil && s.Problem == nil {
					assert.NotEmpty(t, s.Out.New)
					assert.Equal(t, hasOutput, s.Out.Old != s.Out.New, s.Name)
				}
			}
			encoded, err := json.Marshal(got)
			require.NoError(t, err)
			assert.NotContains(t, string(encoded), "null")
		})
	}
}

// A second plan of the same states evaluates nothing, an edit only the head.
func TestExactIsRemembered(t *testing.T) {
	t.Parallel()
	r, n, p := newContent(t, homelab)
	cache := p.Source.CacheDir
	ask := func(mode plan.Mode) *plan.Plan {
		got, err := contentPlanner(t, r, n, cache).Plan(t.Context(), plan.Request{Mode: mode})
		require.NoError(t, err)
		return got
	}
	ask(plan.Exact)
	assert.Equal(t, []string{"work grafana ha prom"}, n.evals, "a clean work tree is its commit")
	r.Remove("flake/grafana")
	r.Write("services/ha/config.yaml", "edited")
	first := ask(plan.Exact)
	second := ask(plan.Exact)
	assert.Equal(t, first, second)
	assert.Equal(t, []string{"work grafana ha prom", "work grafana ha prom"}, n.evals, "also that an attribute is missing is remembered")
	assert.Contains(t, brief(second), "! noAttribute")

	order, err := p.Order(t.Context(), plan.Request{Mode: plan.Exact}, second.PlanID)
	require.NoError(t, err)
	_, _, err = order.Evaluate(t.Context(), []string{"packages.x86_64-linux.ha"}, false)
	require.NoError(t, err)
	assert.Len(t, n.evals, 2, "what is built was evaluated already")

	r.Write("services/ha/config.yaml", "edited again")
	ask(plan.Exact)
	assert.Equal(t, "work grafana ha prom", n.evals[2])
	assert.Len(t, n.evals, 3, "the base is known")

	n.drvs = map[string][]plan.StoreSource{}
	ask(plan.Audit)
	assert.Len(t, n.evals, 4, "collected derivations are evaluated once more: %q", n.evals)
}

func TestModesAndIDs(t *testing.T) {
	t.Parallel()
	_, _, p := newContent(t, homelab)
	ids := map[plan.Mode]string{}
	for _, mode := range []plan.Mode{"", plan.Hints, plan.Exact, plan.Audit} {
		got, err := p.Plan(t.Context(), plan.Request{Mode: mode})
		require.NoError(t, err)
		ids[mode] = got.PlanID
	}
	assert.Equal(t, ids[""], ids[plan.Hints])
	assert.NotEqual(t, ids[""], ids[plan.Exact])
	assert.NotEqual(t, ids[plan.Exact], ids[plan.Audit])
	_, err := p.Plan(t.Context(), plan.Request{Mode: "guess"})
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
}

func TestExactFaults(t *testing.T) {
	t.Parallel()
	r, n, p := newContent(t, homelab)
	r.Write("flake/broken", "")
	r.Git("add", "-A")
	_, err := p.Plan(t.Context(), plan.Request{Mode: plan.Exact})
	assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
	assert.ErrorContains(t, err, "syntax error")
	_, err = p.Check(t.Context(), plan.CheckRequest{Evaluate: true})
	assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))

	r.Git("rm", "-q", "-f", "flake/broken")
	r.Write("services/ha/config.yaml", "edited")
	n.editing = func() { r.Write("services/ha/config.yaml", "edited meanwhile") }
	got, err := p.Plan(t.Context(), plan.Request{Mode: plan.Exact})
	require.NoError(t, err)
	assert.Contains(t, brief(got), "warning changedMeanwhile")

	p.Source.Nix = noNix{}
	_, err = p.Plan(t.Context(), plan.Request{Mode: plan.Exact})
	assert.ErrorContains(t, err, "nix is not installed")
	_, err = p.Plan(t.Context(), plan.Request{})
	require.NoError(t, err)
}
