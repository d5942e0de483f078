package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// watched is an engine where somebody looks when a container stands still, and when it
// goes on.
type watched struct {
	deploy.Containers
	paused, unpaused func()
}

func (w watched) Pause(ctx context.Context, id string) error {
	err := w.Containers.Pause(ctx, id)
	w.paused()
	return err
}

func (w watched) Unpause(ctx context.Context, id string) error {
	err := w.Containers.Unpause(ctx, id)
	w.unpaused()
	return err
}

// A container whose volume is on a file system with clones goes on before what it wrote is
// read; what a sidecar reads is read while it stands still.
func TestRealSnapshots(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			disk, folders := treetest.Mount(t, kind, 512<<20), sidecars(t)
			path := filepath.Join(disk, "path")
			require.NoError(t, os.Mkdir(path, 0o755))
			e := open(t, "unix://"+dockertest.StartEngineWith(t, filepath.Join(disk, "docker"), "--storage-driver", "overlay2"))
			load(t, e, deploytest.Behaviour{})
			c := run(t, e, deploy.Spec{Mounts: []deploy.Mount{{Volume: "data", Target: "/data"}, {Source: path, Target: "/path"}}})
			log := filepath.Join(disk, "docker/volumes/data/_data/log")
			says(t, e, c, "sh", "-c", `(n=0; while :; do n=$((n+1)); echo $n >>/data/log; echo $n >/data/next; mv /data/next /data/last; done) >/dev/null 2>&1 &`)
			content := func() string {
				text, err := os.ReadFile(log)
				require.NoError(t, err)
				return string(text)
			}
			require.Eventually(t, func() bool {
				info, err := os.Stat(log)
				return err == nil && info.Size() > 1000
			}, time.Minute, time.Millisecond)

			var still string
			looked := watched{e, func() { still = content() }, func() {
				require.Eventually(t, func() bool { return len(content()) > len(still)+1000 }, time.Minute, time.Millisecond)
			}}
			copies := t.TempDir()
			take := func(items ...registry.StateItem) *state.Capture {
				t.Helper()
				now, err := e.Container(t.Context(), c.ID)
				require.NoError(t, err)
				into, err := os.MkdirTemp(copies, "")
				require.NoError(t, err)
				root, err := os.OpenRoot(into)
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, root.Close()) })
				q := &quiesce.Quiescer{Engine: looked, Host: "nas", Journal: quiesce.Journal{Dir: t.TempDir()}}
				taken, err := state.Take(t.Context(), q, e.Site(folders), state.Capturing{
					Service: "app", Container: now, Items: items, Method: quiesce.Method{Kind: quiesce.Snapshot}, Budget: time.Minute, Copies: root,
				})
				require.NoError(t, err)
				copied, err := os.ReadFile(filepath.Join(into, "0/log"))
				require.NoError(t, err)
				assert.Equal(t, still, string(copied), "as it was when it stood still")
				last, err := os.ReadFile(filepath.Join(into, "0/last"))
				require.NoError(t, err)
				lines := strings.Split(strings.TrimSpace(still), "\n")
				before := max(len(lines)-2, 0)
				assert.Contains(t, lines[before:], strings.TrimSpace(string(last)), "of the same moment")
				return taken
			}
			taken := take(registry.StateItem{Volume: "data"})
			assert.Equal(t, []any{quiesce.Snapshot, ""}, []any{taken.Level, taken.Uncloned})
			taken = take(registry.StateItem{Volume: "data"}, registry.StateItem{Path: path})
			assert.Equal(t, []any{quiesce.Pause, path + ": it is reached by a sidecar, or mounted to be read"}, []any{taken.Level, taken.Uncloned})
			left, err := os.ReadDir(filepath.Dir(log))
			require.NoError(t, err)
			for _, entry := range left {
				assert.NotContains(t, entry.Name(), ".homelab")
			}
		})
	}
}
