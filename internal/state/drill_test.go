package state_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// drillYard is an engine in memory whose volumes are folders.
type drillYard struct {
	*deploytest.Memory
	t    *testing.T
	dir  string
	copy deploy.Copy // that was made last
	safe []deploy.Mount
}

func newDrillYard(t *testing.T) *drillYard {
	t.Helper()
	y := &drillYard{Memory: &deploytest.Memory{}, t: t, dir: t.TempDir()}
	require.NoError(t, y.Load(t.Context(), bytes.NewReader(deploytest.BehaviourArchive(t, "web:v1", deploytest.Behaviour{Health: "healthy"}))))
	return y
}

func (y *drillYard) Copy(ctx context.Context, c deploy.Copy) (string, error) {
	y.copy = c
	return y.Memory.Copy(ctx, c)
}

func (y *drillYard) Fresh(ctx context.Context, drill, name string) (string, error) {
	if _, err := y.Memory.Fresh(ctx, drill, name); err != nil {
		return "", err
	}
	place := filepath.Join(y.dir, name)
	return place, os.Mkdir(place, 0o755)
}

func (y *drillYard) Read(context.Context, registry.StateItem) (io.ReadWriteCloser, error) {
	panic("a drill reads nothing of a host")
}

func (y *drillYard) Room(ctx context.Context, item registry.StateItem) (*swap.Found, error) {
	folder, err := swap.OpenFolder(filepath.Join(y.dir, item.Volume))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Look(ctx, 0)
}

func (y *drillYard) Fill(ctx context.Context, item registry.StateItem, privileged bool) (io.ReadWriteCloser, error) {
	root, err := os.OpenRoot(filepath.Join(y.dir, item.Volume))
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	sink, err := mirror.NewSink(there, mirror.Place{Root: root, Name: ".", Privileged: privileged})
	go func() {
		_ = sink.Serve(ctx)
		_ = root.Close()
	}()
	return here, err
}

// drill has a spec tried with items, by kind and name, of which each has a file called
// as its number; one whose name ends with .db is a file itself.
func (y *drillYard) drill(spec deploy.Spec, items ...bundle.Item) (*state.Drilled, error) {
	y.t.Helper()
	copies, err := os.OpenRoot(y.t.TempDir())
	require.NoError(y.t, err)
	y.t.Cleanup(func() { assert.NoError(y.t, copies.Close()) })
	for i, item := range items {
		name := strconv.Itoa(i)
		switch filepath.Ext(item.Name) {
		case ".db":
			require.NoError(y.t, copies.WriteFile(name, []byte(name), 0o600))
		case ".link":
			require.NoError(y.t, copies.Symlink("/etc", name))
		default:
			require.NoError(y.t, copies.Mkdir(name, 0o700))
			require.NoError(y.t, copies.WriteFile(name+"/"+name, []byte(name), 0o600))
		}
	}
	spec.Service, spec.Image = "web", "web:v1"
	if spec.MountRule.Roots == nil {
		spec.MountRule.Roots = []string{"/"}
	}
	d := &state.Driller{Engine: y, Site: y, Safe: func(_ context.Context, s deploy.Spec) error {
		y.safe = s.Mounts
		return nil
	}}
	return d.Drill(y.t.Context(), state.Drilling{ID: "d", Spec: spec, Items: items, Copies: copies, Gate: deploy.Gate{Kind: "docker", Interval: time.Millisecond, Timeout: time.Second}})
}

// has are the files in a volume of the drill.
func (y *drillYard) has(volume string) []string {
	y.t.Helper()
	found := []string{}
	require.NoError(y.t, filepath.WalkDir(filepath.Join(y.dir, volume), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			below, _ := filepath.Rel(filepath.Join(y.dir, volume), path)
			found = append(found, below)
		}
		return err
	}))
	return found
}

// Each mount has what the bundle has of it, at its place, in a volume of the drill.
func TestDrilledMounts(t *testing.T) {
	volume := func(name string) bundle.Item { return bundle.Item{Kind: "volume", Name: name} }
	path := func(name string) bundle.Item { return bundle.Item{Kind: "path", Name: name} }
	for name, row := range map[string]struct {
		mount    deploy.Mount
		items    []bundle.Item
		has      []string // in the volume; nil: there is none
		file     bool
		bare     bool
		reads    bool
		tried    []string
		warnings []string
	}{
		"a volume":     {mount: deploy.Mount{Volume: "data", Target: "/x"}, items: []bundle.Item{volume("data")}, has: []string{"0"}, bare: true, tried: []string{"data"}},
		"read-only":    {mount: deploy.Mount{Volume: "data", Target: "/x", ReadOnly: true}, items: []bundle.Item{volume("data")}, has: []string{"0"}, bare: true, tried: []string{"data"}},
		"a path":       {mount: deploy.Mount{Source: "/srv/a", Target: "/x"}, items: []bundle.Item{path("/srv/a")}, has: []string{"0"}, bare: true, tried: []string{"/srv/a"}},
		"one above":    {mount: deploy.Mount{Source: "/srv/a/b", Target: "/x"}, items: []bundle.Item{path("/srv/a"), path("/srv/a/b")}, has: []string{"1"}, bare: true, tried: []string{"/srv/a", "/srv/a/b"}},
		"one in it":    {mount: deploy.Mount{Source: "/srv/a", Target: "/x"}, items: []bundle.Item{path("/srv/a/b/c")}, has: []string{"b/c/0"}, bare: true, tried: []string{"/srv/a/b/c"}, warnings: []string{"of /srv/a the copy had only what the bundle has"}},
		"both":         {mount: deploy.Mount{Source: "/srv/a", Target: "/x"}, items: []bundle.Item{path("/srv/a/b"), path("/srv/a")}, has: []string{"1", "b/0"}, bare: true, tried: []string{"/srv/a", "/srv/a/b"}},
		"a file":       {mount: deploy.Mount{Source: "/srv/a.db", Target: "/x"}, items: []bundle.Item{path("/srv/a.db")}, has: []string{"file"}, file: true, bare: true, tried: []string{"/srv/a.db"}},
		"a file in it": {mount: deploy.Mount{Source: "/srv", Target: "/x"}, items: []bundle.Item{path("/srv/a.db")}, has: []string{"a.db"}, bare: true, tried: []string{"/srv/a.db"}, warnings: []string{"of /srv the copy had only what the bundle has"}},
		"none of it":   {mount: deploy.Mount{Volume: "cache", Target: "/x"}, has: []string{}, warnings: []string{"cache was empty in the copy: the bundle does not have it"}},
		"no path":      {mount: deploy.Mount{Source: "/srv/media", Target: "/x"}, has: []string{}, bare: true, warnings: []string{"/srv/media was empty in the copy: the bundle does not have it"}},
		"settings":     {mount: deploy.Mount{Source: "/srv/etc", Target: "/x", ReadOnly: true}, reads: true},
		"a socket":     {mount: deploy.Mount{Source: "/var/run/docker.sock", Target: "/x"}, warnings: []string{"the copy was not given /var/run/docker.sock of the host"}},
		"another":      {mount: deploy.Mount{Source: "/srv/podman.sock", Target: "/x", ReadOnly: true}, warnings: []string{"the copy was not given /srv/podman.sock of the host"}},
		"of programs":  {mount: deploy.Mount{Source: "/run/dbus", Target: "/x", ReadOnly: true}, warnings: []string{"the copy was not given /run/dbus of the host"}},
		"above them":   {mount: deploy.Mount{Source: "/", Target: "/x", ReadOnly: true}, warnings: []string{"the copy was not given / of the host"}},
		"the kernel's": {mount: deploy.Mount{Source: "/proc", Target: "/x", ReadOnly: true}, warnings: []string{"the copy was not given /proc of the host"}},
		"not mounted": {mount: deploy.Mount{Volume: "data", Target: "/x"}, items: []bundle.Item{volume("data"), volume("older"), path("/srv/a")}, has: []string{"0"}, bare: true, tried: []string{"data"},
			warnings: []string{"/srv/a is verified, and was not tried: web does not mount it", "older is verified, and was not tried: web does not mount it"}},
	} {
		t.Run(name, func(t *testing.T) {
			y := newDrillYard(t)
			done, err := y.drill(deploy.Spec{Mounts: []deploy.Mount{row.mount}, MountRule: registry.MountRule{Privileged: true, DockerSocket: true}}, row.items...)
			require.NoError(t, err)
			require.NoError(t, done.Unwell)
			assert.ElementsMatch(t, row.tried, done.Tried)
			assert.ElementsMatch(t, row.warnings, done.Warnings)
			want := deploy.Copy{Drill: "d", Spec: y.copy.Spec}
			mine := []deploy.Mount{{Volume: deploy.DrillVolume("d", "0"), Target: "/x", ReadOnly: row.mount.ReadOnly}}
			want.Spec.Mounts = nil
			switch {
			case row.reads:
				want.Spec.Mounts = []deploy.Mount{row.mount}
			case row.file:
				want.Files = mine
			case row.has != nil:
				want.Spec.Mounts = mine
			}
			if row.bare {
				want.Bare = []string{deploy.DrillVolume("d", "0")}
			}
			assert.Equal(t, want, y.copy)
			assert.Equal(t, want.Spec.Mounts, y.safe)
			if row.has != nil {
				assert.ElementsMatch(t, row.has, y.has(deploy.DrillVolume("d", "0")))
			}
			assert.Empty(t, y.Drilled())
		})
	}
}

// What is mounted twice is there once. An item that a bundle has in a place of its own
// choosing is nowhere.
func TestDrilledItems(t *testing.T) {
	y := newDrillYard(t)
	twice := deploy.Spec{Mounts: []deploy.Mount{{Volume: "data", Target: "/a"}, {Volume: "data", Target: "/b", ReadOnly: true}}}
	_, err := y.drill(twice, bundle.Item{Kind: "volume", Name: "data"})
	require.NoError(t, err)
	assert.Equal(t, y.copy.Spec.Mounts[0].Volume, y.copy.Spec.Mounts[1].Volume)
	for name, items := range map[string][]bundle.Item{
		"up":            {{Kind: "volume", Name: ".."}},
		"beside":        {{Kind: "volume", Name: "data/../../x"}},
		"everything":    {{Kind: "path", Name: "/"}},
		"not clean":     {{Kind: "path", Name: "/srv/../etc"}},
		"relative":      {{Kind: "path", Name: "srv"}},
		"of no kind":    {{Kind: "disk", Name: "data"}},
		"twice":         {{Kind: "volume", Name: "data"}, {Kind: "volume", Name: "data"}},
		"through links": {{Kind: "path", Name: "/srv/a.link"}, {Kind: "path", Name: "/srv/a.link/x"}},
		"a link":        {{Kind: "path", Name: "/srv/a.link"}},
	} {
		_, err := y.drill(deploy.Spec{Mounts: []deploy.Mount{{Volume: "data", Target: "/x"}, {Source: "/srv/a.link", Target: "/y"}}}, items...)
		assert.Contains(t, []fault.Code{fault.BundleIncompatible, fault.Precondition}, fault.CodeOf(err), "%s: %v", name, err)
		assert.Empty(t, y.Drilled(), name)
	}
}

// What a service may do beyond its own files its copy may not, and that is told.
func TestDrilledPrivileges(t *testing.T) {
	y := newDrillYard(t)
	spec := deploy.Spec{
		Ports: []deploy.Port{{Host: 80, Container: 80, Protocol: "tcp"}}, Networks: []string{"house"}, Restart: "always", Labels: map[string]string{"proxy": "on"},
		Env: map[string]string{"A": "b"}, EnvFiles: []string{"/run/web.env"}, Limits: deploy.Limits{Memory: 1 << 20, PIDs: 9}, StopGrace: time.Second, LogSize: 1, LogFiles: 2,
		Security: deploy.Security{Privileged: true, Unconfined: true, HostNetwork: true, HostPID: true, HostIPC: true, NewPrivileges: true,
			Capabilities: []string{"CHOWN", "NET_ADMIN", "IPC_LOCK"}, Devices: []string{"/dev/ttyUSB0"}, Sysctls: map[string]string{"net.core.somaxconn": "9"}},
	}
	done, err := y.drill(spec)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"the copy ran without privileges", "the copy ran without seccomp and AppArmor switched off", "the copy ran without the network of the host",
		"the copy ran without the processes of the host", "the copy ran without the IPC of the host", "the copy ran without the device /dev/ttyUSB0",
		"the copy ran without the capability NET_ADMIN", "the copy was given the secrets of the env files of web",
	}, done.Warnings)
	assert.Equal(t, deploy.Spec{
		Service: "web", Container: "homelab-d", Image: "web:v1", Env: spec.Env, EnvFiles: spec.EnvFiles, Networks: []string{"homelab-d"}, Restart: "no", StopGrace: time.Second,
		Limits: spec.Limits, LogSize: 1, LogFiles: 2, MountRule: registry.MountRule{Roots: []string{"/"}},
		Security: deploy.Security{NewPrivileges: true, Capabilities: []string{"CHOWN", "IPC_LOCK"}, Sysctls: spec.Security.Sysctls},
	}, y.copy.Spec)
}

// A gate that could never reach a copy is told as such, and not as a service that is
// not healthy.
func TestDrillOutOfReach(t *testing.T) {
	y := newDrillYard(t)
	copies, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer copies.Close()
	y.Fail = func(call string) error {
		if call == "dial" {
			return fault.New(fault.Precondition, "port 80 cannot be reached by way of that engine", "publish it")
		}
		return nil
	}
	d := &state.Driller{Engine: y, Site: y, Safe: func(context.Context, deploy.Spec) error { return nil }}
	_, err = d.Drill(t.Context(), state.Drilling{
		ID: "d", Spec: deploy.Spec{Service: "web", Image: "web:v1"}, Copies: copies, Gate: deploy.Gate{Kind: "tcp", Port: 80, Interval: time.Millisecond, Timeout: time.Minute},
	})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Contains(t, fault.Of(err).Hint, "exec or docker")
	assert.Empty(t, y.Drilled())
}

// bigBundle says that it holds much.
type bigBundle struct {
	state.Bundle
	manifest bundle.Manifest
}

func (b *bigBundle) Manifest() *bundle.Manifest { return &b.manifest }

// Where there is no room nothing is written.
func TestDrillWithoutRoom(t *testing.T) {
	y := newDrillYard(t)
	copies, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer copies.Close()
	for name, totals := range map[string]bundle.Totals{"bytes left": {Stored: 1 << 52}, "more files": {Entries: 1 << 52}} {
		items := []bundle.Item{{Kind: "volume", Name: "data", Totals: totals}}
		_, err := state.Unpack(t.Context(), &bigBundle{manifest: bundle.Manifest{Items: items}}, copies)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), name)
		assert.ErrorContains(t, err, name)
		_, err = y.drill(deploy.Spec{Mounts: []deploy.Mount{{Volume: "data", Target: "/x"}}}, items...)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), name)
		assert.ErrorContains(t, err, fmt.Sprintf("the disk of %s", filepath.Join(y.dir, deploy.DrillVolume("d", "0"))))
		assert.ErrorContains(t, err, name)
		assert.Empty(t, y.Drilled())
		require.NoError(t, os.RemoveAll(filepath.Join(y.dir, deploy.DrillVolume("d", "0"))))
	}
}
