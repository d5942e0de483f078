package state_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/hint"
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
func (d *dwelling) Target(_ context.Context, item registry.StateItem) (state.Target, error) {
	open := swap.Open
	if item.Volume != "" {
		open = swap.OpenFolder
	}
	target, err := open(d.pathOf(item))
	if err != nil {
		return nil, err
	}
	return &mortal{target, d}, nil
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
	all, ours := map[string]string{}, 0
	for _, dir := range []string{"data.volume", "etc"} {
		require.NoError(d.t, filepath.WalkDir(filepath.Join(d.dir, dir), func(path string, e os.DirEntry, err error) error {
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
			all[strings.TrimPrefix(path, d.dir+"/")] = string(content)
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
	pending, failed := state.BrokenOff(filepath.Join(d.dir, "state", "restore"))
	require.Empty(d.t, failed)
	require.Empty(d.t, pending)
	left, err := filepath.Glob(filepath.Join(d.dir, "state", "restore", "*", "*", "*.json"))
	require.NoError(d.t, err)
	require.Empty(d.t, left)
}

func TestRestore(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		preview, err := d.restorer().Preview(t.Context(), d.restoring(d.packed))
		require.NoError(t, err)
		assert.True(t, preview.Stops)
		assert.Equal(t, []string{d.dir + "/etc/other"}, preview.Untouched)
		require.Len(t, preview.Items, 3)
		assert.Equal(t, swap.Amount{Entries: 5, Bytes: 9}, preview.Items[0].There)
		assert.Equal(t, swap.Amount{Entries: 5, Bytes: 9}, preview.Items[0].Comes)
		assert.Equal(t, swap.Amount{}, preview.Items[2].There)
		assert.Empty(t, preview.Items[0].Kept)
		d.untouched()

		started := d.is().Started
		time.Sleep(time.Second)
		done, err := d.restore()
		require.NoError(t, err)
		content, ours := d.content()
		assert.Equal(t, after, content)
		assert.Equal(t, 3, ours, "what was there is kept")
		assert.Equal(t, deploy.Running, d.is().State)
		assert.True(t, d.is().Started.After(started))
		assert.Equal(t, int64(7), done.Placed)
		assert.Equal(t, []state.RestoredItem{{"data", d.dir + "/data.volume"}, {d.items[1].Path, d.items[1].Path}, {d.items[2].Path, d.items[2].Path}}, done.Items)
		d.idle()

		preview, err = d.restorer().Preview(t.Context(), d.restoring(d.packed))
		require.NoError(t, err)
		require.Len(t, preview.Items[0].Kept, 1)
		assert.Equal(t, swap.Swapped, preview.Items[0].Kept[0].Step)
		again, err := d.restore()
		require.NoError(t, err, "what is kept is in nobody's way")
		for _, id := range []string{done.ID, done.ID, again.ID} {
			require.NoError(t, d.restorer().Commit(t.Context(), "web", d.items, id))
		}
		content, ours = d.content()
		assert.Equal(t, after, content)
		assert.Zero(t, ours)
	})
}

func TestRestoreSomeItems(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		x := d.restoring(d.packed)
		x.Only = []string{d.items[1].Path}
		_, err := d.restorer().Restore(t.Context(), x)
		require.NoError(t, err)
		want := maps.Clone(before)
		want["etc/web.conf"] = "new"
		content, ours := d.content()
		assert.Equal(t, want, content)
		assert.Equal(t, 1, ours)
	})
}

// A service that did not run is not started.
func TestRestoreOfWhatDoesNotRun(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		require.NoError(t, d.engine.Stop(t.Context(), d.id, 0))
		done, err := d.restore()
		require.NoError(t, err)
		assert.Zero(t, done.Outage)
		assert.Equal(t, deploy.Exited, d.is().State)
		x := d.restoring(d.packed)
		x.Container = nil
		_, err = d.restorer().Restore(t.Context(), x)
		require.NoError(t, err)
	})
}

// What is refused changes nothing, and stops nothing.
func TestRestoreIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		code   fault.Code
		change func(d *dwelling, x *state.Restoring)
	}{
		"another service": {fault.BundleIncompatible, func(d *dwelling, x *state.Restoring) { x.Service = "other" }},
		"no destination":  {fault.BundleIncompatible, func(d *dwelling, x *state.Restoring) { x.Items = d.items[1:] }},
		"of another kind": {fault.BundleIncompatible, func(d *dwelling, x *state.Restoring) { x.Items = []registry.StateItem{{Path: "data"}} }},
		"no such item":    {fault.NotFound, func(d *dwelling, x *state.Restoring) { x.Only = []string{"date"} }},
		"it is paused":    {fault.Precondition, func(d *dwelling, x *state.Restoring) { x.Container.State = deploy.Paused }},
		"too large":       {fault.Precondition, func(d *dwelling, x *state.Restoring) { x.Bundle.Manifest().Items[0].Stored = 1 << 50 }},
		"it is at rest":   {fault.Conflict, func(d *dwelling, x *state.Restoring) { d.rest() }},
		"no folder for it": {fault.NotFound, func(d *dwelling, x *state.Restoring) {
			d.items[2].Path = d.dir + "/no/such"
			x.Bundle.Manifest().Items[2].Name = d.items[2].Path
		}},
		"damaged":            {fault.BundleCorrupt, func(d *dwelling, x *state.Restoring) { x.Bundle = d.opened(damaged(d.packed)) }},
		"nobody can stop it": {fault.Precondition, func(d *dwelling, x *state.Restoring) { d.runs("stuck"); x.Container = d.is() }},
	} {
		t.Run(name, func(t *testing.T) {
			inDwelling(t, func(d *dwelling) {
				x := d.restoring(d.packed)
				row.change(d, &x)
				started := d.is().Started
				time.Sleep(time.Second)
				_, err := d.restorer().Restore(d.t.Context(), x)
				assert.Equal(d.t, row.code, fault.CodeOf(err), "%v", err)
				d.untouched()
				assert.Equal(d.t, started, d.is().Started)
			})
		})
	}
}

// rest has the service be captured by somebody.
func (d *dwelling) rest() {
	require.NoError(d.t, d.restorer().Quiescer.Journal.Write(&quiesce.Entry{Service: "web", Host: "nas"}))
}

// damaged has a wrong byte near its end, where all has been extracted.
func damaged(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)-5] ^= 1
	return data
}

// What is not healthy with what was restored has what was there before again.
func TestRestoreIsUnhealthy(t *testing.T) {
	for name, ends := range map[string]bool{"unhealthy": false, "ends": true} {
		t.Run(name, func(t *testing.T) {
			inDwelling(t, func(d *dwelling) {
				t := d.t
				d.engine.Sicken(d.id)
				if ends {
					d.engine.End(d.id)
				}
				_, err := d.restore()
				assert.Equal(t, fault.Unhealthy, fault.CodeOf(err), "%v", err)
				assert.ErrorContains(t, err, "what was there before is there again, but")
				d.asBefore()
			})
		})
	}
}

// A disk that is too full for what is new leaves what was there.
func TestRestoreOnAFullDisk(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		volume := d.pathOf(d.items[0])
		require.NoError(t, os.WriteFile(volume+"/large", make([]byte, 1<<20), 0o600))
		d.put("etc/none", "new")
		packed := d.pack("web")
		require.NoError(t, os.Remove(d.dir+"/etc/none"))
		require.NoError(t, unix.Mount("tmpfs", volume, "tmpfs", 0, "size=256k"))
		t.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) })
		d.put("volumes/data", "old")
		x := d.restoring(packed)
		_, err := d.restorer().Restore(t.Context(), x)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "bytes left")
		d.untouched()
		x = d.restoring(packed)
		x.Bundle.Manifest().Items[0].Stored = 1 // as if somebody else took the room meanwhile
		_, err = d.restorer().Restore(t.Context(), x)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "no space is left to extract")
		d.untouched()
	})
}

// A service that somebody starts while it is swapped may have read half of each.
func TestRestoreIsMeddledWith(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		d.meddle = func() { require.NoError(t, d.engine.Start(t.Context(), d.id)) }
		_, err := d.restore()
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "somebody has started container")
		d.untouched()
	})
}

// Two do not restore the same service.
func TestRestoreIsLocked(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		r := d.restorer()
		r.Watch = func(e *state.RestoreEntry) (func(), error) {
			_, err := d.restore()
			assert.Equal(t, fault.Locked, fault.CodeOf(err), "%v", err)
			_, err = d.restorer().Repair(t.Context(), "web")
			assert.Equal(t, fault.Locked, fault.CodeOf(err), "%v", err)
			return nil, errors.New("no more processes")
		}
		_, err := r.Restore(t.Context(), d.restoring(d.packed))
		assert.ErrorContains(t, err, "no more processes")
		d.untouched()
	})
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

// Whenever a restore is killed, and the repair of it, the next repair has all as it
// was, or the restore was over.
func TestRestoreIsKilled(t *testing.T) {
	for n, over := 0, false; !over; n++ {
		for m, repaired := 0, false; !repaired; m += 23 {
			inDwelling(t, func(d *dwelling) {
				t := d.t
				over = !d.killedAt(n, func() error { _, err := d.restore(); return err })
				what, err := d.restorer().Quiescer.Wake(t.Context(), "web", "")
				require.NoError(t, err)
				require.Empty(t, what, "nobody else wakes it, half swapped")
				repaired = !d.killedAt(m, func() error { _, err := d.restorer().Repair(t.Context(), "web"); return err })
				_, err = d.restorer().Repair(t.Context(), "web")
				require.NoError(t, err)
				require.Equal(t, deploy.Running, d.is().State, "killed at %d and %d", n, m)
				if content, ours := d.content(); over || ours > 0 {
					require.Equal(t, after, content)
					require.Equal(t, 3, ours)
					d.idle()
					return
				}
				d.untouched("killed at %d and %d", n, m)
			})
		}
	}
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
	*swap.Target
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
	return m.Target.Stage(chances{ctx, m.d}, id)
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

// What a restore has put aside is in no later bundle.
func TestWhatIsAsideIsNotCaptured(t *testing.T) {
	asked := readings{}
	_, err := state.Take(t.Context(), nil, &asked, state.Capturing{Items: []registry.StateItem{{Volume: "data", Exclude: []string{"cache"}}}})
	require.ErrorIs(t, err, errRead)
	set, err := hint.Compile(asked.Exclude)
	require.NoError(t, err)
	for path, out := range map[string]bool{
		".homelab-x": true, ".homelab-x/old/a": true, "cache/a": true, "a/.homelab-x": false, "homelab-x": false,
	} {
		assert.Equal(t, out, len(set.Matcher().Match(path)) > 0, path)
	}
}

// readings is a site that cannot be read, and remembers what was asked for.
type readings struct{ registry.StateItem }

var errRead = errors.New("not today")

func (r *readings) Read(_ context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	r.StateItem = item
	return nil, errRead
}

// A context that is over undoes what was begun.
func TestRestoreIsCanceled(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		ctx, stop := context.WithCancel(t.Context())
		d.engine.Fail = func(call string) error {
			if call == "start" {
				stop()
				d.engine.Fail = nil
				return ctx.Err()
			}
			return nil
		}
		_, err := d.restorer().Restore(ctx, d.restoring(d.packed))
		assert.Equal(t, fault.Canceled, fault.CodeOf(err), "%v", err)
		d.untouched()
	})
}

// An engine that goes away while it is undone leaves it to a repair.
func TestRestoreCannotBeUndone(t *testing.T) {
	inDwelling(t, func(d *dwelling) {
		t := d.t
		d.engine.Fail = func(call string) error {
			if call == "start" {
				d.engine.Fail = func(string) error {
					return fault.New(fault.EngineUnavailable, "the engine does not answer", "start it")
				}
				return fault.New(fault.EngineUnavailable, "the engine does not answer", "start it")
			}
			return nil
		}
		_, err := d.restore()
		assert.Equal(t, fault.RollbackFailed, fault.CodeOf(err), "%v", err)
		d.engine.Fail = nil
		_, err = d.restore()
		assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
		assert.Equal(t, fault.Conflict, fault.CodeOf(d.restorer().Commit(t.Context(), "web", d.items, state.NewID(time.Now()))))
		what, err := d.restorer().Repair(t.Context(), "web")
		require.NoError(t, err)
		assert.Contains(t, what, "was undone")
		d.untouched()
		what, err = d.restorer().Repair(t.Context(), "web")
		require.NoError(t, err)
		assert.Empty(t, what)
	})
}
