package plan_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

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
