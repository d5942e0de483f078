package plan_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// detection is a case of change detection: what is changed, and what a plan says then.
type detection struct {
	name    string
	change  func(t *testing.T, r *gittest.Repo)
	request plan.Request
	want    string
}

// Each case is a row, or half of one, of the table in docs/change-detection.md.
func TestChangeDetection(t *testing.T) {
	for _, c := range slices.Concat(changes, unseenChanges, registryChanges) {
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

// changes are of files that git looks at.
var changes = []detection{
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

	{"a socket where a folder was", func(t *testing.T, r *gittest.Repo) {
		r.Remove("services/grafana")
		require.NoError(t, unix.Mknod(r.Path("services/grafana"), unix.S_IFSOCK|0o644, 0))
	}, plan.Request{}, `
		grafana rebuild
		  hint D services/grafana/g.ini services/grafana
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
