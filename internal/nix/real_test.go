package nix_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestRealVersion(t *testing.T) {
	realNix(t)
	version, err := nix.Version(t.Context())
	require.NoError(t, err)
	assert.Regexp(t, `^[0-9]+\.[0-9]+`, version)
}

func TestRealRevisions(t *testing.T) {
	r := newRepo(t, t.TempDir())
	r.write("flake.nix", value(1))
	first := r.commit()
	r.write("flake.nix", value(2))
	r.write("nix/my lab/#1 50%?&=+ü/flake.nix", value(20))
	second := r.commit()
	r.git("checkout", "--quiet", "--detach")
	r.write("flake.nix", value(3))
	aside := r.commit()
	r.git("checkout", "--quiet", "main")
	r.write("flake.nix", value(4))

	tests := []struct {
		name, rev, dir, want string
	}{
		{"earlier", first, "", "1"},
		{"head", second, "", "2"},
		{"on no branch", aside, "", "3"},
		{"work tree", "", "", "4"},
		{"folder", second, "nix/my lab/#1 50%?&=+ü", "20"},
		{"folder of the work tree", "", "nix/my lab/#1 50%?&=+ü", "20"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := r.eval(test.rev, test.dir, "homelab")
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	assert.Equal(t, "M flake.nix", r.git("status", "--porcelain"), "evaluating changed the repository")
}

func TestRealClones(t *testing.T) {
	folder := t.TempDir()
	origin := newRepo(t, filepath.Join(folder, "origin"))
	origin.write("flake.nix", value(1))
	origin.commit()
	origin.write("flake.nix", value(2))
	head := origin.commit()

	linked := repo{t, filepath.Join(folder, "linked")}
	origin.git("worktree", "add", "--quiet", linked.root)
	shallow := repo{t, filepath.Join(folder, "shallow")}
	origin.git("clone", "--quiet", "--depth=1", "file://"+origin.root, shallow.root)
	linkedShallow := repo{t, filepath.Join(folder, "linked-shallow")}
	shallow.git("worktree", "add", "--quiet", linkedShallow.root)

	for name, r := range map[string]repo{
		"linked worktree": linked, "shallow": shallow, "linked worktree of a shallow one": linkedShallow,
	} {
		t.Run(name, func(t *testing.T) {
			for _, rev := range []string{head, ""} {
				got, err := r.eval(rev, "", "homelab")
				if err != nil && name == "linked worktree of a shallow one" {
					// Nix 2.26 looks for the parents that a shallow clone lacks.
					assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%s", err)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, "2", got)
			}
			r.write("flake.nix", value(3))
			got, err := r.eval("", "", "homelab")
			require.NoError(t, err)
			assert.Equal(t, "3", got)
		})
	}
}

func TestRealPaths(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"plain-1.0_~", "a+b@c,d=e;f:g", "it's(one)!$&*", "a b", "ünï", "a#b", "a?b", "a%20b", "a\nb", `a"b`, "a[b]{c}^|"} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, filepath.Join(folder, name))
			r.write("flake.nix", value(7))
			head := r.commit()
			for _, rev := range []string{head, ""} {
				got, err := r.eval(rev, "", "homelab")
				if encoded := strings.Contains(nix.GitRef(r.root, "", ""), "%"); encoded && err != nil {
					// Older versions of Nix cannot; they must say so.
					assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%s", err)
					assert.ErrorContains(t, err, "cannot read a repository at")
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, "7", got)
			}
		})
	}
}

// A git hook runs with variables that point git elsewhere.
func TestRealHookEnvironment(t *testing.T) {
	elsewhere := newRepo(t, t.TempDir())
	elsewhere.write("flake.nix", value(1))
	elsewhere.commit()
	r := newRepo(t, t.TempDir())
	r.write("flake.nix", value(2))
	head := r.commit()

	t.Setenv("GIT_DIR", filepath.Join(elsewhere.root, ".git"))
	t.Setenv("GIT_WORK_TREE", elsewhere.root)
	t.Setenv("GIT_INDEX_FILE", filepath.Join(elsewhere.root, ".git", "index"))
	for _, rev := range []string{head, ""} {
		got, err := r.eval(rev, "", "homelab")
		require.NoError(t, err)
		assert.Equal(t, "2", got)
	}
}

func TestRealLock(t *testing.T) {
	input := t.TempDir()
	repo{t, input}.write("flake.nix", "{ outputs = _: { number = 5; }; }")
	r := newRepo(t, t.TempDir())
	r.write("flake.nix", `{ inputs.x.url = "path:`+input+`"; outputs = { self, x }: { homelab = x.number; }; }`)
	head := r.commit()

	for _, rev := range []string{head, ""} {
		_, err := r.eval(rev, "", "homelab")
		assert.Equal(t, fault.EvalFailed, fault.CodeOf(err), "%v", err)
		assert.Equal(t, "run `nix flake lock` and commit flake.lock", fault.Of(err).Hint)
	}
	assert.NoFileExists(t, filepath.Join(r.root, "flake.lock"))
}

func TestRealFailures(t *testing.T) {
	r := newRepo(t, t.TempDir())
	r.write("good/flake.nix", value(1))
	r.write("missing/flake.nix", `{ outputs = _: { homelap = 1; }; }`)
	r.write("syntax/flake.nix", "{ outputs = _: { homelab = import ./registry.nix; }; }")
	r.write("syntax/registry.nix", "{\n  version = ;\n}\n")
	r.write("function/flake.nix", `{ outputs = _: { homelab = { lib }: { }; }; }`)
	r.write("throw/flake.nix", `{ outputs = _: { homelab = throw "no"; }; }`)
	r.write("import/flake.nix", `{ outputs = _: { homelab = import ./registry.nix; }; }`)
	r.write("impure/flake.nix", `{ outputs = _: { homelab = builtins.readFile "/etc/hostname"; }; }`)
	head := r.commit()
	r.write("new/flake.nix", value(1))
	r.write("import/registry.nix", `{ }`)

	tests := []struct {
		name, rev, dir, attr string
		code                 fault.Code
		message, hint        string
	}{
		{"attribute missing", head, "missing", "homelab", fault.NotFound,
			"the flake has no attribute homelab", "add homelab to the outputs in missing/flake.nix, or did you mean homelap?"},
		{"nested attribute missing", head, "good", "packages.x86_64-linux.ha", fault.NotFound,
			"the flake has no attribute packages.x86_64-linux.ha", "add packages.x86_64-linux.ha"},
		{"flake untracked", "", "new", "homelab", fault.NotFound,
			"Nix does not see new/flake.nix", "git add new/flake.nix"},
		{"flake missing", head, "new", "homelab", fault.NotFound,
			"the revision has no new/flake.nix", "commit new/flake.nix"},
		{"import untracked", "", "import", "homelab", fault.EvalFailed,
			"Nix does not see import/registry.nix", "git add import/registry.nix"},
		{"syntax error", head, "syntax", "homelab", fault.EvalFailed,
			"(at syntax/registry.nix:2:13)", "--show-trace"},
		{"syntax error in the work tree", "", "syntax", "homelab", fault.EvalFailed,
			"(at syntax/registry.nix:2:13)", "--show-trace"},
		{"function", head, "function", "homelab", fault.EvalFailed,
			"cannot convert a function to JSON (at function/flake.nix:1:", "plain data"},
		{"throw", head, "throw", "homelab", fault.EvalFailed,
			"nix eval: no", "--show-trace"},
		{"impure", head, "impure", "homelab", fault.EvalFailed,
			"access to absolute path", "a flake sees only its own tree"},
		{"revision missing", someCommit, "good", "homelab", fault.Precondition,
			someCommit, "git fetch"},
	}
	for _, test := range tests {
		// Twice: a failure must not be told differently the second time.
		for _, again := range []string{"", " again"} {
			t.Run(test.name+again, func(t *testing.T) {
				_, err := r.eval(test.rev, test.dir, test.attr)
				require.Error(t, err)
				f := fault.Of(err)
				assert.Equal(t, test.code, f.Code, "%s", err)
				assert.Contains(t, f.Error(), test.message)
				assert.Contains(t, f.Hint, test.hint)
			})
		}
	}
}

func TestRealShadowedAttribute(t *testing.T) {
	r := newRepo(t, t.TempDir())
	r.write("flake.nix", `{ outputs = _: {
		homelab.version = 1;
		packages = builtins.listToAttrs (map (name: { inherit name; value.homelab = derivation { inherit name; system = name; builder = "x"; }; })
			[ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]);
	}; }`)
	got, err := r.eval(r.commit(), "", "homelab")
	if err != nil {
		assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, "homelab names a package")
		return
	}
	assert.JSONEq(t, `{"version":1}`, got)
}

func TestRealOutputIsBounded(t *testing.T) {
	r := newRepo(t, t.TempDir())
	r.write("flake.nix", `{ outputs = _: { homelab = builtins.genList (i: i) 100000; }; }`)
	_, err := nix.Nix{}.EvalJSON(t.Context(), nix.Installable{Flake: nix.GitRef(r.root, r.commit(), ""), Attr: "homelab"}, 1000)
	assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
	assert.ErrorContains(t, err, "more than 1000 bytes")
}
