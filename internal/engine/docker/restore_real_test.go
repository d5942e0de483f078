package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/registry"
)

// home is a service on a real engine, with a volume, a file and a path that nothing is
// at; it is healthy unless its volume says that it is not.
type home struct {
	lab
	t         *testing.T
	engine    *docker.Engine
	restorer  state.Restorer
	items     []registry.StateItem
	container string
	data      string // the folder of the volume
	dir       string // of the paths
}

func newHome(t *testing.T, l lab, e *docker.Engine, place state.Place) *home {
	t.Helper()
	h := &home{lab: l, t: t, engine: e, dir: t.TempDir(), data: l.volume(t, "web-data", nil)}
	h.items = []registry.StateItem{{Volume: "web-data"}, {Path: h.dir + "/web.conf"}, {Path: h.dir + "/more"}}
	work := t.TempDir()
	h.restorer = state.Restorer{
		Quiescer: &quiesce.Quiescer{Engine: e, Host: "nas", Journal: quiesce.Journal{Dir: filepath.Join(work, "quiesce")}},
		Place:    place, Dir: filepath.Join(work, "restore"),
	}
	h.put("old")
	spec := deploy.Spec{
		Service: "web", Image: "real/app:v1", StopGrace: time.Second, Restart: "unless-stopped",
		Mounts: []deploy.Mount{{Volume: "web-data", Target: "/data"}, {Source: h.dir + "/web.conf", Target: "/etc/web.conf"}},
	}
	gate, err := json.Marshal(deploy.Gate{
		Kind: "exec", Command: []string{"/bin/sh", "-c", `read -r page </data/page; [ "$page" != bad ]`}, Interval: 100 * time.Millisecond, Timeout: 5 * time.Second,
	})
	require.NoError(t, err)
	h.container, err = e.Create(t.Context(), "web", spec, map[string]string{deploy.LabelService: "web", deploy.LabelGate: string(gate)})
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), h.container))
	return h
}

// leave makes room for the next one.
func (h *home) leave() {
	h.t.Helper()
	h.leaveContainer()
	assert.NoError(h.t, h.api.VolumeRemove(h.t.Context(), "web-data", true))
}

func (h *home) leaveContainer() {
	h.t.Helper()
	assert.NoError(h.t, h.engine.Stop(h.t.Context(), h.container, 0))
	assert.NoError(h.t, h.engine.Remove(h.t.Context(), h.container))
}

// put has what there is say something.
func (h *home) put(what string) {
	h.t.Helper()
	require.NoError(h.t, os.WriteFile(filepath.Join(h.data, "page"), []byte(what), 0o644))
	require.NoError(h.t, os.Chown(filepath.Join(h.data, "page"), 1234, 5678))
	require.NoError(h.t, os.WriteFile(filepath.Join(h.data, "only-"+what), nil, 0o600))
	require.NoError(h.t, os.WriteFile(h.dir+"/web.conf", []byte(what), 0o644))
}

// is is what there is.
func (h *home) is() string {
	h.t.Helper()
	all := ""
	for _, path := range []string{h.data + "/page", h.dir + "/web.conf", h.dir + "/more/page"} {
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte("-")
		}
		all += string(content) + " "
	}
	only, err := filepath.Glob(h.data + "/only-*")
	require.NoError(h.t, err)
	for _, path := range only {
		all += filepath.Base(path) + " "
	}
	ours := 0
	for _, dir := range []string{h.data, h.dir} {
		found, err := filepath.Glob(dir + "/.homelab-*")
		require.NoError(h.t, err)
		ours += len(found)
	}
	if ours > 0 {
		all += "aside"
	}
	return all
}

// held is a bundle in memory.
type held struct{ *bundle.Reader }

func (h held) Manifest() *bundle.Manifest { return &h.Reader.Manifest }
func (h held) Close() error               { h.Reader.Close(); return nil }

// restoring is a restore of a bundle that says something.
func (h *home) restoring(what string) state.Restoring {
	h.t.Helper()
	tree := h.t.TempDir()
	write := func(name string) {
		require.NoError(h.t, os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755))
		require.NoError(h.t, os.WriteFile(filepath.Join(tree, name), []byte(what), 0o644))
		require.NoError(h.t, os.Chown(filepath.Join(tree, name), 1234, 5678))
	}
	for _, name := range []string{"data/page", "data/only-" + what, "web.conf", "more/page"} {
		write(name)
	}
	root, err := os.OpenRoot(tree)
	require.NoError(h.t, err)
	defer root.Close()
	order := bundle.Order{ID: "20260314T120000Z-00000000", Program: "test", Created: time.Unix(1773489600, 0).UTC(), About: []byte(`{"service":"web"}`)}
	for i, at := range []string{"data", "web.conf", "more"} {
		kind := "path"
		if h.items[i].Volume != "" {
			kind = "volume"
		}
		order.Sources = append(order.Sources, bundle.Source{Item: bundle.Item{Name: h.items[i].Name(), Kind: kind}, Root: root, At: at})
	}
	var out bytes.Buffer
	_, err = bundle.Write(h.t.Context(), &out, order)
	require.NoError(h.t, err)
	reader, err := bundle.Open(&out, bundle.Trust{})
	require.NoError(h.t, err)
	h.t.Cleanup(reader.Close)
	c, err := h.engine.Container(h.t.Context(), h.container)
	require.NoError(h.t, err)
	return state.Restoring{Service: "web", Container: c, Items: h.items, Bundle: held{reader}}
}

func (h *home) runs() bool {
	h.t.Helper()
	c, err := h.engine.Container(h.t.Context(), h.container)
	require.NoError(h.t, err)
	return c.State == deploy.Running
}

const (
	wasThere = "old old - only-old "
	isThere  = "new new new only-new "
)

// A bundle is brought back to a real engine by every way, and what is unhealthy with it
// has what was there before again.
func TestRealRestore(t *testing.T) {
	ssh := dockertest.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	l, folders := newLab(t), sidecars(t)
	near, far := open(t, "unix://"+l.socket), open(t, ssh.URL(l.socket))
	load(t, near, deploytest.Behaviour{})
	for name, by := range map[string]struct {
		engine *docker.Engine
		place  func(work string) (state.Place, error)
	}{
		"in this process":       {near, func(work string) (state.Place, error) { return near.OnHost(t.Context(), work) }},
		"by sidecars":           {near, func(work string) (state.Place, error) { return near.Afar(folders, work), nil }},
		"by sidecars, over ssh": {far, func(work string) (state.Place, error) { return far.Place(folders, work) }},
	} {
		t.Run(name, func(t *testing.T) {
			place, err := by.place(t.TempDir())
			require.NoError(t, err)
			h := newHome(t, l, by.engine, place)
			defer h.leave()
			preview, err := h.restorer.Preview(t.Context(), h.restoring("new"))
			require.NoError(t, err)
			assert.Equal(t, []string{h.data, h.dir + "/web.conf", h.dir + "/more"}, []string{preview.Items[0].Path, preview.Items[1].Path, preview.Items[2].Path})

			_, err = h.restorer.Restore(t.Context(), h.restoring("bad"))
			assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%v", err)
			assert.Equal(t, wasThere, h.is())
			assert.True(t, h.runs())

			done, err := h.restorer.Restore(t.Context(), h.restoring("new"))
			require.NoError(t, err)
			assert.Equal(t, isThere+"aside", h.is())
			assert.True(t, h.runs())
			assert.Positive(t, done.Outage)
			t.Logf("%s: outage %.2f s", name, done.Outage)
			require.NoError(t, h.restorer.Commit(t.Context(), "web", h.items, done.ID))
			assert.Equal(t, isThere, h.is())
			running := l.running(t)
			assert.Equal(t, []string{h.container}, running)
		})
	}
}

// deadly is a place where something happens before the second item is swapped.
type deadly struct {
	state.Place
	do    func()
	swaps int
}

func (d *deadly) Target(ctx context.Context, service string, item registry.StateItem) (state.Target, error) {
	target, err := d.Place.Target(ctx, service, item)
	return deadlyTarget{target, d}, err
}

type deadlyTarget struct {
	state.Target
	d *deadly
}

func (t deadlyTarget) Swap(ctx context.Context, id string) error {
	if t.d.swaps++; t.d.swaps == 2 {
		t.d.do()
	}
	return t.Target.Swap(ctx, id)
}

// A restore whose engine dies while the service is swapped by half is undone by a
// repair, which opens the places anew.
func TestRealRestoreIsRepaired(t *testing.T) {
	l, folders, work := newLab(t), sidecars(t), t.TempDir()
	e := open(t, "unix://"+l.socket)
	load(t, e, deploytest.Behaviour{})
	var revive func()
	place := &deadly{Place: e.Afar(folders, work), do: func() { revive = dockertest.Kill(t, l.socket) }}
	h := newHome(t, l, e, place)
	_, err := h.restorer.Restore(t.Context(), h.restoring("new"))
	assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
	assert.Equal(t, "new old - only-new aside", h.is())
	revive()
	assert.False(t, h.runs())

	h.restorer.Place = e.Afar(folders, work)
	what, err := h.restorer.Repair(t.Context(), "web")
	require.NoError(t, err)
	assert.Contains(t, what, "was undone")
	assert.Equal(t, wasThere, h.is())
	assert.True(t, h.runs())
	left, err := os.ReadDir(work)
	require.NoError(t, err)
	assert.Empty(t, left)
}
