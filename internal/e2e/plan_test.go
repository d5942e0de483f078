package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/plan"
)

const (
	scenes     = "services/home-assistant/scenes.yaml"
	metrics    = "services/prometheus/prometheus.yml"
	newScreen  = "services/grafana/dashboards/garden.json"
	imageMaker = "modules/oci/build.sh"
)

// Every kind of edit, in a repository whose registry real Nix evaluates.
func TestEdits(t *testing.T) {
	tests := map[string]struct {
		edit    func(l *lab)
		ask     []string
		rebuild map[string]string // service: why
	}{
		"nothing": {
			edit: func(*lab) {},
		},
		"a file of one service": {
			edit:    func(l *lab) { l.edit(scenes) },
			rebuild: map[string]string{"home-assistant": "hint M " + scenes},
		},
		"a file that is excluded": {
			edit: func(l *lab) { l.edit("services/home-assistant/README.md") },
		},
		"a file no hint covers": {
			edit: func(l *lab) { l.edit("README.md") },
		},
		"a service that another depends on": {
			edit:    func(l *lab) { l.edit(metrics) },
			rebuild: map[string]string{"prometheus": "hint M " + metrics, "grafana": "dependency prometheus"},
		},
		"what all share": {
			edit: func(l *lab) { l.edit(imageMaker) },
			rebuild: map[string]string{
				"grafana":        "global M " + imageMaker + ", dependency prometheus",
				"home-assistant": "global M " + imageMaker,
				"prometheus":     "global M " + imageMaker,
			},
		},
		"an entry of the registry": {
			edit:    func(l *lab) { l.replace("registry.nix", `"services/grafana"`, `"services/grafana" "shared"`) },
			rebuild: map[string]string{"grafana": "registry M"},
		},
		"what it says for people": {
			edit: func(l *lab) { l.replace("registry.nix", "The screen in the hall.", "The screen by the door.") },
		},
		"a comment in the registry": {
			edit: func(l *lab) { l.edit("registry.nix") },
		},
		"a new file": {
			edit:    func(l *lab) { l.write(newScreen, "{}\n") },
			rebuild: map[string]string{"grafana": "hint ? " + newScreen},
		},
		"a new file that is staged": {
			edit:    func(l *lab) { l.write(newScreen, "{}\n"); l.git("add", newScreen) },
			rebuild: map[string]string{"grafana": "hint A " + newScreen},
		},
		"a deleted file": {
			edit:    func(l *lab) { l.remove(scenes) },
			rebuild: map[string]string{"home-assistant": "hint D " + scenes},
		},
		"a file that moved to another service": {
			edit: func(l *lab) { l.git("mv", scenes, "services/grafana/scenes.yaml") },
			rebuild: map[string]string{
				"home-assistant": "hint D " + scenes, "grafana": "hint A services/grafana/scenes.yaml",
			},
		},
		"the mode of a file": {
			edit:    func(l *lab) { require.NoError(l.t, os.Chmod(filepath.Join(l.dir, scenes), 0o755)) },
			rebuild: map[string]string{"home-assistant": "hint M " + scenes},
		},
		"an edit and its opposite": {
			edit: func(l *lab) { l.edit(scenes); l.git("add", scenes); l.git("checkout", "--quiet", "HEAD", scenes) },
		},
		"the last commit": {
			edit:    func(l *lab) { l.edit(scenes); l.commit(); l.edit(imageMaker) },
			ask:     []string{"--base", "HEAD~1", "--head", "HEAD"},
			rebuild: map[string]string{"home-assistant": "hint M " + scenes},
		},
		"a branch, whatever main did": {
			edit: func(l *lab) {
				l.git("switch", "--quiet", "--create", "film-night")
				l.edit(scenes)
				l.commit()
				l.git("switch", "--quiet", "main")
				l.edit(imageMaker)
				l.commit()
			},
			ask:     []string{"--base", "main", "--head", "film-night", "--merge-base"},
			rebuild: map[string]string{"home-assistant": "hint M " + scenes},
		},
		"a service that is asked for": {
			edit:    func(*lab) {},
			ask:     []string{"ha"},
			rebuild: map[string]string{"home-assistant": "explicit"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t).with("HOMELAB_SYSTEM=aarch64-linux")
			test.edit(l)
			p := l.plan(test.ask...)
			assert.True(t, p.Complete)
			got := map[string]string{}
			for _, service := range p.Services {
				assert.Equal(t, "aarch64-linux", service.Target.System)
				if service.Decision != plan.None {
					assert.Equal(t, plan.Rebuild, service.Decision)
					got[service.Name] = why(service)
				}
			}
			if test.rebuild == nil {
				test.rebuild = map[string]string{}
			}
			assert.Equal(t, test.rebuild, got)
		})
	}
}

// why has the reasons for a decision in a line.
func why(s plan.Service) string {
	reasons := make([]string, len(s.Reasons))
	for i, r := range s.Reasons {
		reasons[i] = strings.Join(strings.Fields(strings.Join([]string{string(r.Kind), string(r.Status), r.Path, strings.Join(r.Via, " ")}, " ")), " ")
	}
	return strings.Join(reasons, ", ")
}

// What was evaluated once is not evaluated again, neither by a second process
// nor for the base of an edit.
func TestSecondPlanDoesNotRunNix(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit(metrics)
	withoutNix := l.path(map[string]string{"nix": "echo 'error: nix was run' >&2; exit 1"})
	require.Contains(t, withoutNix.fails("plan").Message, "nix was run", "it is this nix that is run")

	first := l.json("plan")
	assert.Equal(t, string(first), string(withoutNix.json("plan")))

	l.edit(scenes)
	require.Contains(t, withoutNix.fails("plan").Message, "nix was run", "another edit is another evaluation")
}

// The same registry decides the same, whichever way it is written.
func TestJSONRegistryDecidesAsTheFlakeDoes(t *testing.T) {
	t.Parallel()
	flake, file := newLab(t), newLab(t)
	registry := flake.run("nix", "--extra-experimental-features", "nix-command flakes", "eval", "--json", ".#homelab")
	require.Zero(t, registry.Exit, "%s", registry.Stderr)
	file.write("homelab.json", string(registry.Stdout))
	file.remove("flake.nix")
	file.commit()

	for _, path := range []string{"README.md", scenes, metrics, imageMaker} {
		flake.edit(path)
		file.edit(path)
		fromFlake, fromFile := flake.plan(), file.plan()
		assert.Equal(t, fromFlake.Services, fromFile.Services, "after an edit of %s", path)
		assert.Equal(t, fromFlake.Counts, fromFile.Counts)
		assert.Equal(t, fromFlake.Changes, fromFile.Changes)
	}
}
