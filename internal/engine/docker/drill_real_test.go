package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/store/dir"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// drillScript starts only with its history, and writes beside it.
const drillScript = `[ "$(cat /data/history)" = good ] && [ "$(cat /data/app.db)" = good ] && [ "$(cat /settings/app.conf)" = set ] || { echo no history; exit 1; }
echo ran >>/data/ran; echo ran >>/settings/ran 2>/dev/null && echo ran >/data/escaped
trap 'exit 0' TERM; while :; do /bin/busybox sleep 1 & wait $!; done
`

// drillLab is a host with a service that runs, and a store with bundles of it.
type drillLab struct {
	lab
	t                              *testing.T
	engine                         dockertest.Bridged
	e                              *docker.Engine
	spec                           deploy.Spec
	volume, file, folder, settings string                         // of the service: where they are
	store, good, bad               string                         // a folder, and the ids of bundles
	content, kept                  map[string]treetest.Attributes // of the volume, and in the good bundle
	since                          time.Time
	id                             string
}

func newDrillLab(t *testing.T) *drillLab {
	t.Helper()
	engine := dockertest.StartEngineWithBridge(t)
	api, err := client.NewClientWithOpts(client.WithHost("unix://"+engine.Socket), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, api.Close()) })
	l := &drillLab{lab: lab{engine.Socket, api}, t: t, engine: engine, store: t.TempDir(), folder: t.TempDir()}
	l.e = open(t, "unix://"+engine.Socket)
	require.NoError(t, l.e.Load(t.Context(), bytes.NewReader(deploytest.BusyboxArchive(t, "real/wiki:v1", drillScript))))
	l.volume = l.lab.volume(t, "wiki-data", nil)
	l.file = filepath.Join(l.folder, "app.db")
	l.settings, err = os.MkdirTemp("/srv", "homelab-test-") // what is temporary no copy may read
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(l.settings)) })
	for path, content := range map[string]string{
		filepath.Join(l.volume, "history"): "good", l.file: "good", filepath.Join(l.settings, "app.conf"): "set",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	treetest.Nasty(t, filepath.Join(l.volume, "nasty"))
	l.kept = treetest.Read(t, l.volume)
	l.good = l.bundle()
	require.NoError(t, os.WriteFile(filepath.Join(l.volume, "history"), []byte("lost"), 0o644))
	l.bad = l.bundle()
	require.NoError(t, os.WriteFile(filepath.Join(l.volume, "history"), []byte("good"), 0o644))

	l.spec, err = deploy.NewSpec("wiki", registry.Service{Deploy: &registry.Deploy{
		Ports: []string{"8080:8080"}, Networks: []string{"house"}, Volumes: []registry.Volume{{Name: "wiki-data", Target: "/data"}},
		Mounts: []registry.Mount{{Source: l.file, Target: "/data/app.db"}, {Source: l.settings, Target: "/settings", ReadOnly: true}},
	}}, registry.Host{}, "real/wiki:v1")
	require.NoError(t, err)
	require.NoError(t, l.e.EnsureNetwork(t.Context(), "house"))
	l.id, err = l.e.Create(t.Context(), "wiki", l.spec, nil)
	require.NoError(t, err)
	require.NoError(t, l.e.Start(t.Context(), l.id))
	gate := deploy.Gate{Kind: "exec", Command: []string{"cat", "/data/ran"}, Interval: 50 * time.Millisecond, Timeout: 20 * time.Second}
	require.NoError(t, gate.Pass(t.Context(), l.e, l.id))
	l.content = treetest.Read(t, l.volume)
	l.since = l.service().Started
	return l
}

func (l *drillLab) service() *deploy.Container {
	l.t.Helper()
	c, err := l.e.Container(l.t.Context(), "wiki")
	require.NoError(l.t, err)
	require.NotNil(l.t, c)
	return c
}

func (l *drillLab) open() state.Store {
	l.t.Helper()
	files, err := dir.Open(l.store)
	require.NoError(l.t, err)
	return state.NewStore(files)
}

// bundle keeps what the service has now.
func (l *drillLab) bundle() string {
	l.t.Helper()
	o := bundle.Order{ID: state.NewID(time.Now()), Program: "homelab test", Created: time.Now(), About: json.RawMessage(`{"service":"wiki"}`)}
	for _, s := range []struct{ kind, name, folder, at string }{{"volume", "wiki-data", l.volume, ""}, {"path", l.file, l.folder, "app.db"}} {
		root, err := os.OpenRoot(s.folder)
		require.NoError(l.t, err)
		defer root.Close()
		o.Sources = append(o.Sources, bundle.Source{Item: bundle.Item{Name: s.name, Kind: s.kind, Source: s.name, Class: "durable"}, Root: root, At: s.at})
	}
	_, err := l.open().Save(l.t.Context(), "wiki", o)
	require.NoError(l.t, err)
	return o.ID
}

// untouched says that the service is what it was, with all that it has, and that there
// is nothing else.
func (l *drillLab) untouched() {
	l.t.Helper()
	c := l.service()
	assert.Equal(l.t, []any{l.id, deploy.Running, l.since, 0, []string{"house"}}, []any{c.ID, c.State, c.Started, c.Restarts, c.Spec.Networks})
	assert.Equal(l.t, l.content, treetest.Read(l.t, l.volume))
	content, err := os.ReadFile(l.file)
	require.NoError(l.t, err)
	assert.Equal(l.t, "good", string(content))
	assert.NoFileExists(l.t, filepath.Join(l.settings, "ran"))
	assert.Empty(l.t, drilled(l.socket)(l.t))
	sidecars, err := l.left(l.t.Context())
	require.NoError(l.t, err)
	assert.Equal(l.t, []string{"/wiki"}, sidecars)
	house, err := l.api.NetworkInspect(l.t.Context(), "house", network.InspectOptions{})
	require.NoError(l.t, err)
	assert.Len(l.t, house.Containers, 1)
}

// drillOrder is a drill for this or another process, and when that is to kill itself.
type drillOrder struct {
	Socket, Store, Bundle, Copies, ID string
	Spec                              deploy.Spec
	Folders                           []string
	Aside                             bool
	Call                              int // after this one that makes something; 0: never
	Sent                              int // after so many bytes of a volume; 0: never
}

const drillVariable = "HOMELAB_TEST_DRILL"

func (o drillOrder) do(ctx context.Context, e deploy.Drills, site state.FillableSite, say func(string)) (done *state.Drilled, err error) {
	files, err := dir.Open(o.Store)
	if err != nil {
		return nil, err
	}
	b, err := state.NewStore(files).Open(ctx, "wiki", o.Bundle, bundle.Trust{})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	copies, err := os.OpenRoot(o.Copies)
	if err != nil {
		return nil, err
	}
	defer copies.Close()
	if _, err := state.Unpack(ctx, b, copies); err != nil {
		return nil, err
	}
	d := &state.Driller{Engine: e, Site: site, Report: say, Safe: func(_ context.Context, s deploy.Spec) error {
		return deploy.SafeMounts(s, filepath.EvalSymlinks)
	}}
	gate := deploy.Gate{Kind: "exec", Command: []string{"cat", "/data/ran"}, Interval: 50 * time.Millisecond, Timeout: 20 * time.Second}
	return d.Drill(ctx, state.Drilling{ID: o.ID, Spec: o.Spec, Gate: gate, Items: b.Manifest().Items, Copies: copies})
}

// obey drills in a process that ends in the midst of it.
func (o drillOrder) obey(ctx context.Context) error {
	way, err := dockerhost.Dial(ctx, dockerhost.Endpoint{URL: "unix://" + o.Socket})
	if err != nil {
		return err
	}
	e, err := docker.New(way)
	if err != nil {
		return err
	}
	site := e.Site(o.Folders)
	if o.Aside {
		site = e.Aside(o.Folders)
	}
	done, err := o.do(ctx, &mortalDrills{Drills: e, at: o.Call}, mortalSite{site, o.Sent}, func(string) {})
	if err == nil {
		err = done.Unwell
	}
	return err
}

// mortalDrills is an engine whose caller dies after a call that makes something.
type mortalDrills struct {
	deploy.Drills
	at, calls int
}

func (m *mortalDrills) after(err error) error {
	if m.calls++; m.calls == m.at {
		die()
	}
	return err
}

func (m *mortalDrills) Isolate(ctx context.Context, drill string) error {
	return m.after(m.Drills.Isolate(ctx, drill))
}
func (m *mortalDrills) Fresh(ctx context.Context, drill, name string) (string, error) {
	place, err := m.Drills.Fresh(ctx, drill, name)
	return place, m.after(err)
}
func (m *mortalDrills) Copy(ctx context.Context, c deploy.Copy) (string, error) {
	id, err := m.Drills.Copy(ctx, c)
	return id, m.after(err)
}
func (m *mortalDrills) Start(ctx context.Context, id string) error {
	return m.after(m.Drills.Start(ctx, id))
}
func (m *mortalDrills) Exec(ctx context.Context, id string, command []string) (int, string, error) {
	exit, output, err := m.Drills.Exec(ctx, id, command)
	return exit, output, m.after(err)
}

// mortalSite is a site whose caller dies while it fills.
type mortalSite struct {
	state.FillableSite
	most int
}

func (m mortalSite) Fill(ctx context.Context, item registry.StateItem, privileged bool) (io.ReadWriteCloser, error) {
	stream, err := m.FillableSite.Fill(ctx, item, privileged)
	if m.most > 0 && err == nil {
		stream = &mortalStream{stream, m.most}
	}
	return stream, err
}

type mortalStream struct {
	io.ReadWriteCloser
	left int
}

func (m *mortalStream) Write(p []byte) (int, error) {
	if m.left -= len(p); m.left <= 0 {
		die()
	}
	return m.ReadWriteCloser.Write(p)
}

// A drill on a real engine, by every way to its volumes: the copy has what the bundle
// has, to the last attribute, starts with it or does not, and goes. The service runs all
// the while as it was.
func TestDrillOnAnEngine(t *testing.T) {
	l, folders := newDrillLab(t), sidecars(t)
	ssh := l.engine.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	far := open(t, ssh.URL(l.socket))
	for name, row := range map[string]struct {
		e    *docker.Engine
		site state.FillableSite
	}{"near": {l.e, l.e.Site(folders)}, "by a sidecar": {l.e, l.e.Aside(folders)}, "over ssh": {far, far.Site(folders)}} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			order := drillOrder{Socket: l.socket, Store: l.store, Bundle: l.good, Copies: t.TempDir(), ID: "drill-" + strings.ReplaceAll(name, " ", "-"), Spec: l.spec}
			watched := &startWatch{Drills: row.e, before: func() {
				place := filepath.Join(filepath.Dir(filepath.Dir(l.volume)), deploy.DrillVolume(order.ID, "0"), "_data")
				got := treetest.Read(t, place)
				assert.Len(t, got, len(l.kept))
				for path, want := range l.kept {
					if want.Mode&unix.S_IFMT == unix.S_IFREG {
						want.Mode &^= unix.S_ISUID | unix.S_ISGID // as in a restore
					}
					delete(want.Xattrs, "security.capability")
					if !assert.ObjectsAreEqual(want, got[path]) {
						t.Errorf("%q: %+v, and not %+v", path, got[path], want)
					}
				}
			}}
			done, err := order.do(t.Context(), watched, row.site, nil)
			require.NoError(t, err)
			require.NoError(t, done.Unwell)
			require.NoError(t, done.Left)
			assert.ElementsMatch(t, []string{"wiki-data", l.file}, done.Tried)
			assert.Empty(t, done.Warnings)
			assert.True(t, watched.started)
			l.untouched()

			order.Bundle, order.Copies = l.bad, t.TempDir()
			done, err = order.do(t.Context(), row.e, row.site, nil)
			require.NoError(t, err)
			assert.Equal(t, fault.Unhealthy, fault.CodeOf(done.Unwell))
			require.Len(t, done.Log, 1)
			assert.Contains(t, done.Log[0], "no history")
			l.untouched()

			ctx, cancel := context.WithCancel(t.Context())
			order.Bundle, order.Copies = l.good, t.TempDir()
			_, err = order.do(ctx, row.e, row.site, func(message string) {
				if strings.HasPrefix(message, "filling") {
					cancel()
				}
			})
			assert.ErrorIs(t, err, context.Canceled)
			l.untouched()
		})
	}
}

// startWatch looks before a copy is started.
type startWatch struct {
	deploy.Drills
	before  func()
	started bool
}

func (s *startWatch) Start(ctx context.Context, id string) error {
	s.before()
	s.started = true
	return s.Drills.Start(ctx, id)
}

// A disk of the host that has no room for the volumes of a drill is told as such before
// anything is written to them, also where only a sidecar sees it.
func TestDrillWithoutRoomThere(t *testing.T) {
	l, folders := newDrillLab(t), sidecars(t)
	volumes := filepath.Dir(filepath.Dir(l.volume))
	l.onHost(t, "mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", volumes)
	said := []string{}
	order := drillOrder{Store: l.store, Bundle: l.good, Copies: t.TempDir(), ID: "full", Spec: l.spec}
	_, err := order.do(t.Context(), l.e, l.e.Site(folders), func(message string) { said = append(said, message) })
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "the disk of "+filepath.Join(volumes, deploy.DrillVolume("full", "0"), "_data")+" has ")
	assert.Equal(t, []string{"removing the copy"}, said)
	l.onHost(t, "umount", "-l", volumes)
	l.untouched()
}

// A process that is killed after any call, or while it fills a volume, leaves what the
// next one removes by the name of the drill, and nothing of the service is touched.
func TestDrillIsKilled(t *testing.T) {
	l, folders := newDrillLab(t), sidecars(t)
	program, err := os.Executable()
	require.NoError(t, err)
	const calls = 6 // a network, two volumes, a container, its start, and what the gate runs
	orders := []drillOrder{{Sent: 1}, {Sent: 4 << 10, Aside: true}, {Sent: 1, Aside: true}}
	for call := 1; call <= calls; call++ {
		orders = append(orders, drillOrder{Call: call})
	}
	for i, order := range orders {
		t.Run(fmt.Sprintf("call %d, sent %d, aside %t", order.Call, order.Sent, order.Aside), func(t *testing.T) {
			l.t = t
			order.Socket, order.Store, order.Bundle, order.Copies, order.ID = l.socket, l.store, l.good, t.TempDir(), fmt.Sprint("killed-", i)
			order.Spec, order.Folders = l.spec, folders
			text, err := json.Marshal(order)
			require.NoError(t, err)
			_, err = command.Run(t.Context(), command.Cmd{Name: program, Env: []string{drillVariable + "=" + string(text)}})
			require.ErrorContains(t, err, "signal killed")
			require.NotEmpty(t, drilled(l.socket)(t), "it has made something")
			require.NoError(t, l.e.Clear(t.Context(), order.ID))
			require.NoError(t, l.e.Sweep(t.Context()))
			l.untouched()
		})
	}
}
