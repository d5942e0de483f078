package gitrepo

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/gitrepo/gittest"
)

// Where the offsets are in a pack index depends on how many objects it says it
// has. What lies beyond that number has no offset: least of all that of something
// else.
func TestPackIndexThatMiscounts(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	var commits []plumbing.Hash
	for range 10 {
		commits = append(commits, plumbing.NewHash(r.Commit("empty")))
	}
	r.Git("gc", "-q")
	indexes, err := filepath.Glob(r.Path(".git/objects/pack/*.idx"))
	require.NoError(t, err)
	require.Len(t, indexes, 1)
	raw, err := os.ReadFile(indexes[0])
	require.NoError(t, err)
	count := raw[packHeader+packFanout-4 : packHeader+packFanout]
	require.Equal(t, uint32(11), binary.BigEndian.Uint32(count), "the commits and their tree")
	binary.BigEndian.PutUint32(count, 0)
	miscounting := filepath.Join(t.TempDir(), "pack.idx")
	require.NoError(t, os.WriteFile(miscounting, raw, 0o600))
	for _, commit := range commits {
		_, found := packOffset(indexes[0], commit)
		require.True(t, found)
		_, found = packOffset(miscounting, commit)
		assert.False(t, found, commit)
	}
}
