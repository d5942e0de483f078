package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

func TestMain(m *testing.M) {
	gittest.Hermetic()
	os.Exit(m.Run())
}

// homelab is the registry of most tests: ha, prom, and grafana on top of prom.
const homelab = `{
  "version": 1,
  "globalHints": [{"path": "lib"}],
  "services": {
    "ha": {
      "aliases": ["home"],
      "build": {"targets": {"x86_64-linux": "packages.x86_64-linux.ha"}},
      "hints": ["services/ha", "shared/*.nix"], "exclude": ["services/ha/docs"]
    },
    "prom": {
      "build": {"targets": {"x86_64-linux": "packages.x86_64-linux.prom"}},
      "hints": ["services/prom"]
    },
    "grafana": {
      "dependsOn": ["prom"],
      "build": {"targets": {"x86_64-linux": "packages.x86_64-linux.grafana"}},
      "hints": ["services/grafana"]
    }
  }
}`

// newHomelab is a repository with one commit.
func newHomelab(t testing.TB, args ...string) *gittest.Repo {
	r := gittest.New(t, args...)
	r.Write("homelab.json", homelab)
	for _, path := range []string{
		"services/ha/config.yaml", "services/ha/docs/README.md", "services/prom/prometheus.yml", "services/grafana/g.ini",
		"lib/oci.nix", "shared/a.nix", "README.md",
	} {
		r.Write(path, path+"\n")
	}
	r.Commit("one")
	return r
}

// noNix is a machine without Nix.
type noNix struct{ plan.Evaluator }

func (noNix) Available(context.Context) error { return errors.New("nix is not installed") }

func (noNix) GitRef(string, string, string) string { return "" }

func planner(t testing.TB, r *gittest.Repo) *plan.Planner {
	t.Helper()
	repo, err := gitrepo.Open(t.Context(), r.Dir)
	require.NoError(t, err)
	return &plan.Planner{
		Repo: repo, Source: &plan.Source{Root: repo.Root(), Nix: noNix{}}, Machine: "x86_64-linux",
	}
}

// ask asks twice, of a repository read in process and of the same one read by
// the git command alone: the answers must be equal, to the id.
func ask(t testing.TB, r *gittest.Repo, request plan.Request) *plan.Plan {
	t.Helper()
	got, err := planner(t, r).Plan(t.Context(), request)
	require.NoError(t, err)
	alternates := r.Path(".git/objects/info/alternates")
	if info, err := os.Stat(r.Path(".git")); err == nil && info.IsDir() {
		if _, err := os.Stat(alternates); os.IsNotExist(err) {
			require.NoError(t, os.WriteFile(alternates, []byte("# none\n"), 0o644))
			byGit, err := planner(t, r).Plan(t.Context(), request)
			require.NoError(t, err)
			require.NoError(t, os.Remove(alternates))
			require.Equal(t, "git", byGit.Engine)
			same := *byGit
			same.Engine = got.Engine
			require.Equal(t, got, &same, "the engines disagree")
		}
	}
	encoded, err := json.Marshal(got)
	require.NoError(t, err)
	require.NotContains(t, string(encoded), "null", "a list is null")
	return got
}

// brief writes what matters of a plan, a line each, in a fixed order.
func brief(p *plan.Plan) string {
	var b strings.Builder
	for _, s := range p.Services {
		if s.Decision == plan.None {
			continue
		}
		fmt.Fprintf(&b, "%s %s\n", s.Name, s.Decision)
		for _, r := range s.Reasons {
			fields := []string{string(r.Kind), string(r.Status), r.Path, r.Hint}
			if len(r.Via) > 0 {
				fields = append(fields, "via "+strings.Join(r.Via, " "))
			}
			fields = slices.DeleteFunc(fields, func(s string) bool { return s == "" })
			fmt.Fprintf(&b, "  %s\n", strings.Join(fields, " "))
		}
		if s.Problem != nil {
			fmt.Fprintf(&b, "  ! %s\n", s.Problem.Code)
		}
	}
	for _, h := range p.StaleHints {
		fmt.Fprintf(&b, "stale %s %s\n", h.Service, h.Hint)
	}
	for _, path := range p.Unmatched.Paths {
		fmt.Fprintf(&b, "unmatched %s\n", path)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning %s\n", w.Code)
	}
	return b.String()
}

// want takes the indentation of a raw string away.
func want(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n\t ")) {
		line = strings.TrimLeft(strings.TrimRight(line, "\n"), "\t")
		if line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
