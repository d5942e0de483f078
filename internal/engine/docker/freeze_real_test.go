package docker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
)

// A freeze that outlives its timeout goes on in the container: it is thawed after it.
func TestFreezeThatGoesOn(t *testing.T) {
	e := open(t, "unix://"+dockertest.StartEngine(t))
	load(t, e, deploytest.Behaviour{})
	c := run(t, e, deploy.Spec{})
	q := &quiesce.Quiescer{Engine: e, Host: "nas", Journal: quiesce.Journal{Dir: t.TempDir()}}
	m := quiesce.Method{
		Kind: quiesce.Exec, Freeze: []string{"sh", "-c", "sleep 3; touch /dev/shm/frozen /dev/shm/over"}, Thaw: []string{"sh", "-c", "rm -f /dev/shm/frozen"}, Timeout: 2 * time.Second,
	}
	_, err := q.Begin(t.Context(), "app", &c, m, time.Minute)
	assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
	is := func(name string) bool {
		return says(t, e, c, "sh", "-c", "test -e /dev/shm/"+name+" && echo yes || echo no") == "yes\n"
	}
	require.Eventually(t, func() bool { return is("over") }, 20*time.Second, 100*time.Millisecond)
	assert.False(t, is("frozen"))
	left, failed := q.Journal.Entries()
	assert.Empty(t, failed)
	require.Empty(t, left)
}
