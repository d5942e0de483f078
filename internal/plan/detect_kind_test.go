package plan_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

func TestSubmodule(t *testing.T) {
	t.Parallel()
	library := gittest.New(t)
	library.Write("x", "1")
	library.Commit("one")
	fresh := func(t *testing.T) *gittest.Repo {
		r := newHomelab(t)
		r.Git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.Dir, "services/prom/vendor")
		r.Commit("with submodule")
		return r
	}
	moved := want(`
		grafana rebuild
		  dependency via prom
		prom rebuild
		  submodule M services/prom/vendor services/prom
	`)
	t.Run("clean", func(t *testing.T) {
		assert.Empty(t, brief(ask(t, fresh(t), plan.Request{})))
	})
	t.Run("pointer moved", func(t *testing.T) {
		r := fresh(t)
		inner := &gittest.Repo{T: t, Dir: r.Path("services/prom/vendor")}
		inner.Write("x", "2")
		inner.Commit("two")
		assert.Equal(t, moved, brief(ask(t, r, plan.Request{})))
		r.Commit("bump")
		assert.Equal(t, moved, brief(ask(t, r, plan.Request{Base: "HEAD~1"})))
	})
	t.Run("dirty", func(t *testing.T) {
		r := fresh(t)
		r.Write("services/prom/vendor/x", "dirty")
		first := ask(t, r, plan.Request{})
		assert.Equal(t, moved, brief(first))
		r.Write("services/prom/vendor/x", "dirtier")
		assert.NotEqual(t, first.PlanID, ask(t, r, plan.Request{}).PlanID, "what is inside counts")
	})
	t.Run("a hint below it", func(t *testing.T) {
		r := fresh(t)
		r.Write("homelab.json", strings.Replace(homelab, `"services/prom"`, `"services/prom/vendor/rules"`, 1))
		r.Commit("hint below")
		r.Write("services/prom/vendor/x", "dirty")
		assert.Contains(t, brief(ask(t, r, plan.Request{})), "submodule M services/prom/vendor services/prom/vendor/rules")
	})
}

func TestHintsThroughLinks(t *testing.T) {
	t.Parallel()
	fresh := func(t *testing.T) *gittest.Repo {
		r := newHomelab(t)
		r.Write("real/prom/rules.yml", "x")
		r.Write("other/rules.yml", "x")
		r.Link("../real/prom", "services/link")
		r.Write("homelab.json", strings.Replace(homelab, `"services/prom"`, `"services/prom", "services/link/*.yml"`, 1))
		r.Commit("link")
		return r
	}
	t.Run("its target", func(t *testing.T) {
		r := fresh(t)
		r.Write("real/prom/rules.yml", "edited")
		assert.Contains(t, brief(ask(t, r, plan.Request{})), "hint M real/prom/rules.yml services/link/*.yml")
	})
	t.Run("the link itself", func(t *testing.T) {
		r := fresh(t)
		r.Remove("services/link")
		r.Link("../other", "services/link")
		assert.Contains(t, brief(ask(t, r, plan.Request{})), "hint M services/link services/link/*.yml")
	})
	t.Run("out of the repository", func(t *testing.T) {
		r := fresh(t)
		r.Remove("services/link")
		r.Link("/etc", "services/link")
		r.Commit("out")
		assert.Contains(t, brief(ask(t, r, plan.Request{})), "warning hintOutsideRepository")
	})
	t.Run("in a loop", func(t *testing.T) {
		r := fresh(t)
		r.Remove("services/link")
		r.Link("link", "services/link")
		r.Commit("loop")
		assert.Contains(t, brief(ask(t, r, plan.Request{})), "stale prom services/link/*.yml")
	})
	t.Run("in a commit", func(t *testing.T) {
		r := fresh(t)
		r.Write("real/prom/rules.yml", "edited")
		r.Commit("edited")
		assert.Contains(t, brief(ask(t, r, plan.Request{Base: "HEAD~1", Head: "HEAD"})), "hint M real/prom/rules.yml services/link/*.yml")
	})
}

// What lies behind a link or in a submodule is not this repository's: git says
// nothing about it, nor does its content count.
func TestHintsBeyondTheRepository(t *testing.T) {
	t.Parallel()
	hinted := func(t *testing.T, hints string) *gittest.Repo {
		r := newHomelab(t)
		r.Write("homelab.json", strings.Replace(homelab, `"services/prom"`, hints, 1))
		return r
	}
	outside := func(t *testing.T) string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("1"), 0o644))
		return dir
	}
	check := func(t *testing.T, r *gittest.Repo) *plan.Check {
		t.Helper()
		got, err := planner(t, r).Check(t.Context(), plan.CheckRequest{})
		require.NoError(t, err)
		return got
	}
	t.Run("through a tracked link", func(t *testing.T) {
		r := hinted(t, `"services/prom", "out/f"`)
		r.Link(outside(t), "out")
		r.Commit("out")
		assert.Equal(t, want(`
			stale prom out/f
			warning hintOutsideRepository
		`), brief(ask(t, r, plan.Request{})))
		assert.Equal(t, []plan.StaleHint{{Service: "prom", Hint: "out/f"}}, check(t, r).StaleHints)
	})
	t.Run("through an untracked link", func(t *testing.T) {
		r := hinted(t, `"services/prom", "u/l/f"`)
		r.Commit("hint")
		r.Link(outside(t), "u/l")
		assert.Equal(t, want(`
			grafana rebuild
			  dependency via prom
			prom rebuild
			  hint ? u/l u/l/f
			warning untracked
		`), brief(ask(t, r, plan.Request{})))
		assert.Empty(t, check(t, r).StaleHints)
	})
	t.Run("through an ignored link", func(t *testing.T) {
		r := hinted(t, `"services/prom", "u/l/f"`)
		r.Write(".gitignore", "/u/l\n")
		r.Commit("hint")
		r.Link(outside(t), "u/l")
		assert.Equal(t, "stale prom u/l/f\nwarning hintIgnored\n", brief(ask(t, r, plan.Request{})))
	})
	t.Run("through a link that comes back", func(t *testing.T) {
		r := hinted(t, `"services/prom", "other/prom"`)
		r.Link("../"+filepath.Base(r.Dir)+"/services", "other")
		r.Commit("link")
		assert.Contains(t, brief(ask(t, r, plan.Request{})), "warning hintOutsideRepository")
	})
	t.Run("below a submodule", func(t *testing.T) {
		library := gittest.New(t)
		library.Write("a/x", "1")
		library.Commit("one")
		for _, hint := range []string{"vendor/a", "vendor/gone", "vendor/*/x"} {
			r := hinted(t, `"services/prom", "`+hint+`"`)
			r.Git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.Dir, "vendor")
			r.Commit("with submodule")
			assert.Empty(t, brief(ask(t, r, plan.Request{})), hint)
			assert.Empty(t, check(t, r).StaleHints, hint)
			r.Write("vendor/a/x", "dirty")
			assert.Equal(t, want(`
				grafana rebuild
				  dependency via prom
				prom rebuild
				  submodule M vendor `+hint+`
			`), brief(ask(t, r, plan.Request{})))
		}
	})
	t.Run("below a submodule that is not checked out", func(t *testing.T) {
		r := hinted(t, `"services/prom", "vendor/a"`)
		r.Git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",vendor")
		r.Git("add", "homelab.json")
		r.Git("commit", "-q", "-m", "submodule")
		r.Write("vendor/a", "x")
		assert.Empty(t, brief(ask(t, r, plan.Request{})))
	})
	t.Run("what replaced a folder is not read", func(t *testing.T) {
		r := newHomelab(t)
		dir := outside(t)
		require.NoError(t, os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "prometheus.yml")))
		r.Write("services/ha/deep/prometheus.yml", "1")
		r.Commit("deep")
		r.Write("services/ha/deep/prometheus.yml", "2")
		r.Git("add", "-A")
		r.Git("update-index", "--skip-worktree", "services/ha/deep/prometheus.yml")
		for _, folder := range []string{"services/prom", "services/ha/deep"} {
			r.Remove(folder)
			r.Link(dir, folder)
		}
		first := ask(t, r, plan.Request{})
		assert.Equal(t, want(`
			grafana rebuild
			  dependency via prom
			ha rebuild
			  hint ? services/ha/deep services/ha
			  hint M services/ha/deep/prometheus.yml services/ha
			prom rebuild
			  hint ? services/prom services/prom
			  hint D services/prom/prometheus.yml services/prom
			warning untracked
		`), brief(first))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte("edited"), 0o644))
		assert.Equal(t, first.PlanID, ask(t, r, plan.Request{}).PlanID)
	})
}

func TestUnusualRepositories(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T) *gittest.Repo{
		"sha256": func(t *testing.T) *gittest.Repo { return newHomelab(t, "--object-format=sha256") },
		"worktreeConfig": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("config", "extensions.worktreeConfig", "true")
			return r
		},
		"split index": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("update-index", "--split-index")
			return r
		},
		"sparse index": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("sparse-checkout", "set", "--cone", "--sparse-index", "services/ha")
			return r
		},
		"index version 4": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("update-index", "--index-version", "4")
			return r
		},
		"alternates": func(t *testing.T) *gittest.Repo {
			return clone(t, newHomelab(t), "--reference-if-able", newHomelab(t).Dir)
		},
		"borrowed objects": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			dir := filepath.Join(t.TempDir(), "shared")
			r.Git("clone", "-q", "--shared", r.Dir, dir)
			dir, err := filepath.EvalSymlinks(dir)
			require.NoError(t, err)
			return &gittest.Repo{T: t, Dir: dir}
		},
		"partial clone": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("config", "uploadpack.allowFilter", "true")
			return clone(t, r, "--filter=blob:none")
		},
		"packed, with a commit graph and a bitmap": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("repack", "-adqb")
			r.Git("multi-pack-index", "write")
			r.Git("commit-graph", "write", "--reachable")
			r.Git("pack-refs", "--all")
			return r
		},
		"core.untrackedCache and feature.manyFiles": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("config", "feature.manyFiles", "true")
			r.Git("update-index", "--untracked-cache")
			return r
		},
		"separate git dir": func(t *testing.T) *gittest.Repo {
			r := newHomelab(t)
			r.Git("init", "-q", "--separate-git-dir", filepath.Join(t.TempDir(), "git"))
			return r
		},
	}
	for name, fresh := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fresh(t)
			edit(r)
			assert.Equal(t, want(haEdited), brief(ask(t, r, plan.Request{})))
			r.Git("add", "services/ha")
			r.Git("commit", "-q", "-m", "two")
			assert.Equal(t, want(haEdited), brief(ask(t, r, plan.Request{Base: "HEAD~1", Head: "HEAD"})))
		})
	}
}
