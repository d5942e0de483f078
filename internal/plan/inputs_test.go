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

const lock = `{
  "nodes": {
    "root": {"inputs": {"nixpkgs": "nixpkgs", "home-manager": "home-manager", "agenix": "agenix"}},
    "nixpkgs": {"locked": {"rev": "NIXPKGS"}},
    "agenix": {"locked": {"rev": "AGENIX"}},
    "home-manager": {"inputs": {"nixpkgs": ["nixpkgs"], "utils": "utils"}, "locked": {"rev": "HM"}},
    "utils": {"locked": {"rev": "UTILS"}}
  },
  "root": "root", "version": 7
}`

// withInputs gives ha the inputs home-manager, prom those of agenix, and leaves
// grafana to the global hint on flake.lock.
func withInputs(t *testing.T) *gittest.Repo {
	r := newHomelab(t)
	text := strings.Replace(homelab, `{"path": "lib"}`, `{"path": "flake.lock"}`, 1)
	text = strings.Replace(text, `"aliases": ["home"],`, `"inputs": ["home-manager"],`, 1)
	text = strings.Replace(text, `"hints": ["services/prom"]`, `"hints": ["services/prom"], "inputs": ["agenix"]`, 1)
	r.Write("homelab.json", strings.Replace(text, `"dependsOn": ["prom"],`, ``, 1))
	r.Write("flake.lock", lock)
	r.Commit("inputs")
	return r
}

func TestFlakeInputs(t *testing.T) {
	t.Parallel()
	grafana := "grafana rebuild\n  global M flake.lock flake.lock\n"
	cases := []struct {
		name, from, to string
		moved          []plan.InputChange
		want           string
	}{
		{"an input's input", "UTILS", "x", []plan.InputChange{{Name: "home-manager", Status: "M"}},
			grafana + "ha rebuild\n  input M flake.lock home-manager\n"},
		{"what an input follows", "NIXPKGS", "x", []plan.InputChange{{Name: "home-manager", Status: "M"}, {Name: "nixpkgs", Status: "M"}},
			grafana + "ha rebuild\n  input M flake.lock home-manager\n"},
		{"only formatting", `"version": 7`, `"version":  7`, []plan.InputChange{}, grafana},
		{"another one", "AGENIX", "x", []plan.InputChange{{Name: "agenix", Status: "M"}},
			grafana + "prom rebuild\n  input M flake.lock agenix\n"},
		{"one less", `, "agenix": "agenix"`, ``, []plan.InputChange{{Name: "agenix", Status: "D"}},
			grafana + "prom rebuild\n  input M flake.lock agenix\nwarning unknownInput\n"},
		{"not JSON", `"version"`, `version`, []plan.InputChange{{Name: "agenix", Status: "D"}, {Name: "home-manager", Status: "D"}, {Name: "nixpkgs", Status: "D"}},
			grafana + "ha rebuild\n  input M flake.lock home-manager\nprom rebuild\n  input M flake.lock agenix\nwarning lockUnreadable\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := withInputs(t)
			r.Write("flake.lock", strings.Replace(lock, c.from, c.to, 1))
			got := ask(t, r, plan.Request{})
			assert.Equal(t, c.want, strings.ReplaceAll(brief(got), "warning registryFallback\n", ""))
			assert.Equal(t, c.moved, got.InputChanges)
		})
	}
}

// An input that the flake never had may be anything, so it counts as moved
// whenever the lock file changes.
func TestUnknownInputMovesWithTheLock(t *testing.T) {
	t.Parallel()
	r := withInputs(t)
	text, err := os.ReadFile(r.Path("homelab.json"))
	require.NoError(t, err)
	r.Write("homelab.json", strings.NewReplacer(`["home-manager"]`, `["nowhere"]`, `["agenix"]`, `["agenix/nowhere"]`).Replace(string(text)))
	r.Commit("unknown inputs")
	r.Write("flake.lock", strings.Replace(lock, "UTILS", "x", 1))
	assert.Equal(t, want(`
		grafana rebuild
		  global M flake.lock flake.lock
		ha rebuild
		  input M flake.lock nowhere
		prom rebuild
		  input M flake.lock agenix/nowhere
		warning unknownInput
		warning unknownInput
	`), brief(ask(t, r, plan.Request{})))
}

// Paths of inputs that lead through each other twice at every step end soon.
func TestTangledLock(t *testing.T) {
	t.Parallel()
	inputs, back := []string{}, []string{}
	const deep = 60
	for i := range deep {
		inputs = append(inputs, fmt.Sprintf(`"l%02d": ["l%02d", "s%02d"]`, i, i+1, i+1))
		back = append(back, fmt.Sprintf(`"s%02d": ["l%02d"]`, i+1, i+1))
	}
	inputs = append(inputs, fmt.Sprintf(`"l%02d": "N"`, deep))
	tangled := func(rev string) string {
		return fmt.Sprintf(`{"root": "root", "nodes": {"root": {"inputs": {%s}}, "N": {"inputs": {%s}, "locked": {"rev": %q}}}}`,
			strings.Join(inputs, ","), strings.Join(back, ","), rev)
	}
	r := withInputs(t)
	r.Write("flake.lock", tangled("one"))
	r.Commit("tangled")
	r.Write("flake.lock", tangled("two"))
	assert.NotEmpty(t, ask(t, r, plan.Request{}).InputChanges)
}

// A lock file whose inputs follow themselves is not valid, and no reason to hang.
func TestLockThatFollowsItself(t *testing.T) {
	t.Parallel()
	r := withInputs(t)
	follows := strings.Replace(lock, `"agenix": "agenix"`, `"agenix": ["agenix", "self"]`, 1)
	r.Write("flake.lock", follows)
	got := ask(t, r, plan.Request{})
	assert.Equal(t, []plan.InputChange{{Name: "agenix", Status: "D"}}, got.InputChanges)
}
