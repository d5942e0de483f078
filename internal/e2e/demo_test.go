package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What `make demo` shows is what it says it shows.
func TestDemo(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs(filepath.Join(root, "examples/demo.sh"))
	require.NoError(t, err)
	temp := t.TempDir()
	shown := newLab(t).with("TMPDIR="+temp).run(script, bin)
	require.Zero(t, shown.Exit, "%s%s", shown.Stdout, shown.Stderr)
	assert.Empty(t, string(shown.Stderr))
	assert.NotContains(t, string(shown.Stdout), "\x1b", "no colours where there is no terminal")

	left, err := filepath.Glob(filepath.Join(temp, "*"))
	require.NoError(t, err)
	assert.Empty(t, left, "the copy stays behind")
}
