package plan_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// What does not evaluate at the base may have changed: its hints are not too
// wide.
func TestAuditOfWhatDoesNotEvaluate(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("flake/ha", "throw")
	r.Commit("thrown")
	r.Write("flake/ha", "README.md\n")
	r.Write("services/ha/config.yaml", "edited")
	r.Write("flake/prom", "throw")
	r.Write("services/prom/prometheus.yml", "edited")
	want := agreed()
	want.OverWide = []plan.OverWide{{Service: "grafana", Hints: []string{}, Paths: []plan.Path{}, Via: []string{"prom"}}}
	assert.Equal(t, want, audited(t, p, plan.Request{}))
}

// A lock file says nothing about which service it matters to.
func TestAuditDoesNotSuggestTheLockFile(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("flake/prom", "filtered flake.lock\n")
	r.Write("flake.lock", `{"nodes": {"root": {}}, "root": "root", "version": 7}`)
	r.Commit("locked")
	r.Write("flake.lock", `{"nodes": {"root": {}}, "root": "root", "version": 7} `)
	f := audited(t, p, plan.Request{})
	assert.Equal(t, []plan.Missing{{
		Service: "prom", Causes: []plan.Path{}, Candidates: []plan.Path{"flake.lock"}, Count: 1, Hints: []string{},
	}}, f.Missing)
	assert.Nil(t, f.Patch)
}

// In the order of whole paths a.b is between a and a/b.
func TestAuditOfFolderBesideItsName(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("d/f", "1")
	r.Write("d.x", "1")
	r.Write("flake/prom", "d\n")
	r.Commit("before")
	r.Write("d/f", "2")
	f := audited(t, p, plan.Request{})
	require.Len(t, f.Missing, 1)
	assert.Equal(t, []plan.Path{"d"}, f.Missing[0].Causes)
}

// The registry of a base counts for the attribute only where the registry gave
// the one of the head: not where it was asked for.
func TestExactWithATargetOfTheEnvironment(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("flake/other", "services/prom/prometheus.yml\nlib/oci.nix\n")
	r.Write("flake/old", "README.md\n")
	r.Write("homelab.json", strings.Replace(homelab, `linux.prom"`, `linux.old"`, 1))
	r.Commit("old")
	r.Write("homelab.json", homelab)
	p.Getenv = func(name string) string {
		return map[string]string{"NIX_PROM_TARGET": "packages.x86_64-linux.other"}[name]
	}
	got, err := p.Plan(t.Context(), plan.Request{Mode: plan.Exact})
	require.NoError(t, err)
	assert.Equal(t, want(``), decisions(got))
}

// A changed output is certain, though another base does not evaluate.
func TestExactOfSeveralBases(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	base := r.Rev("HEAD")
	r.Git("checkout", "-q", "-b", "left")
	r.Write("l", "l")
	r.Commit("left")
	r.Git("checkout", "-q", "-b", "right", base)
	r.Write("flake/ha", "throw")
	r.Commit("right")
	r.Git("checkout", "-q", "-b", "both", "left")
	r.Git("merge", "-q", "-m", "one", "right")
	r.Git("checkout", "-q", "-b", "other", "right")
	r.Git("merge", "-q", "-m", "two", "left")
	r.Write("flake/ha", "README.md\n")
	r.Commit("mended")
	got, err := p.Plan(t.Context(), plan.Request{Mode: plan.Exact, Base: "both", MergeBase: true})
	require.NoError(t, err)
	assert.Equal(t, want(`
		ha rebuild
		  output
		warning severalMergeBases
	`), decisions(got))
}

// The patch is what git would say, also where one part of it moves the next.
func TestPatchIsADiff(t *testing.T) {
	t.Parallel()
	var services []string
	for i := range 9 {
		services = append(services, fmt.Sprintf(`"s%d": {
  "build": {
    "targets": {
      "x86_64-linux": "packages.x86_64-linux.s%[1]d"
    }
  },
  "hints": [
    "services/s%[1]d"
  ]
}`, i))
	}
	r, _, p := newContent(t, `{"version": 1, "services": {`+strings.Join(services, ",\n")+"}}\n")
	for i := range 9 {
		r.Write(fmt.Sprintf("services/s%d/f", i), "1")
		r.Write(fmt.Sprintf("flake/s%d", i), "services/ha\n")
	}
	r.Write("flake/s0", "README.md\n")
	r.Write("flake/s1", "README.md\nlib/oci.nix\n")
	r.Write("flake/s5", "README.md\n")
	r.Write("flake/s8", "README.md\nlib/oci.nix\n")
	r.Commit("before")
	r.Write("README.md", "2")
	r.Write("lib/oci.nix", "2")
	f := audited(t, p, plan.Request{})
	require.NotNil(t, f.Patch)
	gitDiff(t, r, f.Patch)
}

// gitDiff compares a patch with what git says once it is applied.
func gitDiff(t *testing.T, r *gittest.Repo, patch *plan.Patch) {
	t.Helper()
	file := t.TempDir() + "/patch"
	require.NoError(t, os.WriteFile(file, []byte(patch.Text), 0o644))
	r.Git("apply", file)
	got := r.Git("diff", "--", "homelab.json")
	_, got, _ = strings.Cut(got, "\n--- ")
	var lines []string
	for line := range strings.Lines("--- " + got) {
		if strings.HasPrefix(line, "@@") {
			line = line[:strings.LastIndex(line, "@@")+2] + "\n" // without the function that git guesses
		}
		lines = append(lines, line)
	}
	assert.Equal(t, strings.Join(lines, ""), patch.Text)
}
