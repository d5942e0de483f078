package nix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestRealStore(t *testing.T) {
	lab := broken(t)
	targets := lab.targets(t, "good", "image")
	good := targets["good"]
	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: good.Drv})
	require.NoError(t, err)

	paths := []string{targets["image"].Out, good.Out}
	for i := range 10000 {
		paths = append(paths, fmt.Sprintf("/nix/store/%032d-no-such-path-with-a-long-name-%d", i, i))
	}
	paths = append(paths, good.Out, good.Drv)
	invalid, err := nix.Nix{}.Valid(t.Context(), paths)
	require.NoError(t, err)
	assert.Equal(t, append(paths[:1:1], paths[2:10002]...), invalid)

	none, err := nix.Nix{}.Valid(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, []string{}, none)

	infos, err := nix.Nix{}.Hashes(t.Context(), []string{good.Out, good.Drv, good.Out})
	require.NoError(t, err)
	assert.Len(t, infos, 2)
	for path, info := range infos {
		assert.Equal(t, narHash(t, path), info.NarHash)
		nar, err := command.Run(t.Context(), command.Cmd{Name: "nix-store", Args: []string{"--dump", path}})
		require.NoError(t, err)
		assert.EqualValues(t, len(nar.Stdout), info.NarSize)
	}

	_, err = nix.Nix{}.Hashes(t.Context(), []string{good.Out, targets["image"].Out})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "ha.tar.gz")
}

// narHash is the hash of a path, as the nix command tells it.
func narHash(t *testing.T, path string) string {
	t.Helper()
	result, err := command.Run(t.Context(), command.Cmd{Name: "nix", Args: []string{
		"--extra-experimental-features", "nix-command", "hash", "path", path}})
	require.NoError(t, err)
	return strings.TrimSpace(string(result.Stdout))
}

func TestRealRoots(t *testing.T) {
	lab := broken(t)
	targets := lab.targets(t, "good", "image")
	good := targets["good"]
	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: good.Drv})
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "new", "folder", "good")
	for range 2 {
		require.NoError(t, nix.Nix{}.AddRoot(t.Context(), good.Out, link))
		assertRoots(t, good.Out, link)
	}
	require.NoError(t, nix.Nix{}.AddRoot(t.Context(), good.Drv, link+".drv"))

	err = nix.Nix{}.AddRoot(t.Context(), targets["image"].Out, link)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	at, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, good.Out, at, "the older link is lost")

	require.NoError(t, os.Remove(link))
	require.NoError(t, os.WriteFile(link, nil, 0o600))
	assert.Equal(t, fault.Conflict, fault.CodeOf(nix.Nix{}.AddRoot(t.Context(), good.Out, link)))
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(nix.Nix{}.AddRoot(t.Context(), good.Out, "good")))
}

func TestHashesAreNone(t *testing.T) {
	fakeNix(t)
	for _, said := range []string{"md5:abc", "sha256:abc", "sha256:" + strings.Repeat("e", 52), "sha256:" + strings.Repeat("z", 52), "a b"} {
		t.Setenv("FAKE_NIX_STDOUT", said)
		_, err := nix.Nix{}.Hashes(t.Context(), []string{"/nix/store/x"})
		assert.Equal(t, fault.Internal, fault.CodeOf(err), said)
	}
}
