package nix_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// When homelab is killed without warning, what it builds ends, too.
func TestRealBuildDiesWithParent(t *testing.T) {
	lab := broken(t)
	target := lab.targets(t, "endless")["endless"]
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "realise")))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))

	parent, err := command.Start(t.Context(), command.Cmd{Name: "realise", Args: []string{target.Drv}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, parent.Close()) })
	_, err = parent.Read(make([]byte, 1)) // the builder has begun
	require.NoError(t, err)
	require.NotEmpty(t, processes(t, lab.salt))

	require.NoError(t, syscall.Kill(parent.PID, syscall.SIGKILL))
	gone := func() bool { return len(processes(t, lab.salt)) == 0 }
	if !assert.Eventually(t, gone, 10*time.Second, 5*time.Millisecond) {
		for _, pid := range processes(t, lab.salt) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // do not leave it to the machine
		}
	}
}
