package dockertest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// leavesNothing fails a test whose engine is over while something runs that it
// started: that names its folder, as the engine's processes do, or has something of it
// mounted, as containers do.
func leavesNothing(t testing.TB, dir string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, process := range processes {
		// One that ends meanwhile has neither.
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		mounts, _ := os.ReadFile(filepath.Join(process, "mountinfo"))
		assert.False(t, bytes.Contains(command, []byte(dir+"/exec")) || bytes.Contains(mounts, []byte(dir+"/")),
			"the engine left %s: %s", process, bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
	}
}
