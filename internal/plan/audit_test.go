package plan_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

func audited(t *testing.T, p *plan.Planner, r plan.Request) *plan.Findings {
	t.Helper()
	r.Mode = plan.Audit
	got, err := p.Plan(t.Context(), r)
	require.NoError(t, err)
	require.NotNil(t, got.Audit)
	return got.Audit
}

// agreed is an audit that found nothing.
func agreed() *plan.Findings {
	return &plan.Findings{OverWide: []plan.OverWide{}, Missing: []plan.Missing{}, WholeFlake: []plan.WholeFlake{}}
}

func TestAuditFindsWideHints(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	assert.Equal(t, agreed(), audited(t, p, plan.Request{}))
	r.Write("services/ha/config.yaml", "edited")
	assert.Equal(t, agreed(), audited(t, p, plan.Request{}))
	r.Write("lib/oci.nix", "edited")
	r.Write("shared/a.nix", "edited")
	r.Write("shared/b.nix", "untracked")
	f := audited(t, p, plan.Request{})
	assert.Equal(t, []plan.OverWide{{Service: "grafana", Hints: []string{"lib"}, Paths: []plan.Path{"lib/oci.nix"}, Count: 1}}, f.OverWide)
	assert.Empty(t, f.Missing)
}

// A dependency rebuilds what is the same without it: no hint is wrong, and none
// is added.
func TestAuditFindsRebuildsOfDependents(t *testing.T) {
	t.Parallel()
	viaProm := []plan.OverWide{{Service: "grafana", Hints: []string{}, Paths: []plan.Path{}, Via: []string{"prom"}}}
	for name, c := range map[string]struct {
		registry string
		change   func(r *gittest.Repo)
		want     []plan.OverWide
	}{
		"the dependency changed": {homelab, func(r *gittest.Repo) {
			r.Write("services/prom/prometheus.yml", "edited")
		}, viaProm},
		"its entry in the registry did": {homelab, func(r *gittest.Repo) {
			r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/prom"]`, `"hints": ["services/prom", "shared"]`, 1))
		}, viaProm},
		"its deployment did": {homelab, func(r *gittest.Repo) {
			r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/prom"]`, `"hints": ["services/prom"], "deploy": {"ports": ["1:1"]}`, 1))
		}, []plan.OverWide{}},
		"a dependency of the dependency did": {strings.Replace(homelab, `"hints": ["services/prom"]`, `"dependsOn": ["ha"], "hints": ["services/prom"]`, 1), func(r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
		}, append(viaProm[:1:1], plan.OverWide{Service: "prom", Hints: []string{}, Paths: []plan.Path{}, Via: []string{"ha"}})},
		"what is not tracked did": {homelab, func(r *gittest.Repo) {
			r.Write("services/prom/new", "untracked")
		}, []plan.OverWide{}},
		"its own deployment did as well": {homelab, func(r *gittest.Repo) {
			r.Write("services/prom/prometheus.yml", "edited")
			r.Write("homelab.json", strings.Replace(homelab, `"hints": ["services/grafana"]`, `"hints": ["services/grafana"], "deploy": {"ports": ["1:1"]}`, 1))
		}, viaProm},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, p := newContent(t, c.registry)
			c.change(r)
			f := audited(t, p, plan.Request{})
			assert.Equal(t, c.want, f.OverWide)
			assert.Empty(t, f.Missing)
			assert.Nil(t, f.Patch)
		})
	}
}

func TestAuditFindsMissingHints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		setup  func(r *gittest.Repo) // before the base
		change func(r *gittest.Repo)
		want   plan.Missing
	}{
		{
			"a file", func(r *gittest.Repo) {
				r.Write("flake/prom", "services/prom/prometheus.yml\nREADME.md\n")
			}, func(r *gittest.Repo) {
				r.Write("README.md", "edited")
				r.Write("notes", "beside it")
			},
			plan.Missing{Service: "prom", Causes: []plan.Path{"README.md"}, Hints: []string{"README.md"}},
		},
		{
			"a folder, with the file in it", func(r *gittest.Repo) {
				r.Write("dash[1]/x/a", "1")
				r.Write("dash[1]/x.b", "1")
				r.Write("dash[1]/run", "1")
				require.NoError(t, os.Chmod(r.Path("dash[1]/run"), 0o755))
				r.Write("flake/prom", "dash[1]\ndash[1]/x/a\n")
			}, func(r *gittest.Repo) { r.Write("dash[1]/x/a", "2") },
			plan.Missing{Service: "prom", Causes: []plan.Path{"dash[1]"}, Hints: []string{`dash\[1]`}},
		},
		{
			"a file that is gone", func(r *gittest.Repo) {
				r.Write("extra", "1")
				r.Write("other", "1")
				r.Write("flake/prom", "services/prom\nextra\n")
			}, func(r *gittest.Repo) {
				r.Remove("extra")
				r.Write("other", "2")
				r.Write("flake/prom", "services/prom\n")
			},
			plan.Missing{Service: "prom", Causes: []plan.Path{"extra"}, Hints: []string{"extra"}},
		},
		{
			"a filtered source, and several candidates", func(r *gittest.Repo) {
				r.Write("data/a", "1")
				r.Write("data/b", "1")
				r.Write("flake/prom", "filtered data\n")
			}, func(r *gittest.Repo) {
				r.Write("data/a", "2")
				r.Write("data/b", "2")
				r.Write("untracked", "2")
			},
			plan.Missing{Service: "prom", Candidates: []plan.Path{"data/a", "data/b"}, Count: 2},
		},
		{
			"no source at all, and one candidate", func(r *gittest.Repo) {
				r.Write("flake/prom", "text 1\n")
			}, func(r *gittest.Repo) { r.Write("flake/prom", "text 2\n") },
			plan.Missing{Service: "prom", Candidates: []plan.Path{"flake/prom"}, Count: 1, SameSources: true},
		},
		{
			"the revision, and a file it never reads", func(r *gittest.Repo) {
				r.Write("flake/prom", "services/prom\nrev\n")
			}, func(r *gittest.Repo) { r.Write("README.md", "2") },
			plan.Missing{Service: "prom", Candidates: []plan.Path{"README.md"}, Count: 1, SameSources: true},
		},
		{
			"a filtered source, and one candidate", func(r *gittest.Repo) {
				r.Write("data/a", "1")
				r.Write("flake/prom", "filtered data\n")
			}, func(r *gittest.Repo) { r.Write("data/a", "2") },
			plan.Missing{Service: "prom", Candidates: []plan.Path{"data/a"}, Count: 1},
		},
		{
			"excluded, though it matters", func(*gittest.Repo) {},
			func(r *gittest.Repo) { r.Write("services/ha/docs/README.md", "edited") },
			plan.Missing{Service: "ha", Causes: []plan.Path{"services/ha"}, Excluded: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, committed := range []bool{false, true} {
				r, _, p := newContent(t, homelab)
				c.setup(r)
				r.Commit("before")
				c.change(r)
				request := plan.Request{}
				if committed {
					r.Git("add", "-u")
					r.Git("commit", "-q", "-m", "after")
					request = plan.Request{Base: "HEAD~1", Head: "HEAD"}
				} else {
					r.Git("add", "-u")
				}
				got := audited(t, p, request)
				for _, list := range []*[]plan.Path{&c.want.Causes, &c.want.Candidates, &c.want.Hints} {
					if *list == nil {
						*list = []plan.Path{}
					}
				}
				require.Len(t, got.Missing, 1)
				assert.Equal(t, c.want, got.Missing[0])
				require.Equal(t, len(c.want.Hints) > 0, got.Patch != nil)
				if got.Patch != nil {
					applies(t, r, got.Patch)
					assert.Empty(t, audited(t, p, plan.Request{Base: "HEAD~1"}).Missing, "the patch mends it")
				}
			}
		})
	}
}

// applies applies a patch as a user would.
func applies(t *testing.T, r *gittest.Repo, patch *plan.Patch) {
	t.Helper()
	require.Equal(t, "diff", patch.Format)
	file := t.TempDir() + "/patch"
	require.NoError(t, os.WriteFile(file, []byte(patch.Text), 0o644))
	r.Git("apply", "--check", file)
	r.Git("apply", file)
	r.Git("commit", "-q", "-a", "-m", "patched")
}

func TestWholeFlake(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("flake/grafana", ".\n")
	r.Commit("whole")
	want := []plan.WholeFlake{{Service: "grafana", System: "x86_64-linux", Attr: "packages.x86_64-linux.grafana"}}
	without := func(list []plan.WholeFlake) []plan.WholeFlake {
		require.Len(t, list, 1)
		assert.NotEmpty(t, list[0].Source)
		list[0].Source = ""
		return list
	}
	assert.Equal(t, want, without(audited(t, p, plan.Request{}).WholeFlake))
	r.Write("README.md", "edited")
	f := audited(t, p, plan.Request{})
	assert.Equal(t, want, without(f.WholeFlake))
	assert.Equal(t, []plan.Missing{{Service: "grafana", Causes: []plan.Path{"."}, Candidates: []plan.Path{}, Hints: []string{}}}, f.Missing)
	assert.Nil(t, f.Patch, "no hint mends it")

	r.Remove("flake/ha")
	r.Write("flake/prom", "throw")
	check, err := p.Check(t.Context(), plan.CheckRequest{Evaluate: true})
	require.NoError(t, err)
	assert.True(t, check.Evaluated)
	assert.Equal(t, want, without(check.WholeFlake))
	assert.Equal(t, []plan.MissingAttribute{{Service: "ha", System: "x86_64-linux", Attr: "packages.x86_64-linux.ha", Hint: "near names"}}, check.MissingAttributes)
	assert.Equal(t, "evalFailed", check.Warnings[len(check.Warnings)-1].Code)

	check, err = p.Check(t.Context(), plan.CheckRequest{})
	require.NoError(t, err)
	assert.False(t, check.Evaluated)
	assert.Empty(t, check.MissingAttributes)
}

// Whatever the layout of the registry, a patch keeps it.
func TestPatchKeepsTheLayout(t *testing.T) {
	t.Parallel()
	var compact strings.Builder
	for line := range strings.Lines(homelab) {
		compact.WriteString(strings.TrimSpace(line))
	}
	long := strings.Replace(homelab, `"hints": ["services/prom"]`, "\"hints\": [\n        \"services/prom\",\n        \"a b\"\n      ]", 1)
	for name, c := range map[string]struct{ registry, want string }{
		"on one line": {homelab, `"hints": ["services/prom", "README.md"]`},
		"long":        {long, "        \"a b\",\n        \"README.md\"\n      ]"},
		"compact":     {compact.String(), `"hints": ["services/prom", "README.md"]`},
		"spaced":      {strings.Replace(homelab, `["services/prom"]`, "[ \"services/prom\"\n,\t\"b\" ]", 1), "\"b\",\t\"README.md\" ]"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, p := newContent(t, c.registry)
			r.Write("flake/prom", "README.md\n")
			r.Write("flake/grafana", "README.md\n")
			r.Commit("both")
			r.Write("README.md", "edited")
			f := audited(t, p, plan.Request{})
			require.NotNil(t, f.Patch)
			applies(t, r, f.Patch)
			content, err := os.ReadFile(r.Path("homelab.json"))
			require.NoError(t, err)
			assert.Contains(t, string(content), c.want)
			assert.Contains(t, string(content), `["services/grafana", "README.md"]`)
			assert.Empty(t, audited(t, p, plan.Request{Base: "HEAD~1"}).Missing)
		})
	}
}
