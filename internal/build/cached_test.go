package build_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
)

// A derivation that was remembered may have been collected as garbage.
func TestCollectedDerivation(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b", "c")
	l.want(build.Request{DryRun: true})
	l.nix.collected = map[string]bool{"a.drv": true, "b.drv": true}
	l.nix.evaluations = 0
	assert.Equal(t, []string{"a built", "b built", "c built"}, brief(l.want(build.Request{})))
	assert.Equal(t, []string{"a", "b", "c", "a", "b"}, l.nix.evaluated)
	assert.Equal(t, 1, l.nix.evaluations, "all that are gone at once")
}

// What is collected as garbage while it is looked at is built; a root that
// cannot be made is a failure of its service alone.
func TestCachedThatIsGone(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b", "c")
	l.want(build.Request{})
	require.NoError(t, os.RemoveAll(l.builder.Roots))
	l.nix.vanishing = "a-v0"
	require.NoError(t, os.MkdirAll(l.builder.Roots, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(l.builder.Roots, "b"), nil, 0o600))
	assert.Equal(t, []string{"a built", "b failed", "c cached"}, brief(l.want(build.Request{})))
}

// A store path may be built anew with other bytes, and a link may lead out of
// the store: the answer tells what is there.
func TestEvidenceIsOfWhatIsThere(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	l.want(build.Request{})
	require.NoError(t, os.WriteFile(l.nix.out("a"), []byte("#!/bin/sh\nother\n"), 0o755))
	l.nix.hash = "other"
	assert.EqualValues(t, 16, l.want(build.Request{}).Services[0].Artifact.Size)

	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.Remove(l.nix.out("a")))
	require.NoError(t, os.Symlink(outside, l.nix.out("a")))
	l.nix.hash = "link"
	report := l.want(build.Request{})
	assert.Equal(t, []string{"a failed"}, brief(report))
	assert.Contains(t, report.Services[0].Problem.Message, "leads out of the Nix store")
}
