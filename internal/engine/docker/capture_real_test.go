package docker_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// A container that writes all the while, into a log and through a map, is captured as it
// was at one moment, by every way to its volume, and goes on.
func TestCaptureOfWhatWrites(t *testing.T) {
	l, folders, program := newLab(t), sidecars(t), t.TempDir()
	built, err := command.Run(t.Context(), command.Cmd{
		Name: "go", Args: []string{"build", "-buildvcs=false", "-o", program + "/", "./testdata/writer"}, Env: []string{"CGO_ENABLED=0"},
	})
	require.NoError(t, err)
	require.Zero(t, built.Exit, "%s", built.Stderr)
	e := open(t, "unix://"+l.socket)
	require.NoError(t, e.Load(t.Context(), bytes.NewReader(deploytest.BusyboxArchive(t, "real/writer:v1", "exec /program/writer /data"))))
	data := l.volume(t, "records", nil)
	id, err := e.Create(t.Context(), "web", deploy.Spec{
		Service: "web", Image: "real/writer:v1", StopGrace: 5 * time.Second,
		Mounts: []deploy.Mount{{Volume: "records", Target: "/data"}, {Source: program, Target: "/program", ReadOnly: true}},
	}, map[string]string{deploy.LabelService: "web"})
	require.NoError(t, err)
	defer func() {
		assert.NoError(t, e.Stop(t.Context(), id, 0))
		assert.NoError(t, e.Remove(t.Context(), id))
	}()
	require.NoError(t, e.Start(t.Context(), id))
	size := func() int64 {
		info, err := os.Stat(filepath.Join(data, "log"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	goesOn := func() {
		t.Helper()
		before := size()
		require.Eventually(t, func() bool { return size() > before }, 20*time.Second, 5*time.Millisecond)
	}
	var last uint64
	for name, site := range map[string]state.Site{"near": e.Site(folders), "by a sidecar": e.Aside(folders)} {
		for _, kind := range []quiesce.Kind{quiesce.Stop, quiesce.Pause} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				goesOn()
				last = captured(t, e, id, site, kind, last)
				goesOn()
			})
		}
	}
}

// captured captures the volume of records, and tells the last one that is in it.
func captured(t *testing.T, e *docker.Engine, id string, site state.Site, kind quiesce.Kind, before uint64) uint64 {
	t.Helper()
	folder := t.TempDir()
	copies, err := os.OpenRoot(folder)
	require.NoError(t, err)
	defer copies.Close()
	c, err := e.Container(t.Context(), id)
	require.NoError(t, err)
	q := &quiesce.Quiescer{Engine: e, Host: "nas", Journal: quiesce.Journal{Dir: t.TempDir()}}
	taken, err := state.Take(t.Context(), q, site, state.Capturing{
		Service: "web", Container: c, Items: []registry.StateItem{{Volume: "records"}}, Method: quiesce.Method{Kind: kind, Timeout: 20 * time.Second}, Budget: time.Minute, Copies: copies,
	})
	require.NoError(t, err)
	assert.Equal(t, kind, taken.Level)
	assert.Positive(t, taken.Outage)
	last := treetest.Written(t, filepath.Join(folder, "0"))
	assert.Greater(t, last, before)
	return last
}
