package plan_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// Each case is a row, or half of one, of the table in docs/change-detection.md.
func TestChangeDetection(t *testing.T) {
	cases := []struct {
		name    string
		change  func(t *testing.T, r *gittest.Repo)
		request plan.Request
		want    string
	}{
		{"nothing changed", func(*testing.T, *gittest.Repo) {}, plan.Request{}, ``},

		{"unstaged edit", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
		}, plan.Request{}, `
			ha rebuild
			  hint M services/ha/config.yaml services/ha
		`},

		{"dependency, with the chain", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/prom/prometheus.yml", "edited")
		}, plan.Request{}, `
			grafana rebuild
			  dependency via prom
			prom rebuild
			  hint M services/prom/prometheus.yml services/prom
		`},

		{"staged only", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
			r.Git("add", "-A")
		}, plan.Request{}, `
			ha rebuild
			  hint M services/ha/config.yaml services/ha
		`},

		{"staged, then reverted in the work tree", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
			r.Git("add", "-A")
			r.Write("services/ha/config.yaml", "services/ha/config.yaml\n")
		}, plan.Request{}, ``},

		{"change then revert, committed", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/config.yaml", "edited")
			r.Commit("two")
			r.Write("services/ha/config.yaml", "services/ha/config.yaml\n")
			r.Commit("three")
		}, plan.Request{Base: "HEAD~2"}, ``},

		{"rename between services", func(_ *testing.T, r *gittest.Repo) {
			r.Git("mv", "services/ha/config.yaml", "services/prom/config.yaml")
			r.Commit("two")
		}, plan.Request{Base: "HEAD~1"}, `
			grafana rebuild
			  dependency via prom
			ha rebuild
			  hint D services/ha/config.yaml services/ha
			prom rebuild
			  hint A services/prom/config.yaml services/prom
		`},

		{"case-only rename", func(_ *testing.T, r *gittest.Repo) {
			r.Git("mv", "services/ha/config.yaml", "services/ha/Config.yaml")
		}, plan.Request{}, `
			ha rebuild
			  hint A services/ha/Config.yaml services/ha
			  hint D services/ha/config.yaml services/ha
		`},

		{"last file of a hinted folder deleted", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("services/grafana")
			r.Commit("two")
		}, plan.Request{Base: "HEAD~1"}, `
			grafana rebuild
			  hint D services/grafana/g.ini services/grafana
		`},

		{"folder gone in base and head: the hint is stale", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("services/grafana")
			r.Commit("two")
		}, plan.Request{}, `
			stale grafana services/grafana
		`},

		{"mode change only", func(t *testing.T, r *gittest.Repo) {
			require.NoError(t, os.Chmod(r.Path("services/ha/config.yaml"), 0o755))
		}, plan.Request{}, `
			ha rebuild
			  hint M services/ha/config.yaml services/ha
		`},

		{"mode change with core.fileMode=false", func(t *testing.T, r *gittest.Repo) {
			r.Git("config", "core.fileMode", "false")
			require.NoError(t, os.Chmod(r.Path("services/ha/config.yaml"), 0o755))
		}, plan.Request{}, ``},

		{"file becomes a link", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("services/ha/config.yaml")
			r.Link("elsewhere", "services/ha/config.yaml")
		}, plan.Request{}, `
			ha rebuild
			  hint T services/ha/config.yaml services/ha
		`},

		{"file becomes a folder", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("services/ha/config.yaml")
			r.Write("services/ha/config.yaml/inside", "x")
			r.Git("add", "-A")
		}, plan.Request{}, `
			ha rebuild
			  hint D services/ha/config.yaml services/ha
			  hint A services/ha/config.yaml/inside services/ha
		`},

		{"folder becomes a file", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("services/prom")
			r.Write("services/prom", "x")
		}, plan.Request{}, `
			grafana rebuild
			  dependency via prom
			prom rebuild
			  hint ? services/prom services/prom
			  hint D services/prom/prometheus.yml services/prom
			warning untracked
		`},

		{"folder becomes a file, staged", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("services/prom")
			r.Write("services/prom", "x")
			r.Git("add", "-A")
		}, plan.Request{}, `
			grafana rebuild
			  dependency via prom
			prom rebuild
			  hint A services/prom services/prom
			  hint D services/prom/prometheus.yml services/prom
		`},

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

		{"a socket where a folder was", func(t *testing.T, r *gittest.Repo) {
			r.Remove("services/grafana")
			require.NoError(t, unix.Mknod(r.Path("services/grafana"), unix.S_IFSOCK|0o644, 0))
		}, plan.Request{}, `
			grafana rebuild
			  hint D services/grafana/g.ini services/grafana
		`},

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

		{"unmerged path", func(_ *testing.T, r *gittest.Repo) {
			conflict(r)
		}, plan.Request{}, `
			ha blocked
			  hint U services/ha/config.yaml services/ha
			  ! unmerged
		`},

		{"line endings that git normalises", func(_ *testing.T, r *gittest.Repo) {
			r.Write(".gitattributes", "*.yaml text eol=crlf\n")
			r.Commit("two")
			r.Write("services/ha/config.yaml", "services/ha/config.yaml\r\n")
		}, plan.Request{}, ``},

		{"a clean filter", func(_ *testing.T, r *gittest.Repo) {
			r.Git("config", "filter.upper.clean", "tr a-z A-Z")
			r.Git("config", "filter.upper.smudge", "tr A-Z a-z")
			r.Write(".gitattributes", "*.secret filter=upper\n")
			r.Write("services/ha/x.secret", "content")
			r.Commit("two")
			r.Write("services/ha/x.secret", "CONTENT")
		}, plan.Request{}, ``},

		{"odd names", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/new\nline", "x")
			r.Write("services/ha/ta\tb", "x")
			r.Write("services/ha/qu\"ote", "x")
			r.Write("services/ha/ümlaut", "x")
			r.Git("add", "-A")
		}, plan.Request{}, "ha rebuild\n" +
			"  hint A services/ha/new\nline services/ha\n" +
			"  hint A services/ha/qu\"ote services/ha\n" +
			"  hint A services/ha/ta\tb services/ha\n" +
			"  hint A services/ha/ümlaut services/ha\n"},

		{"global hint", func(_ *testing.T, r *gittest.Repo) {
			r.Write("lib/oci.nix", "edited")
		}, plan.Request{}, `
			grafana rebuild
			  global M lib/oci.nix lib
			  dependency via prom
			ha rebuild
			  global M lib/oci.nix lib
			prom rebuild
			  global M lib/oci.nix lib
		`},

		{"excluded path", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/docs/README.md", "edited")
		}, plan.Request{}, ``},

		{"changed file that no hint covers", func(_ *testing.T, r *gittest.Repo) {
			r.Write("README.md", "edited")
			r.Write("shared/deep/x.nix", "x")
			r.Git("add", "-A")
		}, plan.Request{}, `
			unmatched README.md
			unmatched shared/deep/x.nix
		`},

		{"only services whose entry of the registry changed", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
		}, plan.Request{}, `
			ha rebuild
			  registry M homelab.json services.ha
		`},

		{"registry only reformatted", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", strings.ReplaceAll(homelab, "\n", " "))
		}, plan.Request{}, ``},

		{"registry new since the base", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("homelab.json")
			r.Commit("without")
			r.Write("homelab.json", homelab)
			r.Commit("with")
		}, plan.Request{Base: "HEAD~1"}, `
			grafana rebuild
			  registry A homelab.json services.grafana
			  dependency via prom
			ha rebuild
			  registry A homelab.json services.ha
			prom rebuild
			  registry A homelab.json services.prom
		`},

		{"registry of the base invalid", func(_ *testing.T, r *gittest.Repo) {
			r.Write("homelab.json", "{")
			r.Commit("broken")
			r.Write("homelab.json", homelab)
			r.Commit("mended")
		}, plan.Request{Base: "HEAD~1", Services: []string{"ha"}}, `
			ha rebuild
			  explicit
			  registry M homelab.json services.ha
			warning baseRegistryUnreadable
		`},

		{"no services named means all", func(_ *testing.T, r *gittest.Repo) { edit(r) }, plan.Request{Services: []string{}}, haEdited},

		{"registry in a linked file", func(_ *testing.T, r *gittest.Repo) {
			r.Write("config/services.json", homelab)
			r.Remove("homelab.json")
			r.Link("config/services.json", "homelab.json")
			r.Commit("linked")
			r.Write("config/services.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
			r.Commit("edited")
		}, plan.Request{Base: "HEAD~1", Head: "HEAD"}, `
			ha rebuild
			  registry M homelab.json services.ha
			unmatched config/services.json
		`},

		{"skip-worktree, but there and edited", func(_ *testing.T, r *gittest.Repo) {
			r.Git("update-index", "--skip-worktree", "services/ha/config.yaml")
			edit(r)
		}, plan.Request{}, ``},

		{"a link to itself in place of a folder", func(t *testing.T, r *gittest.Repo) {
			require.NoError(t, os.RemoveAll(r.Path("services/ha")))
			r.Link("ha", "services/ha")
		}, plan.Request{}, `
			ha rebuild
			  hint ? services/ha services/ha
			  hint D services/ha/config.yaml services/ha
			warning untracked
		`},
		{"links to each other in place of folders", func(t *testing.T, r *gittest.Repo) {
			require.NoError(t, os.RemoveAll(r.Path("services")))
			r.Link("b", "services")
			r.Link("services", "b")
			r.Git("add", "b")
		}, plan.Request{}, `
			grafana rebuild
			  hint ? services services/grafana
			  hint D services/grafana/g.ini services/grafana
			  dependency via prom
			ha rebuild
			  hint ? services services/ha
			  hint D services/ha/config.yaml services/ha
			prom rebuild
			  hint ? services services/prom
			  hint D services/prom/prometheus.yml services/prom
			unmatched b
			warning untracked
		`},
		{"a link in place of a submodule", func(_ *testing.T, r *gittest.Repo) {
			r.Git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",services/ha/lib")
			r.Git("commit", "-q", "-m", "submodule")
			r.Link("../prom", "services/ha/lib")
		}, plan.Request{}, `
			ha rebuild
			  submodule T services/ha/lib services/ha
		`},

		{"grafts change nothing between trees", func(_ *testing.T, r *gittest.Repo) {
			edit(r)
			two := r.Commit("two")
			r.Write(".git/info/grafts", two+"\n")
		}, plan.Request{Base: "HEAD~1"}, haEdited},

		{"registry that git ignores by now", func(_ *testing.T, r *gittest.Repo) {
			r.Git("rm", "-q", "--cached", "homelab.json")
			r.Write(".gitignore", "homelab.json\n")
			r.Git("add", ".gitignore")
			r.Git("commit", "-q", "-m", "ignored")
		}, plan.Request{Services: []string{"ha"}}, `
			ha rebuild
			  explicit
			  registry A homelab.json services.ha
			warning registryUntracked
		`},

		{"registry that git does not track, behind a link", func(_ *testing.T, r *gittest.Repo) {
			r.Remove("homelab.json")
			r.Link("private/homelab.json", "homelab.json")
			r.Write(".gitignore", "private\n")
			r.Commit("linked")
			r.Write("private/homelab.json", homelab)
		}, plan.Request{Services: []string{"ha"}}, `
			ha rebuild
			  explicit
			  registry A homelab.json services.ha
			warning registryUntracked
		`},

		{"registry taken for unchanged, and edited", func(_ *testing.T, r *gittest.Repo) {
			r.Git("update-index", "--assume-unchanged", "homelab.json")
			r.Write("homelab.json", strings.Replace(homelab, `linux.ha"`, `linux.house"`, 1))
		}, plan.Request{}, `
			ha rebuild
			  registry M homelab.json services.ha
		`},

		{"a .git file is nobody's", func(_ *testing.T, r *gittest.Repo) {
			r.Write("services/ha/.git", "x")
		}, plan.Request{}, ``},

		{"explicit, by alias", func(*testing.T, *gittest.Repo) {}, plan.Request{Services: []string{"home"}}, `
			ha rebuild
			  explicit
		`},

		{"a FIFO and a socket are not opened", func(t *testing.T, r *gittest.Repo) {
			require.NoError(t, unix.Mkfifo(r.Path("services/ha/pipe"), 0o644))
			require.NoError(t, unix.Mknod(r.Path("services/ha/sock"), unix.S_IFSOCK|0o644, 0))
		}, plan.Request{}, ``},

		{"a FIFO where a file was", func(t *testing.T, r *gittest.Repo) {
			r.Remove("services/ha/config.yaml")
			require.NoError(t, unix.Mkfifo(r.Path("services/ha/config.yaml"), 0o644))
		}, plan.Request{}, `
			ha rebuild
			  hint M services/ha/config.yaml services/ha
		`},

		{"removed from the index, still there", func(_ *testing.T, r *gittest.Repo) {
			r.Git("rm", "-q", "--cached", "services/ha/config.yaml")
		}, plan.Request{}, `
			ha rebuild
			  hint D services/ha/config.yaml services/ha
		`},

		{"index.lock held", func(_ *testing.T, r *gittest.Repo) {
			r.Write(".git/index.lock", "")
		}, plan.Request{}, `
			warning indexLocked
		`},

		{"a hint that names only ignored files", func(_ *testing.T, r *gittest.Repo) {
			r.Write(".gitignore", "services/grafana/\n")
			r.Git("rm", "-q", "--cached", "-r", "services/grafana")
			r.Commit("two")
			r.Write("services/grafana/g.ini", "x")
		}, plan.Request{}, `
			stale grafana services/grafana
			warning hintIgnored
		`},

		{"replace refs do not count", func(_ *testing.T, r *gittest.Repo) {
			one := r.Rev("HEAD")
			r.Write("services/ha/config.yaml", "edited")
			two := r.Commit("two")
			r.Git("replace", one, two)
		}, plan.Request{Base: "HEAD~1"}, `
			ha rebuild
			  hint M services/ha/config.yaml services/ha
		`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newHomelab(t)
			c.change(t, r)
			expected := c.want
			if strings.HasPrefix(expected, "\n") {
				expected = want(expected)
			}
			assert.Equal(t, expected, brief(ask(t, r, c.request)))
		})
	}
}

// skippedRules commits ignore rules for services/ha that are not on disk: git
// reads them from the index.
func skippedRules(r *gittest.Repo, rules string) {
	r.Write("services/ha/.gitignore", rules)
	r.Commit("rules")
	r.Git("update-index", "--skip-worktree", "services/ha/.gitignore")
	r.Remove("services/ha/.gitignore")
}

// conflict leaves services/ha/config.yaml unmerged.
func conflict(r *gittest.Repo) {
	r.Git("checkout", "-q", "-b", "other")
	r.Write("services/ha/config.yaml", "theirs")
	r.Commit("theirs")
	r.Git("checkout", "-q", "main")
	r.Write("services/ha/config.yaml", "ours")
	r.Commit("ours")
	r.GitFails("merge", "-q", "other")
}
