package build_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/build"
)

// The last three artifacts of a service are kept; those of what is no service
// any more for a while.
func TestRoots(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a", "b")
	l.want(build.Request{})
	for version := 1; version < 5; version++ {
		l.nix.version = version
		l.r.Write("a/file", fmt.Sprint(version))
		l.want(build.Request{Services: []string{"a"}})
	}
	l.nix.version = 2
	l.r.Write("a/file", "2")
	assert.Equal(t, []string{"a cached"}, brief(l.want(build.Request{Services: []string{"a"}})), "an older one once more")
	l.nix.version = 5
	l.r.Write("a/file", "5")
	l.write("a")
	l.want(build.Request{Services: []string{"a"}})
	assert.Equal(t, []string{"a/a-v2", "a/a-v4", "a/a-v5", "b/b-v0"}, l.roots())

	old := time.Now().Add(-31 * 24 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(l.builder.Roots, "b"), old, old))
	require.NoError(t, os.Chtimes(filepath.Join(l.builder.Roots, "a"), old, old))
	l.want(build.Request{Services: []string{"a"}})
	assert.Equal(t, []string{"a/a-v2", "a/a-v4", "a/a-v5"}, l.roots())
}

// roots are the links, as SERVICE/NAME.
func (l *lab) roots() []string {
	kept, err := filepath.Glob(filepath.Join(l.builder.Roots, "*", "*"))
	require.NoError(l.t, err)
	for i := range kept {
		kept[i], err = filepath.Rel(l.builder.Roots, kept[i])
		require.NoError(l.t, err)
	}
	return kept
}

// What is no image takes no place of one that is.
func TestRootsOfWhatIsNoImage(t *testing.T) {
	t.Parallel()
	l := newLab(t, "odd")
	for version := range 4 {
		l.nix.version = version
		l.r.Write("odd/file", fmt.Sprint(version))
		report := l.want(build.Request{})
		assert.Equal(t, []string{"odd failed"}, brief(report))
		assert.Empty(t, report.Services[0].Root)
	}
	assert.Empty(t, l.roots())
}

func TestNoPlaceForRoots(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a")
	require.NoError(t, os.WriteFile(l.builder.Roots, nil, 0o600))
	assert.Equal(t, []string{"a failed"}, brief(l.want(build.Request{})))
	assert.Empty(t, l.nix.built)
}
