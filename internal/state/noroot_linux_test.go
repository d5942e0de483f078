package state_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
)

// Who is not root captures what is his own. What is of others would lose its owners:
// nothing of it is captured, and the service is not put to rest.
func TestTakeWithoutRoot(t *testing.T) {
	const nobody, variable = 65534, "STATE_TEST_VOLUMES"
	if dir := os.Getenv(variable); dir != "" {
		f := newFlat(t)
		for volume, code := range map[string]fault.Code{"mine": "", "others": fault.Precondition} {
			f.site.dir = filepath.Join(dir, volume)
			stopped := f.is().Started
			_, found, err := f.take(quiesce.Method{Kind: quiesce.Stop}, time.Minute, nil)
			assert.Equal(t, code, fault.CodeOf(err), "%s: %v", volume, err)
			assert.Equal(t, deploy.Running, f.is().State)
			if err != nil {
				assert.ErrorContains(t, err, "would lose their owners")
				assert.Equal(t, stopped, f.is().Started, "it was never stopped")
			} else {
				assert.Equal(t, map[string]string{"0/file": "content"}, found)
			}
		}
		return
	}
	dir, err := os.MkdirTemp("/tmp", "homelab-test-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "program"), program, 0o755))
	for _, volume := range []string{"mine", "others", "temp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, volume, "data"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, volume, "data", "file"), []byte("content"), 0o644))
		for _, name := range []string{"", "data", "data/file"} {
			if volume != "others" {
				require.NoError(t, os.Chown(filepath.Join(dir, volume, name), nobody, nobody))
			}
		}
	}
	c := exec.Command(filepath.Join(dir, "program"), "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), variable+"="+dir, "TMPDIR="+filepath.Join(dir, "temp"))
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	said, err := c.CombinedOutput()
	require.NoError(t, err, "%s", said)
	assert.Contains(t, string(said), "PASS")
}
