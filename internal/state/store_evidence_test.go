package state_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/state"
)

func TestEvidence(t *testing.T) {
	evidence := state.Evidence{Dir: filepath.Join(t.TempDir(), "verified")}
	kept := state.Kept{ID: "20260314T120000Z-00000000", Service: "wiki", Size: 100}
	of := func(store string, kept state.Kept) bool {
		v, known, err := evidence.Of(store, kept)
		require.NoError(t, err)
		if known {
			assert.Equal(t, "digest", v.Index)
		}
		return known
	}
	assert.False(t, of("/nas", kept))
	require.NoError(t, evidence.Note(state.Verified{Store: "/nas", Service: "wiki", ID: kept.ID, Size: 100, Index: "digest", At: time.Unix(1, 0).UTC()}))
	assert.True(t, of("/nas", kept))
	assert.False(t, of("/other", kept), "the same bundle in another store")
	larger := kept
	larger.Size = 101
	assert.False(t, of("/nas", larger), "what is there now is another")
	require.NoError(t, evidence.Withdraw("/nas", "wiki", kept.ID))
	require.NoError(t, evidence.Withdraw("/nas", "wiki", kept.ID), "a second time")
	assert.False(t, of("/nas", kept))
}

// A record that cannot be read must not count as none.
func TestBrokenEvidence(t *testing.T) {
	evidence := state.Evidence{Dir: t.TempDir()}
	kept := state.Kept{ID: "20260314T120000Z-00000000", Service: "wiki"}
	require.NoError(t, evidence.Note(state.Verified{Store: "/nas", Service: "wiki", ID: kept.ID}))
	found, err := filepath.Glob(filepath.Join(evidence.Dir, "*", "wiki", "*.json"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, os.WriteFile(found[0], []byte("{"), 0o600))
	_, _, err = evidence.Of("/nas", kept)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
}
