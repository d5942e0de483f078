package plan

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// eightBytes has files of eight bytes each.
type eightBytes struct{ Snapshot }

func (eightBytes) ReadFile(_ context.Context, path string, most int64) ([]byte, error) {
	if most < 8 {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return []byte("12345678"), nil
}

// However much there is, no more than the bound is read.
func TestContentsAreBounded(t *testing.T) {
	t.Parallel()
	entries := []Entry{{Path: "a", Kind: Regular}, {Path: "b", Kind: Regular}}
	c := contents{at: state{snapshot: eightBytes{}}, entries: entries, left: 16}
	assert.Len(t, c.hashes(t.Context(), ""), 1)
	assert.Zero(t, c.left)
	assert.Empty(t, c.hashes(t.Context(), "a"))
	c.left = 15
	assert.Empty(t, c.hashes(t.Context(), ""))
}
