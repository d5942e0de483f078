package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// unseenChanges are of files that git does not track, is told to ignore, or takes for
// unchanged.
var unseenChanges = []detection{
	{"skip-worktree, and a file in place of its folder", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/deep/x", "1")
		r.Commit("two")
		r.Write("services/ha/deep/x", "2")
		r.Git("add", "-A")
		r.Git("update-index", "--skip-worktree", "services/ha/deep/x")
		r.Remove("services/ha/deep")
		r.Write("services/ha/deep", "x")
	}, plan.Request{}, `
		ha rebuild
		  hint ? services/ha/deep services/ha
		  hint M services/ha/deep/x services/ha
		warning untracked
	`},

	{"skip-worktree, and a FIFO in place of its folder", func(t *testing.T, r *gittest.Repo) {
		r.Write("services/ha/deep/x", "1")
		r.Commit("two")
		r.Git("update-index", "--skip-worktree", "services/ha/deep/x")
		r.Remove("services/ha/deep")
		require.NoError(t, unix.Mkfifo(r.Path("services/ha/deep"), 0o644))
	}, plan.Request{}, ``},

	{"untracked, not ignored", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new.yaml", "x")
	}, plan.Request{}, `
		ha rebuild
		  hint ? services/ha/new.yaml services/ha
		warning untracked
	`},

	{"ignored file", func(_ *testing.T, r *gittest.Repo) {
		r.Write(".gitignore", "*.log\n")
		r.Commit("two")
		r.Write("services/ha/debug.log", "x")
	}, plan.Request{}, ``},

	{"tracked file in an ignored folder", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/out/kept", "x")
		r.Commit("two")
		r.Write(".gitignore", "out/\n")
		r.Commit("three")
		r.Write("services/ha/out/kept", "edited")
		r.Write("services/ha/out/other", "ignored")
	}, plan.Request{}, `
		ha rebuild
		  hint M services/ha/out/kept services/ha
	`},

	{"skip-worktree and assume-unchanged, and folders in their place", func(_ *testing.T, r *gittest.Repo) {
		r.Git("update-index", "--skip-worktree", "services/ha/config.yaml")
		r.Git("update-index", "--assume-unchanged", "services/grafana/g.ini")
		for _, path := range []string{"services/ha/config.yaml", "services/grafana/g.ini"} {
			r.Remove(path)
			r.Write(path+"/inside", "x")
		}
	}, plan.Request{}, `
		grafana rebuild
		  hint ? services/grafana/g.ini/inside services/grafana
		ha rebuild
		  hint ? services/ha/config.yaml/inside services/ha
		warning untracked
	`},

	{"skip-worktree rules that keep a file", func(_ *testing.T, r *gittest.Repo) {
		r.Write(".gitignore", "*.log\n")
		skippedRules(r, "!keep.log\n")
		r.Write("services/ha/keep.log", "x")
	}, plan.Request{}, `
		ha rebuild
		  hint ? services/ha/keep.log services/ha
		warning untracked
	`},

	{"skip-worktree rules that ignore a file", func(_ *testing.T, r *gittest.Repo) {
		skippedRules(r, "*.log\n")
		r.Write("services/ha/debug.log", "x")
	}, plan.Request{}, ``},

	{"skip-worktree rules of the root", func(_ *testing.T, r *gittest.Repo) {
		r.Write(".gitignore", "*.log\n")
		r.Commit("rules")
		r.Git("update-index", "--skip-worktree", ".gitignore")
		r.Remove(".gitignore")
		r.Write("services/ha/debug.log", "x")
	}, plan.Request{}, ``},

	{"assume-unchanged", func(_ *testing.T, r *gittest.Repo) {
		r.Git("update-index", "--assume-unchanged", "services/ha/config.yaml")
		r.Write("services/ha/config.yaml", "edited")
	}, plan.Request{}, ``},

	{"skip-worktree, not there", func(_ *testing.T, r *gittest.Repo) {
		r.Git("update-index", "--skip-worktree", "services/ha/config.yaml")
		r.Remove("services/ha/config.yaml")
	}, plan.Request{}, ``},

	{"sparse checkout", func(_ *testing.T, r *gittest.Repo) {
		r.Git("sparse-checkout", "set", "services/prom")
		r.Write("services/prom/prometheus.yml", "edited")
	}, plan.Request{}, `
		grafana rebuild
		  dependency via prom
		prom rebuild
		  hint M services/prom/prometheus.yml services/prom
	`},

	{"intent-to-add", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new.yaml", "x")
		r.Git("add", "-N", "services/ha/new.yaml")
	}, plan.Request{}, `
		ha rebuild
		  hint A services/ha/new.yaml services/ha
	`},

	{"intent-to-add, then removed", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new.yaml", "x")
		r.Git("add", "-N", "services/ha/new.yaml")
		r.Remove("services/ha/new.yaml")
	}, plan.Request{}, ``},

	{"intent-to-add of what the base has, then removed", func(_ *testing.T, r *gittest.Repo) {
		r.Git("rm", "-q", "--cached", "services/ha/config.yaml")
		r.Git("add", "-N", "services/ha/config.yaml")
		r.Remove("services/ha/config.yaml")
	}, plan.Request{}, `
		ha rebuild
		  hint D services/ha/config.yaml services/ha
	`},

	{"intent-to-add, and a file in place of its folder", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new/x", "x")
		r.Git("add", "-N", "services/ha/new/x")
		r.Remove("services/ha/new")
		r.Write("services/ha/new", "x")
	}, plan.Request{}, `
		ha rebuild
		  hint ? services/ha/new services/ha
		warning untracked
	`},

	{"intent-to-add, and a link in place of its folder", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new/deep/x", "x")
		r.Git("add", "-N", "services/ha/new/deep/x")
		r.Remove("services/ha/new")
		r.Link("../prom", "services/ha/new")
	}, plan.Request{}, `
		ha rebuild
		  hint ? services/ha/new services/ha
		warning untracked
	`},

	{"intent-to-add and assume-unchanged", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new.yaml", "x")
		r.Git("add", "-N", "services/ha/new.yaml")
		r.Git("update-index", "--assume-unchanged", "services/ha/new.yaml")
	}, plan.Request{}, `
		ha rebuild
		  hint A services/ha/new.yaml services/ha
	`},

	{"intent-to-add and skip-worktree, then removed", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/new.yaml", "x")
		r.Git("add", "-N", "services/ha/new.yaml")
		r.Git("update-index", "--skip-worktree", "services/ha/new.yaml")
		r.Remove("services/ha/new.yaml")
	}, plan.Request{}, `
		ha rebuild
		  hint A services/ha/new.yaml services/ha
	`},

	{"skip-worktree, but there and edited", func(_ *testing.T, r *gittest.Repo) {
		r.Git("update-index", "--skip-worktree", "services/ha/config.yaml")
		edit(r)
	}, plan.Request{}, ``},

	{"a .git file is nobody's", func(_ *testing.T, r *gittest.Repo) {
		r.Write("services/ha/.git", "x")
	}, plan.Request{}, ``},

	{"a hint that names only ignored files", func(_ *testing.T, r *gittest.Repo) {
		r.Write(".gitignore", "services/grafana/\n")
		r.Git("rm", "-q", "--cached", "-r", "services/grafana")
		r.Commit("two")
		r.Write("services/grafana/g.ini", "x")
	}, plan.Request{}, `
		stale grafana services/grafana
		warning hintIgnored
	`},
}

// skippedRules commits ignore rules for services/ha that are not on disk: git
// reads them from the index.
func skippedRules(r *gittest.Repo, rules string) {
	r.Write("services/ha/.gitignore", rules)
	r.Commit("rules")
	r.Git("update-index", "--skip-worktree", "services/ha/.gitignore")
	r.Remove("services/ha/.gitignore")
}
