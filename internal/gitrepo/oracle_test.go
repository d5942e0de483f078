package gitrepo_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/gitrepo"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/plan"
)

// names are the paths that histories and work trees are made of: nested, odd,
// sorting before and after their folders' names, clashing as file and folder.
var names = []string{
	"a", "a.b", "a/b", "a/b/c", "a-b", "a0", "flake.nix", "lib/x.nix", "lib/y.nix", "lib/deep/er/z",
	"services/ha/config.yaml", "services/ha/sub/x", "services/ha.bak", "services/ha-old/x", "services/prom/p.yml",
	"new\nline", "tab\there", "quo\"te", "back\\slash", "sp ace/in it", "ümlaut/ß", "bad\xff\xfe/x", "Case", "case",
	"-dash", ":colon", "*star", "[set]", "x?", "!bang", "#hash", "trailing /x",
}

// history writes commits with random changes, merges among them, and returns
// their ids.
func history(t *testing.T, r *gittest.Repo, seed uint64, commits int) []string {
	rng := rand.New(rand.NewPCG(seed, 1))
	files := map[string]string{}
	var script strings.Builder
	submodule := strings.Repeat("ab", 20)
	for i := range commits {
		fmt.Fprintf(&script, "commit refs/heads/main\nmark :%d\ncommitter A <a@example.org> %d +0000\ndata 1\nx\n", i+1, 1_700_000_000+i)
		if i > 0 {
			fmt.Fprintf(&script, "from :%d\n", i)
		}
		if i > 4 && rng.IntN(5) == 0 {
			fmt.Fprintf(&script, "merge :%d\n", rng.IntN(i-2)+1)
		}
		for range rng.IntN(4) {
			name := names[rng.IntN(len(names))]
			quoted := fastImportPath(name)
			if _, ok := files[name]; ok && rng.IntN(3) == 0 {
				delete(files, name)
				fmt.Fprintf(&script, "D %s\n", quoted)
				continue
			}
			for other := range files { // a file gives way to a folder and back
				if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
					delete(files, other)
					fmt.Fprintf(&script, "D %s\n", fastImportPath(other))
				}
			}
			files[name] = ""
			content := fmt.Sprint("content ", rng.IntN(6))
			switch rng.IntN(8) {
			case 0:
				fmt.Fprintf(&script, "M 120000 inline %s\ndata %d\n%s\n", quoted, len(content), content)
			case 1:
				fmt.Fprintf(&script, "M 160000 %s %s\n", submodule[:39]+fmt.Sprint(rng.IntN(10)), quoted)
			case 2:
				fmt.Fprintf(&script, "M 100755 inline %s\ndata %d\n%s\n", quoted, len(content), content)
			default:
				fmt.Fprintf(&script, "M 100644 inline %s\ndata %d\n%s\n", quoted, len(content), content)
			}
		}
	}
	r.GitInput(script.String(), "fast-import", "--quiet")
	return strings.Fields(r.Git("rev-list", "--reverse", "--topo-order", "main"))
}

func fastImportPath(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(path) + `"`
}

// reference is what git says differs, as "STATUS path" lines.
func reference(r *gittest.Repo, args ...string) []string {
	var lines []string
	records := strings.Split(r.Git(append(args, "--raw", "-z", "--no-renames", "--abbrev=40", "--ignore-submodules=none")...), "\x00")
	for i := 0; i+1 < len(records); i += 2 {
		fields := strings.Fields(records[i])
		if fields[4] != "U" {
			lines = append(lines, fields[4]+" "+records[i+1])
		}
	}
	return lines
}

func lines(changes []plan.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, string(c.Status)+" "+c.Path)
	}
	slices.Sort(out)
	return out
}

func open(t *testing.T, dir string) *gitrepo.Repo {
	t.Helper()
	repo, err := gitrepo.Open(t.Context(), dir)
	require.NoError(t, err)
	return repo
}

func resolve(t *testing.T, repo *gitrepo.Repo, rev string) plan.Commit {
	t.Helper()
	c, err := repo.Resolve(t.Context(), rev)
	require.NoError(t, err)
	return c
}

// Every pair must give exactly what git gives, in both engines.
func TestTreesLikeGit(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed=%t", packed), func(t *testing.T) {
			t.Parallel()
			r := gittest.New(t)
			ids := history(t, r, 7, 120)
			if packed {
				r.Git("gc", "-q", "--aggressive")
			}
			repo := open(t, r.Dir)
			require.Empty(t, repo.Foreign())
			byGit := gitrepo.ForTest(repo).GitOnly()
			rng := rand.New(rand.NewPCG(3, 9))
			for range 200 {
				a, b := ids[rng.IntN(len(ids))], ids[rng.IntN(len(ids))]
				want := reference(r, "diff-tree", "-r", a, b)
				slices.Sort(want)
				for _, repo := range []*gitrepo.Repo{repo, byGit} {
					snapshot, err := repo.Tree(t.Context(), resolve(t, repo, b))
					require.NoError(t, err)
					got, err := snapshot.Changes(t.Context(), resolve(t, repo, a))
					require.NoError(t, err)
					require.Equal(t, want, lines(got), "%s..%s by %s", a, b, snapshot.Engine())
				}
			}
		})
	}
}

// A work tree is mutated again and again; after each step the answer must be
// what git diff and git status say, against any base, in both engines.
func TestWorkTreeLikeGit(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := gittest.New(t)
			ids := history(t, r, 100+seed, 40)
			r.Git("config", "core.protectNTFS", "false")
			r.Git("reset", "-q", "--hard")
			if seed == 1 {
				r.Git("update-index", "--index-version", "4")
			}
			r.Write(".gitignore", "*.ignored\nbuild/\n/a?/**\n!keep.*\nlib/**/deep\n")
			r.Git("add", "--", ".gitignore")
			if seed%2 == 1 {
				r.Write(".git/info/exclude", "# [a comment]\nfresh/*/t*\n/services/ha/*.tmp\n")
			}
			if seed > 1 {
				backdate(r)
			}
			repo := open(t, r.Dir)
			repo.Resident = seed%3 != 0
			repo.Cache = t.TempDir()
			byGit := gitrepo.ForTest(repo).GitOnly()
			m := &mutator{t: t, r: r, rng: rand.New(rand.NewPCG(seed, 5))}
			for step := range 60 {
				did := m.step()
				base := ids[m.rng.IntN(len(ids))]
				if m.rng.IntN(2) == 0 {
					base = r.Rev("HEAD")
				}
				want := workTreeReference(r, base)
				for _, repo := range []*gitrepo.Repo{repo, byGit} {
					snapshot, err := repo.WorkTree(t.Context())
					require.NoError(t, err)
					got, err := snapshot.Changes(t.Context(), resolve(t, repo, base))
					require.NoError(t, err)
					require.Equal(t, want, lines(got), "step %d (%s) by %s, base %s", step, did, snapshot.Engine(), base)
				}
			}
		})
	}
}

// backdate makes every file old enough for its stat data to be trusted: files
// written in the second of the index's own time never are.
func backdate(r *gittest.Repo) {
	old := time.Now().Add(-time.Hour)
	require.NoError(r.T, filepath.WalkDir(r.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() == ".git" {
			return cmp.Or(err, filepath.SkipDir)
		}
		if entry.Type().IsRegular() {
			return os.Chtimes(path, old, old)
		}
		return nil
	}))
	r.Git("update-index", "-q", "--refresh")
}

func workTreeReference(r *gittest.Repo, base string) []string {
	want := reference(r, "diff", base)
	told := map[string]bool{}
	for _, line := range want {
		told[line[2:]] = true
	}
	for _, record := range strings.Split(r.Git("status", "--porcelain=v2", "-z", "-uall", "--no-renames", "--ignore-submodules=none"), "\x00") {
		if path, ok := strings.CutPrefix(record, "? "); ok && !told[path] {
			want = append(want, record)
		}
	}
	slices.Sort(want)
	return want
}

// more are names that ignore rules speak of.
var more = []string{
	"x.ignored", "build/out", "a/new", "lib/deep/new/file", "fresh/one/two", "fresh/keep.ignored", "a1/x", "services/ha/x.tmp",
	"build", "lib/new/deep", "keep.ignored", "services/prom/.gitignore",
}

type mutator struct {
	t   *testing.T
	r   *gittest.Repo
	rng *rand.Rand
}

func (m *mutator) step() string {
	name := names[m.rng.IntN(len(names))]
	if m.rng.IntN(3) == 0 {
		name = more[m.rng.IntN(len(more))]
	}
	path := m.r.Path(name)
	try := func(args ...string) { // it may fail: the path is not tracked, or ignored
		_, err := command.Run(m.t.Context(), command.Cmd{Name: "git", Args: args, Dir: m.r.Dir})
		require.NoError(m.t, err)
	}
	switch m.rng.IntN(13) {
	case 0, 1, 2:
		m.clear(path)
		content := fmt.Sprint("content ", m.rng.IntN(6))
		if filepath.Base(name) == ".gitignore" {
			content = []string{"*.yml\n", "!*\n", "x[0-9]\n", ""}[m.rng.IntN(4)]
		}
		m.r.Write(name, content)
		return "write " + name
	case 3:
		m.remove(path)
		return "remove " + name
	case 4:
		if strings.HasPrefix(m.r.Git("ls-files", "--stage", "--", ":(literal)"+name), "160000") {
			return "nothing: git status fails on a link in place of a submodule"
		}
		m.clear(path)
		m.r.Link(fmt.Sprint("content ", m.rng.IntN(6)), name)
		return "link " + name
	case 5:
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			require.NoError(m.t, os.Chmod(path, info.Mode()^0o111))
		}
		return "chmod " + name
	case 6:
		m.clear(path)
		require.NoError(m.t, os.MkdirAll(path, 0o755))
		require.NoError(m.t, os.WriteFile(filepath.Join(path, "inside"), []byte("x"), 0o644))
		return "folder " + name
	case 7, 8:
		try("add", "--", ":(literal)"+name)
		return "add " + name
	case 9:
		try("rm", "-q", "--cached", "-r", "--", ":(literal)"+name)
		return "rm --cached " + name
	case 10:
		try("add", "-N", "--", ":(literal)"+name)
		return "add -N " + name
	case 11:
		try("add", "-f", "--", ":(literal)"+name)
		return "add -f " + name
	default:
		try("reset", "-q", "--", ":(literal)"+name)
		return "reset " + name
	}
}

// clear makes room for something at path, above and below.
func (m *mutator) clear(path string) {
	m.remove(path)
	for dir := filepath.Dir(path); dir != m.r.Dir; dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
			require.NoError(m.t, os.Remove(dir))
		}
	}
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
}

// remove deletes what is at path; a file where a folder of it should be is fine.
func (m *mutator) remove(path string) {
	if err := os.RemoveAll(path); !errors.Is(err, syscall.ENOTDIR) {
		require.NoError(m.t, err)
	}
}
