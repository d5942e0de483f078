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

// A hint that matches nothing names what git ignores only where there is
// something that git ignores, and both engines say so.
func TestStaleHintsOfIgnoredPaths(t *testing.T) {
	t.Parallel()
	const stale, ignored = "stale prom %s\n", "stale prom %s\nwarning hintIgnored\n"
	empty := func(t *testing.T, r *gittest.Repo) { require.NoError(t, os.MkdirAll(r.Path("a/sub"), 0o755)) }
	file := func(path string) func(*testing.T, *gittest.Repo) {
		return func(_ *testing.T, r *gittest.Repo) { r.Write(path, "x") }
	}
	for _, c := range []struct {
		name, hint, rules string
		make              func(*testing.T, *gittest.Repo)
		want              string
	}{
		{"nothing there", "a", "*.log\n", func(*testing.T, *gittest.Repo) {}, stale},
		{"an empty folder", "a", "", empty, stale},
		{"an empty folder that is ignored", "a", "/a/\n", empty, ignored},
		{"a FIFO in a folder", "a", "*.log\n", func(t *testing.T, r *gittest.Repo) {
			empty(t, r)
			require.NoError(t, unix.Mkfifo(r.Path("a/x.log"), 0o644))
		}, stale},
		{"a folder with nothing but an ignored file", "a", "*.log\n", file("a/sub/x.log"), ignored},
		{"the same, under rules that only git reads", "a", "[x].log\n", file("a/sub/x.log"), ignored},
		{"an ignored file", "a/sub/x.log", "*.log\n", file("a/sub/x.log"), ignored},
		{"below an ignored folder", "a/sub/x", "/a/\n", file("a/sub/x"), ignored},
		{"below an ignored folder, not there", "a/sub/y", "/a/\n", file("a/sub/x"), stale},
		{"a glob of an empty folder", "a/*", "", empty, stale},
		{"a glob of ignored files", "a/*/*.log", "*.log\n", file("a/sub/x.log"), ignored},
		{"a glob of other files", "a/*/*.txt", "*.log\n", file("a/sub/x.log"), stale},
		{"a glob below an ignored folder", "a/**/x", "/a/\n", file("a/sub/x"), ignored},
		{"a glob of other files below an ignored folder", "a/**/y", "/a/\n", file("a/sub/x"), stale},
		{"a glob beside tracked files", "services/prom/*.log", "*.log\n", file("services/prom/x.log"), ignored},
		{"a glob from the root", "**/*.log", "*.log\n", file("a/x.log"), ignored},
		{"braces", "{a,b}/x.log", "*.log\n", file("b/x.log"), ignored},
		{"a name with wildcards", `a\*/*.log`, "*.log\n", file("a*/x.log"), ignored},
		{"a name like a pathspec", ":(top)/*.log", "*.log\n", file(":(top)/x.log"), ignored},
		{"an ignored repository", "a/*/x", "/a/\n", func(_ *testing.T, r *gittest.Repo) {
			r.Write("a/sub/x", "x")
			nested := &gittest.Repo{T: r.T, Dir: r.Path("a/sub")}
			nested.Git("init", "-q", "-b", "main")
			nested.Commit("inner")
		}, ignored},
		{"below an ignored repository", "a/sub/x", "/a/\n", func(_ *testing.T, r *gittest.Repo) {
			r.Write("a/sub/x", "x")
			(&gittest.Repo{T: r.T, Dir: r.Path("a/sub")}).Git("init", "-q", "-b", "main")
		}, ignored},
		{"rules that are not on disk", "services/prom/*.tmp", "", func(_ *testing.T, r *gittest.Repo) {
			r.Write(".gitignore", "*.tmp\n")
			r.Commit("rules")
			r.Git("update-index", "--skip-worktree", ".gitignore")
			r.Remove(".gitignore")
			r.Write("services/prom/x.tmp", "x")
		}, ignored},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newHomelab(t)
			r.Write("homelab.json", strings.Replace(homelab, `"services/prom"`, `"services/prom/prometheus.yml", "`+strings.ReplaceAll(c.hint, `\`, `\\`)+`"`, 1))
			r.Write(".gitignore", c.rules)
			r.Commit("hint")
			c.make(t, r)
			assert.Equal(t, strings.Replace(c.want, "%s", c.hint, 1), brief(ask(t, r, plan.Request{})))
		})
	}
	t.Run("ignored beside untracked", func(t *testing.T) {
		t.Parallel()
		r := newHomelab(t)
		r.Write("homelab.json", strings.Replace(homelab, `"services/prom"`, `"services/prom", "a/sub", "a/*.log"`, 1))
		r.Write(".gitignore", "*.log\n")
		r.Commit("hints")
		r.Write("a/new", "x")
		r.Write("a/x.log", "x")
		r.Write("a/sub/y.log", "x")
		got := ask(t, r, plan.Request{})
		assert.Equal(t, []plan.StaleHint{{Service: "prom", Hint: "a/sub", Ignored: true}, {Service: "prom", Hint: "a/*.log", Ignored: true}}, got.StaleHints)
	})
}
