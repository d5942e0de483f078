package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

func TestRegistryThatCannotBeRead(t *testing.T) {
	const untracked = "git add"
	tests := map[string]struct {
		edit     func(l *lab)
		code     string
		exit     int
		messages []string
		hint     string
	}{
		"syntax": {
			edit: func(l *lab) { l.replace("registry.nix", "version = 1;", "version = ;") },
			code: "eval_failed", exit: 10, messages: []string{"syntax error, unexpected ';'", "registry.nix:8:13"},
		},
		"throw": {
			edit: func(l *lab) {
				l.replace("flake.nix", "import ./registry.nix", `throw "the cellar is under water"`)
			},
			code: "eval_failed", exit: 10, messages: []string{"the cellar is under water"},
		},
		"unknown variable": {
			edit: func(l *lab) { l.replace("registry.nix", "version = 1;", "version = one;") },
			code: "eval_failed", exit: 10, messages: []string{"undefined variable 'one'", "registry.nix:8:13"},
		},
		"file that git does not track": {
			edit: func(l *lab) {
				l.replace("flake.nix", "./registry.nix", "./services.nix")
				l.write("services.nix", "{ }")
			},
			code: "eval_failed", exit: 10, messages: []string{"services.nix"}, hint: untracked,
		},
		"not a registry": {
			edit: func(l *lab) { l.replace("registry.nix", "version = 1;", `version = "1"; colour = "red";`) },
			code: "invalid_argument", exit: 2, messages: []string{"flake .#homelab", "$.version", "$.colour"},
		},
		"nowhere": {
			edit: func(l *lab) { l.replace("flake.nix", "homelab = import", "homelap = import") },
			code: "not_found", exit: 3,
			messages: []string{"the flake's homelab (flake.nix does not have it)", "homelab.json (not there)"},
			hint:     "export the attrset `homelab` from flake.nix",
		},
		"nowhere, and no flake": {
			edit: func(l *lab) { l.remove("flake.nix") },
			code: "not_found", exit: 3,
			messages: []string{"the flake's homelab (there is no flake.nix)", "homelab.json (not there)"},
			hint:     "write homelab.json at the root",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			test.edit(l)
			f := l.fails("plan")
			assert.Equal(t, test.code, f.Code)
			assert.Equal(t, test.exit, f.Exit)
			for _, message := range test.messages {
				assert.Contains(t, f.Message, message)
			}
			assert.NotEmpty(t, f.Hint)
			assert.Contains(t, f.Hint, test.hint)
			assert.Equal(t, f, l.fails("plan"), "told differently the second time")

			said := l.homelab("plan")
			assert.Empty(t, string(said.Stdout))
			assert.Regexp(t, `^homelab: .*\n(.*\n)*hint: .*\n$`, string(said.Stderr))
		})
	}
}

func TestWithoutNix(t *testing.T) {
	t.Parallel()
	// git must be there; it is all that is there.
	folder := t.TempDir()
	require.NoError(t, os.Symlink(command.Look("git"), filepath.Join(folder, "git")))
	l := newLab(t).with("PATH=" + folder)

	f := l.fails("plan")
	assert.Equal(t, "not_found", f.Code)
	assert.Contains(t, f.Message, "the flake's homelab (nix is not installed) and for homelab.json (not there)")

	f = l.fails("plan", "--registry", "flake:.#homelab")
	assert.Equal(t, failure{
		Code: "precondition", Exit: 5, Hint: f.Hint,
		Message: "nix eval: nix is not installed (not found on PATH)",
	}, f)
	assert.Contains(t, f.Hint, "apt-get install nix-bin")

	l.write("homelab.json", `{"version": 1, "services": {"lamp": {"build": {"targets": {"x86_64-linux": "packages.x86_64-linux.lamp"}}, "hints": ["lamp"]}}}`)
	p := l.plan()
	require.Len(t, p.Services, 1)
	assert.Equal(t, "lamp", p.Services[0].Name)
	require.NotEmpty(t, p.Warnings)
	assert.Equal(t, "registryFallback", p.Warnings[0].Code)
}
