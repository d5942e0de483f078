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

// On one engine a service goes from a volume to a path and from a path to a volume, though
// it publishes a port: by this process, and by sidecars.
func TestRealMigrateWithinAHost(t *testing.T) {
	l, folders := newLab(t), sidecars(t)
	e := open(t, "unix://"+l.socket)
	load(t, e, deploytest.Behaviour{})
	for name, far := range map[string]bool{"near": false, "far": true} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, l, e, nil)
			work := t.TempDir()
			end := state.End{Host: "nas", Engine: e, Site: e.Site(folders), Place: e.Afar(folders, work)}
			if !far {
				var err error
				end.Place, err = e.Place(folders, work)
				require.NoError(t, err)
			}
			spec := deploy.Spec{
				Service: "web", Container: "web", Image: "real/app:v1", StopGrace: time.Second, Restart: "unless-stopped",
				Ports:  []deploy.Port{{Address: "127.0.0.1", Host: 18473, Container: 80, Protocol: "tcp"}},
				Mounts: []deploy.Mount{{Volume: "web-data", Target: "/data"}, {Source: h.dir + "/more", Target: "/more"}},
			}
			require.NoError(t, os.Mkdir(h.dir+"/more", 0o755))
			require.NoError(t, os.WriteFile(h.dir+"/more/page", []byte("more"), 0o644))
			h.leaveContainer()
			id, err := e.Create(t.Context(), "web", spec, map[string]string{deploy.LabelService: "web", deploy.LabelGeneration: "6"})
			require.NoError(t, err)
			require.NoError(t, e.Start(t.Context(), id))
			c, err := e.Container(t.Context(), id)
			require.NoError(t, err)
			gate := deploy.Gate{Kind: "exec", Command: []string{"/bin/sh", "-c", "grep -q old /data/page && grep -q more /more/page"}, Interval: 100 * time.Millisecond, Timeout: 5 * time.Second}
			spec.Mounts = []deploy.Mount{{Source: h.dir + "/moved", Target: "/data"}, {Volume: "web-more", Target: "/more"}}
			items := []registry.StateItem{{Path: h.dir + "/moved"}, {Volume: "web-more"}}
			x := state.Migrating{Service: "web", Container: c, Budget: time.Minute, Target: deploy.Target{Spec: spec, Gate: gate}}
			for _, d := range deploy.DisplacedItems(items, c.Spec.Mounts, spec.Mounts) {
				require.NoError(t, d.Why)
				x.Items, x.Sources = append(x.Items, d.Item), append(x.Sources, d.From)
			}
			require.Len(t, x.Items, 2)
			m := state.Migrator{From: end, To: end, Dir: t.TempDir()}

			x.Target.Gate.Command = []string{"/bin/false"}
			x.Target.Gate.Timeout = time.Second
			_, err = m.Migrate(t.Context(), x)
			require.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%v", err)
			now, err := e.Container(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, []any{deploy.Running, "web", "unless-stopped"}, []any{now.State, now.Name, now.Spec.Restart})
			assert.NoDirExists(t, h.dir+"/moved")

			x.Container, x.Target.Gate = now, gate
			done, err := m.Migrate(t.Context(), x)
			require.NoError(t, err)
			require.NoError(t, done.Unfinished)
			all, err := e.List(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 2)
			assert.Equal(t, []any{"web", deploy.Running, "web.g6", deploy.Exited, "no"}, []any{all[0].Name, all[0].State, all[1].Name, all[1].State, all[1].Spec.Restart})
			assert.Equal(t, "old", readFile(t, h.data+"/page"), "what was there stays there")
			assert.Equal(t, "old", readFile(t, h.dir+"/moved/page"))
			for _, c := range all {
				require.NoError(t, e.Stop(t.Context(), c.ID, 0))
				require.NoError(t, e.Remove(t.Context(), c.ID))
			}
			for _, volume := range []string{"web-data", "web-more"} {
				assert.NoError(t, l.api.VolumeRemove(t.Context(), volume, true))
			}
			l.nothingLeft(t)
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}
