package bundle_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/tree/treetest"
)

// What is written and extracted is what was there, for any tree.
func TestRandomTreesComeBack(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 7))
		tree, into := t.TempDir(), t.TempDir()
		treetest.Grow(t, random, tree, 3)
		data, written := write(t, order(t, tree))
		extracted, err := extract(t, data, into, bundle.Extraction{Privileged: true}, bundle.Trust{})
		require.NoError(t, err)
		require.Equal(t, written.Manifest.Totals(), extracted.Totals)
		require.Equal(t, treetest.Read(t, tree), treetest.Read(t, filepath.Join(into, "0")), "seed %d", seed)
	}
}
