package nix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/nix"
)

// When homelab is killed without warning, what it builds ends, too.
func TestRealBuildDiesWithParent(t *testing.T) {
	lab := broken(t)
	target := lab.target(t, "endless")
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

// An evaluation ends, too, though Nix hears no polite signal while it computes.
func TestRealEvaluationDiesWithParent(t *testing.T) {
	r := newRepo(t, t.TempDir())
	salt := fmt.Sprintf("%s-%d", filepath.Base(filepath.Dir(r.root)), os.Getpid())
	r.write("flake.nix", fmt.Sprintf(`{
  outputs = _: {
    homelab =
      let sum = builtins.foldl' (a: b: a + b) 0; in
      # What is in the store tells that it has begun.
      builtins.seq (builtins.toFile "begun-%s" "")
        (sum (builtins.genList (i: sum (builtins.genList (x: x) 3000)) 1000000));
  };
}`, salt))
	r.git("add", "-A")
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "evaluate")))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))

	parent, err := command.Start(t.Context(), command.Cmd{Name: "evaluate", Args: []string{nix.GitRef(r.root, "", "")}, Env: []string{"salt=" + salt}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, parent.Close()) })
	require.Eventually(t, func() bool {
		begun, err := filepath.Glob("/nix/store/*-begun-" + salt)
		return err == nil && len(begun) > 0
	}, 30*time.Second, 20*time.Millisecond)
	require.Len(t, processes(t, salt), 2, "the evaluation, and who asked for it")

	require.NoError(t, syscall.Kill(parent.PID, syscall.SIGKILL))
	gone := func() bool { return len(processes(t, salt)) == 0 }
	if !assert.Eventually(t, gone, 10*time.Second, 5*time.Millisecond) {
		for _, pid := range processes(t, salt) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // do not leave it to the machine
		}
	}
}
