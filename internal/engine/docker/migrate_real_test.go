package docker_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// hasty is an engine where something happens before a container is stopped.
type hasty struct {
	deploy.Containers
	do func()
}

func (h *hasty) Stop(ctx context.Context, id string, grace time.Duration) error {
	if do := h.do; do != nil {
		h.do = nil
		do()
	}
	return h.Containers.Stop(ctx, id, grace)
}

// A disk of the other engine that is full, before the service is stopped or then, leaves
// it where it was, and all that was there; with room it moves.
func TestRealMigrateToAFullDisk(t *testing.T) {
	l, there, folders := newLab(t), newLab(t), sidecars(t)
	e, other := open(t, "unix://"+l.socket), open(t, "unix://"+there.socket)
	load(t, e, deploytest.Behaviour{})
	load(t, other, deploytest.Behaviour{})
	h := newHome(t, l, e, nil)
	defer h.leave()
	disk := there.volume(t, "web-data", nil)
	there.onHost(t, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
	there.onHost(t, "sh", "-c", "echo 'of long ago' >"+disk+"/stale")
	onDisk := func() string {
		t.Helper()
		return there.printed(t, "sh", "-c", "cd "+disk+"; find . -type f | sort")
	}
	c, err := e.Container(t.Context(), h.container)
	require.NoError(t, err)
	spec := deploy.Spec{
		Service: "web", Container: "web", Image: "real/app:v1", StopGrace: time.Second, Restart: "unless-stopped",
		Mounts: []deploy.Mount{{Volume: "web-data", Target: "/data"}},
	}
	from := &hasty{Containers: e}
	work := t.TempDir()
	m := state.Migrator{
		From: state.End{Host: "nas", Engine: from, Site: e.Site(folders)},
		To:   state.End{Host: "pi", Engine: other, Place: other.Afar(folders, work)}, Dir: t.TempDir(),
	}
	x := state.Migrating{
		Service: "web", Container: c, Items: []registry.StateItem{{Volume: "web-data"}}, Budget: time.Minute,
		Target: deploy.Target{Spec: spec, Gate: deploy.Gate{Kind: "exec", Command: []string{"/bin/sh", "-c", "grep -q old /data/page"}, Interval: 100 * time.Millisecond, Timeout: 5 * time.Second}},
	}
	large := filepath.Join(h.data, "large")
	grow := func() { require.NoError(t, os.WriteFile(large, bytes.Repeat([]byte("large"), 1<<19), 0o600)) }
	fails := func() {
		t.Helper()
		_, err := m.Migrate(t.Context(), x)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "no space")
		assert.ErrorContains(t, err, "web runs on nas as before")
		assert.True(t, h.runs())
		assert.Equal(t, "./stale\n", onDisk())
		made, err := other.List(t.Context())
		require.NoError(t, err)
		assert.Empty(t, made)
		there.nothingLeft(t)
	}

	grow()
	fails()
	now, err := e.Container(t.Context(), h.container)
	require.NoError(t, err)
	assert.Equal(t, c.Started, now.Started, "it was never stopped")

	require.NoError(t, os.Remove(large))
	from.do = grow
	fails()
	assert.Nil(t, from.do)

	there.onHost(t, "mount", "-o", "remount,size=16m", disk)
	x.Container, err = e.Container(t.Context(), h.container)
	require.NoError(t, err)
	done, err := m.Migrate(t.Context(), x)
	require.NoError(t, err)
	require.NoError(t, done.Unfinished)
	assert.False(t, h.runs())
	moved, err := other.Container(t.Context(), "web")
	require.NoError(t, err)
	assert.Equal(t, []any{deploy.Running, "unless-stopped"}, []any{moved.State, moved.Spec.Restart})
	assert.Equal(t, "./.homelab-"+done.ID+".0/about.json\n./.homelab-"+done.ID+".0/old/stale\n./.homelab-"+done.ID+".0/step-swapped\n./large\n./only-old\n./page\n", onDisk())
	require.NoError(t, other.Stop(t.Context(), moved.ID, 0))
	require.NoError(t, other.Remove(t.Context(), moved.ID))
	there.onHost(t, "umount", "-l", disk)
}
