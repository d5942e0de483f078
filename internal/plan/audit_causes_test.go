package plan_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// Of files with equal content only one that is known to be the service's is a
// cause.
func TestAuditOfEqualContents(t *testing.T) {
	t.Parallel()
	both := plan.Missing{Service: "prom", Causes: []plan.Path{}, Candidates: []plan.Path{"a/VERSION", "b/VERSION"}, Count: 2, Hints: []string{}}
	for _, c := range []struct {
		name   string
		recipe string
		files  map[string]string // at the base
		change map[string]string
		want   plan.Missing
	}{
		{
			"files of one name", "b/VERSION\n",
			map[string]string{"a/VERSION": "1", "b/VERSION": "1"}, map[string]string{"a/VERSION": "2", "b/VERSION": "2"}, both,
		},
		{
			"folders of other names", "b\n",
			map[string]string{"c1/f": "1", "c2/f": "1", "b/f": "1"}, map[string]string{"c1/f": "2", "c2/f": "2", "b/f": "2"},
			plan.Missing{Service: "prom", Causes: []plan.Path{"b"}, Candidates: []plan.Path{}, Hints: []string{"b"}},
		},
		{
			"only one was equal before", "b/VERSION\n",
			map[string]string{"a/VERSION": "0", "b/VERSION": "1"}, map[string]string{"a/VERSION": "2", "b/VERSION": "2"},
			plan.Missing{Service: "prom", Causes: []plan.Path{"b/VERSION"}, Candidates: []plan.Path{}, Hints: []string{"b/VERSION"}},
		},
		{
			"one is under a hint, though excluded", "services/ha/docs/VERSION\n",
			map[string]string{"a/VERSION": "1", "services/ha/docs/VERSION": "1"}, map[string]string{"a/VERSION": "2", "services/ha/docs/VERSION": "2"},
			plan.Missing{Service: "ha", Causes: []plan.Path{"services/ha/docs/VERSION"}, Candidates: []plan.Path{}, Excluded: true, Hints: []string{}},
		},
		{
			"beside one that is certain", "b/VERSION\nREADME.md\n",
			map[string]string{"a/VERSION": "1", "b/VERSION": "1"}, map[string]string{"a/VERSION": "2", "b/VERSION": "2", "README.md": "2"},
			plan.Missing{Service: "prom", Causes: []plan.Path{"README.md"}, Candidates: both.Candidates, Count: 2, Hints: []string{"README.md"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, _, p := newContent(t, homelab)
			r.Write("flake/"+c.want.Service, c.recipe)
			for path, content := range c.files {
				r.Write(path, content)
			}
			r.Commit("before")
			for path, content := range c.change {
				r.Write(path, content)
			}
			f := audited(t, p, plan.Request{})
			assert.Equal(t, []plan.Missing{c.want}, f.Missing)
			assert.Equal(t, len(c.want.Hints) > 0, f.Patch != nil)
		})
	}
}

// Nix cannot see what is not tracked: no hint is too wide for it.
func TestAuditOfUntracked(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	for _, name := range strings.Split("abcdefghijklm", "") {
		r.Write("services/ha/"+name, "untracked")
	}
	r.Write("lib/untracked", "untracked")
	assert.Equal(t, agreed(), audited(t, p, plan.Request{}))
	r.Write("shared/a.nix", "edited")
	assert.Equal(t, []plan.OverWide{{Service: "ha", Hints: []string{"shared/*.nix"}, Paths: []plan.Path{"shared/a.nix"}, Count: 1}},
		audited(t, p, plan.Request{}).OverWide)
}

// A hint is text: one for a name that is not is for the folder of it.
func TestAuditOfNamesThatAreNotText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		recipe, path string
		want         []string
	}{
		"a file":       {"d/n\xff\n", "d/n\xff", []string{"d"}},
		"a folder":     {"d/m\xff\n", "d/m\xff/n", []string{"d"}},
		"in no folder": {"n\xff\n", "n\xff", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, p := newContent(t, homelab)
			r.Write(c.path, "1")
			r.Write("flake/prom", c.recipe)
			r.Commit("before")
			r.Write(c.path, "2")
			f := audited(t, p, plan.Request{})
			require.Len(t, f.Missing, 1)
			assert.Equal(t, c.want, f.Missing[0].Hints)
			require.Equal(t, len(c.want) > 0, f.Patch != nil)
			if f.Patch != nil {
				applies(t, r, f.Patch)
				assert.Empty(t, audited(t, p, plan.Request{Base: "HEAD~1"}).Missing)
			}
		})
	}
}

// Of a commit Nix leaves an empty folder for a submodule, of a work tree with
// edits only the folder above it.
func TestWholeFlakeWithSubmodule(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("flake/grafana", ".\n")
	submodule(t, r, "sub")
	submodule(t, r, "vendor/sub")
	r.Write("README.md", "edited")
	r.Git("commit", "-q", "-a", "-m", "edited")
	for name, request := range map[string]plan.Request{"clean": {Base: "HEAD~1"}, "commit": {Base: "HEAD~1", Head: "HEAD"}} {
		f := audited(t, p, request)
		assert.Len(t, f.WholeFlake, 1, name)
		require.Len(t, f.Missing, 1)
		assert.Equal(t, []plan.Path{"."}, f.Missing[0].Causes, name)
		assert.Nil(t, f.Patch, name)
	}
	r.Write("README.md", "edited again")
	assert.Len(t, audited(t, p, plan.Request{}).WholeFlake, 1, "edits")
}

// submodule commits one that is not checked out.
func submodule(t *testing.T, r *gittest.Repo, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(r.Path(path), 0o755))
	r.Git("update-index", "--add", "--cacheinfo", "160000,"+r.Rev("HEAD")+","+path)
	r.Git("add", "-u")
	r.Git("commit", "-q", "-m", "submodule")
}

// An old commit is hashed as it was, whatever became of its files.
func TestWholeFlakeOfAnOldCommit(t *testing.T) {
	t.Parallel()
	r, _, p := newContent(t, homelab)
	r.Write("run.sh", "1")
	require.NoError(t, os.Chmod(r.Path("run.sh"), 0o755))
	r.Write("flake/grafana", ".\n")
	r.Commit("whole")
	r.Write("README.md", "edited")
	r.Commit("edited")
	old := plan.Request{Mode: plan.Audit, Base: "HEAD~1", Head: "HEAD"}
	require.Len(t, audited(t, p, old).WholeFlake, 1)
	blob := r.Rev("HEAD:run.sh")

	r.Remove("run.sh")
	r.Commit("gone")
	old.Base, old.Head = "HEAD~2", "HEAD~1"
	require.Len(t, audited(t, p, old).WholeFlake, 1)

	// What cannot be read whole proves nothing.
	require.NoError(t, os.Remove(r.Path(".git/objects/"+blob[:2]+"/"+blob[2:])))
	got, err := p.Plan(t.Context(), old)
	require.NoError(t, err)
	require.NotEmpty(t, got.Warnings)
	assert.Equal(t, "wholeFlakeUnknown", got.Warnings[len(got.Warnings)-1].Code)
	assert.Equal(t, []plan.Missing{{
		Service: "grafana", Causes: []plan.Path{}, Candidates: []plan.Path{"README.md"}, Count: 1, Hints: []string{},
	}}, got.Audit.Missing)
	assert.Nil(t, got.Audit.Patch)
}

// What commits had is looked at only where the head does not tell the cause. Where
// it cannot be read a cause may be missing, and the answer says so.
func TestAuditIsIncomplete(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		change   func(r *gittest.Repo)
		want     plan.Missing // while all can be read
		warnings int          // when the blob of the base is lost
	}{
		{
			"edited", func(r *gittest.Repo) { r.Write("extra/a", "2") },
			plan.Missing{Service: "prom", Causes: []plan.Path{"extra/a"}, Candidates: []plan.Path{}, Hints: []string{"extra/a"}}, 0,
		},
		{
			"gone", func(r *gittest.Repo) {
				r.Remove("extra/a")
				r.Write("flake/prom", "services/prom\n")
			},
			plan.Missing{Service: "prom", Causes: []plan.Path{"extra/a"}, Candidates: []plan.Path{}, Hints: []string{"extra/a"}}, 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, _, p := newContent(t, homelab)
			r.Write("extra/a", "1")
			r.Write("flake/prom", "services/prom\nextra/a\n")
			r.Commit("before")
			blob := r.Rev("HEAD:extra/a")
			c.change(r)
			got, err := p.Plan(t.Context(), plan.Request{Mode: plan.Audit})
			require.NoError(t, err)
			assert.Empty(t, got.Warnings)
			assert.Equal(t, []plan.Missing{c.want}, got.Audit.Missing)

			require.NoError(t, os.Remove(r.Path(".git/objects/"+blob[:2]+"/"+blob[2:])))
			got, err = p.Plan(t.Context(), plan.Request{Mode: plan.Audit})
			require.NoError(t, err)
			require.Len(t, got.Warnings, c.warnings)
			require.Len(t, got.Audit.Missing, 1)
			assert.Equal(t, c.warnings == 0, len(got.Audit.Missing[0].Causes) > 0)
			if c.warnings > 0 {
				assert.Equal(t, "auditIncomplete", got.Warnings[0].Code)
				assert.Contains(t, got.Warnings[0].Message, "extra: open extra/a")
			}
		})
	}
}

// countedNix counts how often it is asked for sources.
type countedNix struct {
	*contentNix
	asked int
}

func (n *countedNix) Sources(ctx context.Context, drvs []string) (map[string][]plan.StoreSource, error) {
	n.asked++
	return n.contentNix.Sources(ctx, drvs)
}

// However many services lack a hint, Nix is asked once for each side.
func TestAuditAsksForSourcesOnce(t *testing.T) {
	t.Parallel()
	r, content, p := newContent(t, homelab)
	n := &countedNix{contentNix: content}
	p.Source.Nix = n
	for _, name := range []string{"ha", "prom", "grafana"} {
		r.Write("flake/"+name, "README.md\n")
	}
	r.Commit("all")
	r.Write("README.md", "edited")
	assert.Len(t, audited(t, p, plan.Request{}).Missing, 3)
	assert.Equal(t, 2, n.asked)
}
