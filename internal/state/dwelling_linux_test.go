package state_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// dwelling is a host with a service called web: a volume, a file and a path that
// nothing is at yet.
type dwelling struct {
	t      *testing.T
	dir    string
	engine *deploytest.Memory
	id     string
	items  []registry.StateItem
	packed []byte // a bundle of it
	// kill is asked before and after everything that is done; nil: nobody is killed.
	kill   func()
	meddle func() // while it is swapped
	// deliver brings what is in the folder work to its place; nil: it is extracted there.
	deliver func(work string, to *os.Root) error
	work    string // empty: each target has its own
}

func inDwelling(t *testing.T, test func(d *dwelling)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newDwelling(t)) })
}

func newDwelling(t *testing.T) *dwelling {
	t.Helper()
	dir := t.TempDir()
	d := &dwelling{t: t, dir: dir, engine: &deploytest.Memory{}}
	d.items = []registry.StateItem{{Volume: "data"}, {Path: dir + "/etc/web.conf"}, {Path: dir + "/etc/none"}, {Path: dir + "/etc/other"}}
	d.engine.Behave = map[string]deploytest.Behaviour{"web:v1": {Health: "healthy"}, "web:stuck": {Health: "healthy", Stuck: true}}
	for name := range d.engine.Behave {
		require.NoError(t, d.engine.Load(t.Context(), bytes.NewReader(deploytest.Archive(name, name, "files"))))
	}
	d.runs("v1")
	d.put("volumes/data", "new")
	d.put("etc/web.conf", "new")
	d.put("etc/none", "new")
	d.packed = d.pack("web")
	require.NoError(t, os.RemoveAll(dir+"/etc"))
	require.NoError(t, os.RemoveAll(dir+"/data.volume"))
	d.put("volumes/data", "old")
	d.put("etc/web.conf", "old")
	d.put("etc/other", "old")
	return d
}

func (d *dwelling) runs(version string) {
	d.t.Helper()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, "web:"+version)
	require.NoError(d.t, err)
	d.id, err = d.engine.Create(d.t.Context(), "web-"+version, spec, map[string]string{deploy.LabelService: "web"})
	require.NoError(d.t, err)
	require.NoError(d.t, d.engine.Start(d.t.Context(), d.id))
}

// put makes an item; of the volume several files.
func (d *dwelling) put(name, content string) {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if strings.HasPrefix(name, "volumes") {
		for _, file := range []string{"both", "only-" + content, "sub/" + content} {
			d.put(strings.TrimPrefix(name, "volumes/")+".volume/"+file, content)
		}
		return
	}
	require.NoError(d.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(d.t, os.WriteFile(path, []byte(content), 0o644))
}

func (d *dwelling) pathOf(item registry.StateItem) string {
	if item.Volume != "" {
		return filepath.Join(d.dir, item.Volume+".volume")
	}
	return item.Path
}

// pack captures the volume, the file, and the path that nothing will be at.
func (d *dwelling) pack(service string) []byte {
	d.t.Helper()
	order := bundle.Order{ID: "20260314T120000Z-00000000", Program: "test", Created: time.Unix(1773489600, 0).UTC()}
	order.About, _ = json.Marshal(map[string]string{"service": service})
	for _, item := range d.items[:3] {
		path := d.pathOf(item)
		root, err := os.OpenRoot(filepath.Dir(path))
		require.NoError(d.t, err)
		defer root.Close()
		kind := "path"
		if item.Volume != "" {
			kind = "volume"
		}
		order.Sources = append(order.Sources, bundle.Source{Item: bundle.Item{Name: item.Name(), Kind: kind, Source: path}, Root: root, At: filepath.Base(path)})
	}
	var out bytes.Buffer
	_, err := bundle.Write(d.t.Context(), &out, order)
	require.NoError(d.t, err)
	return out.Bytes()
}

// held is a bundle in memory.
type held struct {
	*bundle.Reader
	manifest bundle.Manifest // which a test may change
}

func (h *held) Manifest() *bundle.Manifest { return &h.manifest }
func (h *held) Close() error               { h.Reader.Close(); return nil }

func (d *dwelling) opened(data []byte) state.Bundle {
	d.t.Helper()
	reader, err := bundle.Open(bytes.NewReader(data), bundle.Trust{})
	require.NoError(d.t, err)
	d.t.Cleanup(reader.Close)
	h := &held{reader, reader.Manifest}
	h.manifest.Items = slices.Clone(h.manifest.Items)
	return h
}

// Target has a place that can be killed.
func (d *dwelling) Target(_ context.Context, _ string, item registry.StateItem) (state.Target, error) {
	open := swap.Open
	if item.Volume != "" {
		open = swap.OpenFolder
	}
	target, err := open(d.pathOf(item))
	if err != nil {
		return nil, err
	}
	m := &mortal{state.InPlace{Target: target}, d}
	if d.deliver != nil {
		return &away{mortal: m, work: cmp.Or(d.work, d.t.TempDir())}, nil
	}
	return m, nil
}

// View has nothing to make.
func (d *dwelling) View(ctx context.Context, service string, item registry.StateItem) (state.Target, error) {
	return d.Target(ctx, service, item)
}

func (d *dwelling) restorer() *state.Restorer {
	return &state.Restorer{
		Quiescer: &quiesce.Quiescer{Engine: &doomed{d.engine, d}, Host: "nas", Journal: quiesce.Journal{Dir: filepath.Join(d.dir, "state", "quiesce")}},
		Place:    d, Dir: filepath.Join(d.dir, "state", "restore"),
	}
}

func (d *dwelling) restoring(data []byte) state.Restoring {
	return state.Restoring{Service: "web", Container: d.is(), Items: d.items, Bundle: d.opened(data)}
}

func (d *dwelling) restore() (*state.Restored, error) {
	return d.restorer().Restore(d.t.Context(), d.restoring(d.packed))
}

func (d *dwelling) is() *deploy.Container {
	d.t.Helper()
	c, err := d.engine.Container(context.Background(), d.id)
	require.NoError(d.t, err)
	return c
}

// content is all that is there, but for what is homelab's, the number of which it tells.
func (d *dwelling) content() (map[string]string, int) {
	d.t.Helper()
	return contentOf(d.t, d.dir, "data.volume", "etc")
}

// contentOf is what is in the files of folders in dir, but for what is homelab's, the
// number of which it tells.
func contentOf(t *testing.T, dir string, folders ...string) (map[string]string, int) {
	t.Helper()
	all, ours := map[string]string{}, 0
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(filepath.Join(dir, folder), func(path string, e os.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(e.Name(), swap.Prefix):
				ours++
				return filepath.SkipDir
			case e.IsDir():
				return nil
			}
			content, err := os.ReadFile(path)
			all[strings.TrimPrefix(path, dir+"/")] = string(content)
			return err
		}))
	}
	return all, ours
}

var (
	before = map[string]string{
		"data.volume/both": "old", "data.volume/only-old": "old", "data.volume/sub/old": "old", "etc/web.conf": "old", "etc/other": "old",
	}
	after = map[string]string{
		"data.volume/both": "new", "data.volume/only-new": "new", "data.volume/sub/new": "new", "etc/web.conf": "new", "etc/none": "new", "etc/other": "old",
	}
)

// untouched fails unless everything is as before, and nothing is left.
func (d *dwelling) untouched(about ...any) {
	d.t.Helper()
	d.asBefore(about...)
	assert.Equal(d.t, deploy.Running, d.is().State, about...)
}

func (d *dwelling) asBefore(about ...any) {
	d.t.Helper()
	content, ours := d.content()
	require.Equal(d.t, before, content, about...)
	require.Zero(d.t, ours, about...)
	d.idle()
}

// idle fails when a journal has something.
func (d *dwelling) idle() {
	d.t.Helper()
	pending, failed := state.Restores(filepath.Join(d.dir, "state", "restore")).Entries()
	require.Empty(d.t, failed)
	require.Empty(d.t, pending)
	left, err := filepath.Glob(filepath.Join(d.dir, "state", "restore", "*", "*", "*.json"))
	require.NoError(d.t, err)
	require.Empty(d.t, left)
}

// dead is what a process that is killed panics with.
type dead struct{}

// killedAt does something, and says whether it was killed at its n-th chance.
func (d *dwelling) killedAt(n int, do func() error) (killed bool) {
	d.kill = func() {
		if n--; n < 0 {
			panic(dead{})
		}
	}
	defer func() {
		d.kill = nil
		if r := recover(); r != nil {
			require.Equal(d.t, dead{}, r)
			killed = true
		}
	}()
	require.NoError(d.t, do())
	return false
}

// doomed is an engine whose client can be killed before and after each call.
type doomed struct {
	*deploytest.Memory
	d *dwelling
}

func (e *doomed) chance() {
	if e.d.kill != nil {
		e.d.kill()
	}
}

func (e *doomed) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	e.chance()
	defer e.chance()
	return e.Memory.Container(ctx, ref)
}

func (e *doomed) Stop(ctx context.Context, id string, grace time.Duration) error {
	e.chance()
	defer e.chance()
	return e.Memory.Stop(ctx, id, grace)
}

func (e *doomed) Start(ctx context.Context, id string) error {
	e.chance()
	defer e.chance()
	return e.Memory.Start(ctx, id)
}

// mortal is a target that can be killed at every change of the disk, and after the last.
type mortal struct {
	state.InPlace
	d *dwelling
}

// chances is a context that gives a chance to be killed whenever it is looked at.
type chances struct {
	context.Context
	d *dwelling
}

func (c chances) Err() error {
	if c.d.kill != nil {
		c.d.kill()
	}
	return c.Context.Err()
}

func (m *mortal) do(ctx context.Context, what func(context.Context, string) error, id string) error {
	err := what(chances{ctx, m.d}, id)
	_ = chances{ctx, m.d}.Err()
	return err
}

func (m *mortal) Stage(ctx context.Context, id string) (*os.Root, string, error) {
	return m.InPlace.Stage(chances{ctx, m.d}, id)
}
func (m *mortal) Deliver(ctx context.Context, id string) error {
	return m.do(ctx, m.InPlace.Deliver, id)
}
func (m *mortal) Swap(ctx context.Context, id string) error {
	if m.d.meddle != nil {
		m.d.meddle()
	}
	return m.do(ctx, m.Target.Swap, id)
}
func (m *mortal) Back(ctx context.Context, id string) error { return m.do(ctx, m.Target.Back, id) }
func (m *mortal) Discard(ctx context.Context, id string) error {
	return m.do(ctx, m.Target.Discard, id)
}

// away is a target that is extracted elsewhere.
type away struct {
	*mortal
	work   string
	staged *os.Root
}

func (a *away) Work() string { return a.work }

func (a *away) Stage(ctx context.Context, id string) (*os.Root, string, error) {
	staged, name, err := a.mortal.Stage(ctx, id)
	if err != nil {
		return nil, "", err
	}
	a.staged = staged
	root, err := os.OpenRoot(a.work)
	return root, name, err
}

func (a *away) Deliver(context.Context, string) error { return a.d.deliver(a.work, a.staged) }
