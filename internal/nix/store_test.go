package nix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

// builtAndNot are a target that is in the store and one that is not.
func builtAndNot(t *testing.T) (good, image nix.Target) {
	t.Helper()
	targets := broken(t).targets(t, "good", "image")
	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: targets["good"].Drv})
	require.NoError(t, err)
	return targets["good"], targets["image"]
}

func TestRealStore(t *testing.T) {
	good, image := builtAndNot(t)

	paths := []string{image.Out, good.Out}
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
		assert.EqualValues(t, len(run(t, "nix-store", "--dump", path)), info.NarSize)
	}

	_, err = nix.Nix{}.Hashes(t.Context(), []string{good.Out, image.Out})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "ha.tar.gz")
}

// narHash is the hash of a path, as the nix command tells it.
func narHash(t *testing.T, path string) string {
	t.Helper()
	return strings.TrimSpace(string(run(t, "nix", "--extra-experimental-features", "nix-command", "hash", "path", path)))
}

func TestRealRoots(t *testing.T) {
	good, image := builtAndNot(t)
	link := filepath.Join(t.TempDir(), "new", "folder", "good")
	for range 2 {
		require.NoError(t, nix.Nix{}.AddRoot(t.Context(), good.Out, link))
		assertRoots(t, good.Out, link)
	}
	require.NoError(t, nix.Nix{}.AddRoot(t.Context(), good.Drv, link+".drv"))

	err := nix.Nix{}.AddRoot(t.Context(), image.Out, link)
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
