package plan_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/plan"
)

// The commit alone is not what a work tree with edits was built from.
func TestDeployedWithEdits(t *testing.T) {
	t.Parallel()
	const config, original = "services/ha/config.yaml", "services/ha/config.yaml\n"
	r := newDeploying(t)
	r.Write(config, "edited")
	r.Write("services/ha/new.yaml", "untracked: Nix does not see it")
	r.Write("README.md", "edited, but under no hint")
	r.Write("services/ha/docs/README.md", "edited, but excluded")
	r.Remove("shared/a.nix")
	r.Write("shared/b.nix", "so that the hint is not stale")
	r.Git("add", "shared/b.nix")
	head := r.Rev("HEAD")
	l := record{"ha": deployEdits(t, r, "ha"), "prom": from(head), "grafana": from(head)}
	const untracked = "unmatched README.md\nwarning untracked\n"
	assert.Equal(t, untracked, brief(l.ask(t, r, plan.Request{})), "what runs is what is here")
	r.Write("README.md", "README.md\n")
	r.Write("services/ha/docs/README.md", "services/ha/docs/README.md\n")
	assert.Equal(t, "warning untracked\n", brief(l.ask(t, r, plan.Request{})), "an edit that does not touch it came and went")

	r.Git("add", "services/ha/new.yaml")
	assert.Equal(t, want(`
		ha rebuild
		  hint M services/ha/config.yaml services/ha
		  hint A services/ha/new.yaml services/ha
		  hint D shared/a.nix shared/*.nix
		  hint A shared/b.nix shared/*.nix
	`), brief(l.ask(t, r, plan.Request{})), "now Nix sees it")
	r.Git("rm", "-q", "-f", "services/ha/new.yaml")

	r.Git("add", "-A")
	assert.Empty(t, brief(l.ask(t, r, plan.Request{})), "staged")
	r.Git("commit", "-q", "-m", "the same, committed")
	assert.Empty(t, brief(l.ask(t, r, plan.Request{})), "committed")
	r.Write("services/prom/prometheus.yml", "edited")
	r.Commit("something else")
	assert.Equal(t, want(`
		grafana rebuild
		  dependency via prom
		prom rebuild
		  hint M services/prom/prometheus.yml services/prom
	`), brief(l.ask(t, r, plan.Request{})))

	require.NoError(t, os.Chmod(r.Path(config), 0o755)) //nolint:gosec // what is tested
	assert.Contains(t, brief(l.ask(t, r, plan.Request{})), "ha rebuild\n  hint M services/ha/config.yaml services/ha\n", "its mode counts")
	require.NoError(t, os.Chmod(r.Path(config), 0o644))
	r.Write(config, "edited again")
	assert.Contains(t, brief(l.ask(t, r, plan.Request{})), "ha rebuild\n  hint M services/ha/config.yaml services/ha\n")
	r.Write(config, original)
	r.Write("shared/a.nix", "shared/a.nix\n")
	r.Git("add", "shared/a.nix")
	r.Git("rm", "-q", "-f", "shared/b.nix")
	got := l.ask(t, r, plan.Request{Services: []string{"ha"}})
	assert.Equal(t, "ha rebuild\n  explicit\n  edits\n", brief(got)[:len("ha rebuild\n  explicit\n  edits\n")])
	assert.Contains(t, brief(l.ask(t, r, plan.Request{})), "ha rebuild\n  edits\n", "taken back: what runs has them still")

	// What is not known is no proof.
	r.Git("rm", "-q", "-f", "shared/a.nix")
	r.Git("checkout", "-q", "HEAD", "--", "shared")
	r.Write(config, "edited")
	unknown := l["ha"]
	unknown.Edits = ""
	l["ha"] = unknown
	assert.Contains(t, brief(l.ask(t, r, plan.Request{})), "ha rebuild\n  hint M services/ha/config.yaml services/ha\n")
}

// Edits of a dependency, of the lock file and of the registry are edits of a
// service; its configuration is not in the image.
func TestWhatEditsTouch(t *testing.T) {
	t.Parallel()
	const prometheus = "services/prom/prometheus.yml"
	lock := func(rev string) string {
		return `{"root": "root", "nodes": {"root": {"inputs": {"nixpkgs": "n", "other": "o"}}, "n": {"locked": {"rev": "` + rev + `"}}, "o": {"locked": {"rev": "` + rev[:1] + `"}}}}`
	}
	r := newDeploying(t)
	text := strings.Replace(deploying, `"dependsOn": ["prom"],`, `"dependsOn": ["prom"], "inputs": ["nixpkgs"],`, 1)
	r.Write("homelab.json", text)
	r.Write("flake.lock", lock("1a"))
	r.Commit("lock")
	head := r.Rev("HEAD")
	only := func(d plan.Deployment) record { return record{"ha": from(head), "prom": from(head), "grafana": d} }
	decision := func(l record) plan.Decision {
		p := l.ask(t, r, plan.Request{})
		return p.Services[slices.IndexFunc(p.Services, func(s plan.Service) bool { return s.Name == "grafana" })].Decision
	}

	r.Write(prometheus, "edited")
	r.Write("flake.lock", lock("1b"))
	l := only(deployEdits(t, r, "grafana"))
	assert.Equal(t, plan.None, decision(l))
	r.Write("services/ha/config.yaml", "edited")
	assert.Equal(t, plan.None, decision(l), "it is nothing to it")
	r.Write(prometheus, prometheus+"\n")
	assert.Equal(t, plan.Rebuild, decision(l), "the dependency is as before")
	r.Write(prometheus, "edited")
	r.Write("flake.lock", lock("2b"))
	assert.Equal(t, plan.Rebuild, decision(l), "the input is one more")
	r.Write("flake.lock", lock("1b"))
	assert.Equal(t, plan.None, decision(l))

	r.Write("lib/oci.nix", "edited")
	assert.Equal(t, plan.Rebuild, decision(l), "a global hint")
	r.Write("lib/oci.nix", "lib/oci.nix\n")
	r.Write("homelab.json", strings.Replace(text, "linux.grafana", "linux.other", 1))
	assert.Equal(t, plan.Rebuild, decision(l), "another target")
	r.Write("homelab.json", strings.Replace(text, `"deploy": {}, "hints": ["services/grafana"`, `"deploy": {"env": {"A": "b"}}, "hints": ["services/grafana"`, 1))
	assert.Equal(t, plan.None, decision(l), "whether it is configured so, its container says")
	drifted := l["grafana"]
	drifted.Drift = true
	assert.Equal(t, plan.Redeploy, decision(only(drifted)))
}

// A merge that is not finished is in the way, whatever the files say.
func TestEditsOfAnUnfinishedMerge(t *testing.T) {
	t.Parallel()
	const config = "services/ha/config.yaml"
	r := newDeploying(t)
	r.Write(config, "deployed")
	l := record{"ha": deployEdits(t, r, "ha")}
	r.Git("checkout", "-q", "--", config)
	conflict(r)
	r.Write(config, "deployed")
	assert.Equal(t, plan.Blocked, l.ask(t, r, plan.Request{}).Services[1].Decision)
	r.Git("add", config)
	assert.Equal(t, plan.None, l.ask(t, r, plan.Request{}).Services[1].Decision)
}

// To a service that names its inputs the lock file is these, also where a hint covers it.
func TestEditsOfTheLockFile(t *testing.T) {
	t.Parallel()
	lock := func(nixpkgs, other string) string {
		return `{"root": "root", "nodes": {"root": {"inputs": {"nixpkgs": "n", "other": "o"}}, "n": {"locked": {"rev": "` + nixpkgs + `"}}, "o": {"locked": {"rev": "` + other + `"}}}}`
	}
	r := newDeploying(t)
	r.Write("homelab.json", strings.Replace(deploying, `"hints": ["services/grafana"`, `"inputs": ["nixpkgs"], "hints": ["flake.lock", "services/grafana"`, 1))
	r.Write("flake.lock", lock("1", "1"))
	r.Write("services/grafana/page", "one")
	r.Commit("lock")
	head := r.Rev("HEAD")
	r.Write("flake.lock", lock("2", "2"))
	r.Write("services/grafana/page", "two")
	l := record{"ha": from(head), "prom": from(head), "grafana": deployEdits(t, r, "grafana")}
	decision := func() plan.Decision { return l.ask(t, r, plan.Request{}).Services[0].Decision }
	assert.Equal(t, plan.None, decision())
	r.Write("flake.lock", lock("2", "3"))
	assert.Equal(t, plan.None, decision(), "another input")
	r.Write("flake.lock", lock("3", "2"))
	assert.Equal(t, plan.Rebuild, decision(), "its own")
	r.Write("flake.lock", lock("2", "2"))
	r.Write("services/grafana/page", "three")
	assert.Equal(t, plan.Rebuild, decision(), "a file of its own")
}
