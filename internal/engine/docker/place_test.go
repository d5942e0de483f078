package docker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/volume"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/command"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/state"
	"homelab/internal/state/statetest"
)

// host is one that a place of the engine is tested on.
func (l lab) host(place state.Place) statetest.Host {
	return statetest.Host{
		Place: place,
		Volume: func(t *testing.T) string {
			name := "v" + strings.ToLower(state.NewID(time.Now()))
			l.volume(t, name, nil)
			return name
		},
		Files: func(t *testing.T, name string) string {
			v, err := l.api.VolumeInspect(t.Context(), name)
			require.NoError(t, err)
			return v.Mountpoint
		},
		Has: func(t *testing.T) (names []string) {
			all, err := l.api.VolumeList(t.Context(), volume.ListOptions{})
			require.NoError(t, err)
			for _, v := range all.Volumes {
				names = append(names, v.Name)
			}
			return names
		},
		Folder: func(t *testing.T) string { return t.TempDir() },
	}
}

// A place is the same in this process and by sidecars.
func TestPlace(t *testing.T) {
	l, folders := newLab(t), sidecars(t)
	e := open(t, "unix://"+l.socket)
	t.Run("in this process", func(t *testing.T) {
		place, err := e.OnHost(t.Context(), t.TempDir())
		require.NoError(t, err)
		host := l.host(place)
		host.Mount = func(t *testing.T, at string) {
			require.NoError(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k"))
			t.Cleanup(func() { assert.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
		}
		statetest.Places(t, host)
		l.nothingLeft(t)
	})
	t.Run("by sidecars", func(t *testing.T) {
		host := l.host(e.Afar(folders, t.TempDir()))
		host.Mount = func(t *testing.T, at string) {
			l.onHost(t, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", at)
			t.Cleanup(func() { l.onHost(t, "umount", "-l", at) })
		}
		statetest.Places(t, host)
		l.nothingLeft(t)
	})
}

// onHost runs a command with the mounts of the engine.
func (l lab) onHost(t *testing.T, words ...string) {
	t.Helper()
	l.printed(t, words...)
}

// printed is what such a command prints.
func (l lab) printed(t *testing.T, words ...string) string {
	t.Helper()
	words = append(dockertest.OnHost(t, l.socket), words...)
	result, err := command.Run(context.Background(), command.Cmd{Name: words[0], Args: words[1:]})
	require.NoError(t, err)
	require.Zero(t, result.Exit, "%s", result.Stderr)
	return string(result.Stdout)
}
