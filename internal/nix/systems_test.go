package nix_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestRealSystems(t *testing.T) {
	lab := broken(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "machines")
	require.NoError(t, os.WriteFile(file, []byte("# home\nssh://mac aarch64-darwin,x86_64-darwin /key 4 2 kvm - \n\nssh://self # fast\n@"+file+"\n@/no/such/file\n"), 0o600))
	options, err := nix.ParseOptions([]string{"builders=ssh-ng://arm aarch64-linux ; @" + file, "extra-platforms=riscv64-linux"})
	require.NoError(t, err)
	systems, err := nix.Nix{Options: options}.Systems(t.Context())
	require.NoError(t, err)

	require.NotEmpty(t, systems.Builders)
	assert.Equal(t, nix.Systems{
		Native: lab.system, Extra: []string{"riscv64-linux"},
		Builders: systems.Builders,
	}, systems)
	assert.Equal(t, []nix.Builder{
		{"ssh-ng://arm", []string{"aarch64-linux"}},
		{"ssh://mac", []string{"aarch64-darwin", "x86_64-darwin"}},
		{"ssh://self", []string{lab.system}},
	}, systems.Builders[:3], "the file names itself, which must end")
	for system, builds := range map[string]bool{
		lab.system: true, "riscv64-linux": true, "aarch64-linux": true, "x86_64-darwin": true, "armv6l-linux": false, "": false,
	} {
		assert.Equal(t, builds, systems.Builds(system), system)
	}
	assert.Contains(t, systems.Advice("aarch64-linux", nil), "store ping --store ssh-ng://arm")
	assert.Contains(t, systems.Advice(lab.system, []string{"kvm", "big"}), "add kvm big to system-features")
	assert.Contains(t, systems.Advice("armv6l-linux", nil), "builders=ssh-ng://HOST armv6l-linux")

	none, err := nix.Nix{}.Systems(t.Context())
	require.NoError(t, err)
	assert.NotNil(t, none.Extra)
	assert.NotNil(t, none.Builders)
}

func TestSystemsOfABrokenNix(t *testing.T) {
	fakeNix(t)
	t.Setenv("FAKE_NIX_STDERR", "error: no\n")
	_, err := nix.Nix{}.Systems(t.Context())
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	t.Setenv("FAKE_NIX_STDERR", "")
	t.Setenv("FAKE_NIX_STDOUT", `{"system":{"value":7},"extra-platforms":{"value":[]},"builders":{"value":""}}`)
	_, err = nix.Nix{}.Systems(t.Context())
	assert.ErrorContains(t, err, "the Nix setting system")
	t.Setenv("FAKE_NIX_STDOUT", `{"system":{"value":"x"},"builders":{"value":""}}`)
	_, err = nix.Nix{}.Systems(t.Context())
	assert.ErrorContains(t, err, "the Nix setting extra-platforms")
}
