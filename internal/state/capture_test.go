package state_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/registry"
)

// folders is a site whose volumes are folders.
type folders struct {
	dir   string
	each  func(io.ReadWriteCloser) io.ReadWriteCloser // put into each stream; may be nil
	reads *sync.WaitGroup                             // all that are under way
}

func (f folders) Read(ctx context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	root, err := os.OpenRoot(filepath.Join(f.dir, item.Volume))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "see its name", "there is no volume %s", item.Volume)
	}
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	source, err := mirror.NewSource(there, mirror.Tree{Root: root, Exclude: item.Exclude})
	if err != nil {
		return nil, err
	}
	f.reads.Go(func() {
		_ = source.Serve(ctx)
		_ = source.Close()
		_ = root.Close()
	})
	if f.each != nil {
		return f.each(here), nil
	}
	return here, nil
}

// flat is a host with a service called web, whose state is the volume data.
type flat struct {
	t       *testing.T
	engine  *deploytest.Memory
	journal quiesce.Journal
	site    folders
	id      string
	ctx     context.Context
	writer  *writer // what the service is; nil: it writes nothing
	http    string  // where that listens
	last    uint64  // record that was captured
}

func newFlat(t *testing.T) *flat {
	t.Helper()
	f := &flat{t: t, engine: &deploytest.Memory{}, journal: quiesce.Journal{Dir: t.TempDir()}, site: folders{dir: t.TempDir(), reads: &sync.WaitGroup{}}, ctx: t.Context()}
	f.engine.Behave = map[string]deploytest.Behaviour{"web:v1": {Health: "healthy"}}
	require.NoError(t, f.engine.Load(t.Context(), bytes.NewReader(deploytest.Archive("web:v1", "v1", "files"))))
	f.id = f.another("web")
	f.write("data/config", "one")
	return f
}

// busy has the service write all the while.
func busy(t *testing.T) *flat {
	t.Helper()
	f := newFlat(t)
	f.writer = newWriter(t, filepath.Join(f.site.dir, "data", "records"))
	return f
}

// another starts a container of the service.
func (f *flat) another(name string) (id string) {
	f.t.Helper()
	ctx := context.Background()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, "web:v1")
	require.NoError(f.t, err)
	id, err = f.engine.Create(ctx, name, spec, map[string]string{deploy.LabelService: "web"})
	require.NoError(f.t, err)
	require.NoError(f.t, f.engine.Start(ctx, id))
	return id
}

func (f *flat) write(name, content string) {
	f.t.Helper()
	path := filepath.Join(f.site.dir, name)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(f.t, os.WriteFile(path, []byte(content), 0o600))
}

func (f *flat) is() *deploy.Container {
	f.t.Helper()
	c, err := f.engine.Container(context.Background(), f.id)
	require.NoError(f.t, err)
	return c
}

// take captures the volume data, and says what came of it.
func (f *flat) take(m quiesce.Method, budget time.Duration, change func(*state.Capturing)) (*state.Capture, map[string]string, error) {
	f.t.Helper()
	m.Timeout = time.Second
	dir := f.t.TempDir()
	copies, err := os.OpenRoot(dir)
	require.NoError(f.t, err)
	defer copies.Close()
	items, _ := state.Captured(&registry.State{Items: []registry.StateItem{{Volume: "data"}}}, false)
	c := state.Capturing{Service: "web", Container: f.is(), Items: items, Method: m, Budget: budget, Copies: copies}
	if change != nil {
		change(&c)
	}
	q := &quiesce.Quiescer{Engine: f.engine, Host: "nas", Journal: f.journal}
	if f.writer != nil {
		q.Engine = written{f.engine, f.writer, f.http}
	}
	capture, err := state.Take(f.ctx, q, f.site, c)
	if f.writer != nil {
		f.writer.goesOn()
		if err == nil && capture.Level != quiesce.None && capture.Level != quiesce.Dump {
			last := checkRecords(f.t, filepath.Join(restored(f.t, c.Copies.Name()), "records"))
			assert.Greater(f.t, last, f.last, "it is not what was captured before")
			f.last = last
		}
	}
	entries, failed := f.journal.Entries()
	require.Empty(f.t, failed)
	require.Empty(f.t, entries, "nothing is left at rest")
	found := map[string]string{}
	require.NoError(f.t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "records" {
			return filepath.SkipDir
		}
		if err == nil && d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			found[strings.TrimPrefix(path, dir+"/")] = string(content)
			return err
		}
		return err
	}))
	return capture, found, err
}

// A copy that is kept for the next capture is captured from without being made again.
func TestTakeIntoAKeptCopy(t *testing.T) {
	f := newFlat(t)
	f.write("data/large", strings.Repeat("x", 1<<20))
	copies := t.TempDir()
	again := func(c *state.Capturing) {
		root, err := os.OpenRoot(copies)
		require.NoError(t, err)
		t.Cleanup(func() { root.Close() })
		c.Copies, c.Keep = root, true
	}
	sent := func() int64 {
		capture, _, err := f.take(quiesce.Method{Kind: quiesce.Stop}, time.Minute, again)
		require.NoError(t, err)
		var all int64
		for _, pass := range capture.Passes {
			all += pass.Sent
		}
		return all
	}
	assert.Greater(t, sent(), int64(1<<20))
	f.write("data/config", "two")
	assert.Less(t, sent(), int64(10_000))
	content, err := os.ReadFile(filepath.Join(copies, "0", "config"))
	require.NoError(t, err)
	assert.Equal(t, "two", string(content))
}

// A copy that is kept has, every time, what was there when the service came to rest.
func TestTakeIntoAKeptCopyOfWhatWrites(t *testing.T) {
	f, copies := busy(t), t.TempDir()
	for _, kind := range []quiesce.Kind{quiesce.Pause, quiesce.Stop, quiesce.Pause} {
		_, _, err := f.take(quiesce.Method{Kind: kind}, time.Minute, func(c *state.Capturing) {
			root, err := os.OpenRoot(copies)
			require.NoError(t, err)
			t.Cleanup(func() { root.Close() })
			c.Copies, c.Keep = root, true
		})
		require.NoError(t, err)
	}
}

// What is captured is what was there when the service came to rest, however it does.
func TestTake(t *testing.T) {
	for _, m := range []quiesce.Method{
		{Kind: quiesce.Stop}, {Kind: quiesce.Pause}, {Kind: quiesce.Exec, Freeze: []string{"freeze"}, Thaw: []string{"thaw"}},
		{Kind: quiesce.HTTP, Freeze: []string{"POST", "http://localhost/freeze"}, Thaw: []string{"POST", "http://localhost/thaw"}},
	} {
		t.Run(string(m.Kind), func(t *testing.T) {
			f := busy(t)
			f.write("data/.homelab-kept/old", "not of the service")
			late := func() { f.write("data/late", "flushed") }
			f.hooks(late)
			f.engine.Fail = func(call string) error {
				if call == "stop" || call == "pause" {
					late()
				}
				return nil
			}
			capture, found, err := f.take(m, time.Minute, nil)
			require.NoError(t, err)
			assert.Equal(t, map[string]string{"0/config": "one", "0/late": "flushed"}, found)
			assert.Equal(t, m.Kind, capture.Level)
			assert.Positive(t, capture.Outage)
			assert.GreaterOrEqual(t, len(capture.Passes), 2, "the last one had little to copy")
			assert.Equal(t, deploy.Running, f.is().State)
		})
	}
}

// A service that does not run is copied once, and stays as it is.
func TestTakeOfWhatDoesNotRun(t *testing.T) {
	f := newFlat(t)
	require.NoError(t, f.engine.Stop(t.Context(), f.id, 0))
	capture, found, err := f.take(quiesce.Method{Kind: quiesce.Pause}, time.Microsecond, nil)
	require.NoError(t, err, "it may take its time")
	assert.Equal(t, map[string]string{"0/config": "one"}, found)
	assert.Equal(t, []any{quiesce.Stop, 1, 0.0}, []any{capture.Level, len(capture.Passes), capture.Outage})
	assert.Equal(t, deploy.Exited, f.is().State)

	capture, found, err = f.take(quiesce.Method{Kind: quiesce.Pause}, time.Minute, func(c *state.Capturing) { c.Container = nil })
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"0/config": "one"}, found)
	assert.Equal(t, quiesce.Stop, capture.Level)
}

// A service that goes on is copied until nothing changes meanwhile. What it dumps is
// there when it is copied.
func TestTakeOfWhatGoesOn(t *testing.T) {
	f := newFlat(t)
	asked := []string{}
	f.engine.Command = func(_ deploy.Container, command []string) (int, string) {
		asked = append(asked, command[0])
		f.write("data/dump", "all of it")
		return 0, ""
	}
	capture, found, err := f.take(quiesce.Method{Kind: quiesce.Dump, Freeze: []string{"dump"}, Thaw: []string{"clean"}}, time.Millisecond, nil)
	require.NoError(t, err)
	assert.Equal(t, "all of it", found["0/dump"])
	assert.Equal(t, []string{"dump", "clean"}, asked)
	assert.Equal(t, []any{quiesce.Dump, 0.0, int64(0)}, []any{capture.Level, capture.Outage, capture.Unsettled})

	capture, _, err = f.take(quiesce.Method{Kind: quiesce.None}, time.Millisecond, nil)
	require.NoError(t, err)
	assert.Equal(t, quiesce.None, capture.Level)
}

// slow is a stream that takes its time, from the moment that it is told to.
type slow struct {
	io.ReadWriteCloser
	by func() time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.by())
	return s.ReadWriteCloser.Read(p)
}

// A service is not put to rest when that would last too long, and woken when it does.
func TestBudget(t *testing.T) {
	f := busy(t)
	f.write("data/config", strings.Repeat("x", 1<<20))
	_, _, err := f.take(quiesce.Method{Kind: quiesce.Stop}, time.Microsecond, nil)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "nothing was stopped")
	assert.Contains(t, fault.Of(err).Hint, "state.downtimeBudget")
	assert.Equal(t, deploy.Running, f.is().State)

	resting := false
	f.engine.Fail = func(call string) error {
		resting = resting || call == "pause"
		return nil
	}
	f.site.each = func(s io.ReadWriteCloser) io.ReadWriteCloser {
		return slow{s, func() time.Duration {
			if resting {
				return 500 * time.Millisecond
			}
			return 0
		}}
	}
	_, _, err = f.take(quiesce.Method{Kind: quiesce.Pause}, 400*time.Millisecond, nil)
	require.True(t, resting)
	assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "it was woken")
	assert.Equal(t, deploy.Running, f.is().State)
}

// What a service needs to come to rest and to wake is of the budget, as far as it is
// known.
func TestBudgetOfAllOfIt(t *testing.T) {
	f := newFlat(t)
	known := func(freeze, wake time.Duration) func(*state.Capturing) {
		return func(c *state.Capturing) { c.Known = state.Pace{Freeze: freeze, Wake: wake} }
	}
	for _, change := range []func(*state.Capturing){known(2*time.Minute, 0), known(0, 2*time.Minute), known(40*time.Second, 40*time.Second)} {
		_, _, err := f.take(quiesce.Method{Kind: quiesce.Stop}, time.Minute, change)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, "nothing was stopped")
		assert.ErrorContains(t, err, "to be there again")
	}
	stopped := false
	f.engine.Fail = func(call string) error {
		stopped = stopped || call == "stop" || call == "pause"
		return nil
	}
	capture, _, err := f.take(quiesce.Method{Kind: quiesce.Pause}, time.Minute, known(10*time.Second, 20*time.Second))
	require.NoError(t, err)
	assert.Greater(t, capture.Parts.Predicted, 30.0)
	assert.InDelta(t, capture.Outage, capture.Parts.Freeze+capture.Parts.Copy+capture.Parts.Wake, 0.001)
	assert.True(t, stopped)

	// The last pass is given up early enough to wake it in time.
	resting := false
	f.engine.Fail = func(call string) error {
		resting = resting || call == "pause"
		return nil
	}
	f.site.each = func(s io.ReadWriteCloser) io.ReadWriteCloser {
		return slow{s, func() time.Duration {
			if resting {
				return 600 * time.Millisecond
			}
			return 0
		}}
	}
	_, _, err = f.take(quiesce.Method{Kind: quiesce.Pause}, time.Minute, known(0, time.Minute-500*time.Millisecond))
	require.True(t, resting)
	assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
}

// How long a service takes is remembered for the way that it rests, and one slow time
// counts for nothing.
func TestPaces(t *testing.T) {
	p := state.Paces{Dir: filepath.Join(t.TempDir(), "pace")}
	assert.Zero(t, p.Of("nas", "web", quiesce.Stop))
	require.NoError(t, p.Note("nas", "web", quiesce.Stop, state.Outage{Freeze: 1, Copy: 100, Wake: 90}))
	require.NoError(t, p.Note("nas", "web", quiesce.Stop, state.Outage{Freeze: 2, Copy: 100, Wake: 4}))
	assert.Equal(t, state.Pace{Freeze: time.Second, Wake: 4 * time.Second}, p.Of("nas", "web", quiesce.Stop))
	assert.Zero(t, p.Of("nas", "web", quiesce.Pause))
	assert.Zero(t, p.Of("nas", "db", quiesce.Stop))
	for range 5 {
		require.NoError(t, p.Note("nas", "web", quiesce.Stop, state.Outage{Freeze: 3, Wake: 9}))
	}
	assert.Equal(t, state.Pace{Freeze: 3 * time.Second, Wake: 9 * time.Second}, p.Of("nas", "web", quiesce.Stop), "it became slower")
	require.NoError(t, os.WriteFile(filepath.Join(p.Dir, "nas", "web.json"), []byte("{"), 0o600))
	assert.Zero(t, p.Of("nas", "web", quiesce.Stop))
	require.NoError(t, p.Note("nas", "web", quiesce.Pause, state.Outage{Freeze: 3, Wake: 9}))
	assert.NotZero(t, p.Of("nas", "web", quiesce.Pause))
	require.NoError(t, p.Note("nas", "web", quiesce.Snapshot, state.Outage{Freeze: 1, Wake: 1}))
	assert.Equal(t, state.Pace{Freeze: time.Second, Wake: time.Second}, p.Of("nas", "web", quiesce.Snapshot))
	assert.Equal(t, p.Of("nas", "web", quiesce.Snapshot), p.Of("nas", "web", quiesce.Pause), "it rests the same way")
}

// Whatever is wrong, the service goes on.
func TestTakeFails(t *testing.T) {
	f := busy(t)
	_, _, err := f.take(quiesce.Method{}, time.Minute, func(c *state.Capturing) {
		c.Items = append(c.Items, registry.StateItem{Volume: "nothing"})
	})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	assert.ErrorContains(t, err, "nothing: there is no volume nothing")

	woken := false
	f.engine.Fail = func(call string) error {
		if call == "unpause" {
			woken = true
		}
		return nil
	}
	f.site.each = func(s io.ReadWriteCloser) io.ReadWriteCloser {
		return &cut{s, func() bool { return f.is().State == deploy.Paused }}
	}
	_, _, err = f.take(quiesce.Method{Kind: quiesce.Pause}, time.Minute, nil)
	require.Error(t, err)
	assert.ErrorContains(t, err, "data: ")
	assert.True(t, woken)
	f.engine.Fail, f.site.each = nil, nil

	_, _, err = f.take(quiesce.Method{Kind: quiesce.Exec, Freeze: []string{"fails"}, Thaw: []string{"x"}}, time.Minute, func(*state.Capturing) {
		f.engine.Command = func(_ deploy.Container, command []string) (int, string) { return len(command[0]) - 1, "" }
	})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Equal(t, deploy.Running, f.is().State)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	f.ctx = cancelled
	_, _, err = f.take(quiesce.Method{Kind: quiesce.Stop}, time.Minute, nil)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, deploy.Running, f.is().State)
}

// Another version that is started on another machine meanwhile makes it a conflict,
// during any pass, and the service goes on.
func TestTakeWhileSomebodyDeploys(t *testing.T) {
	for _, m := range []quiesce.Method{{Kind: quiesce.Stop}, {Kind: quiesce.Pause}, {Kind: quiesce.None}} {
		for _, late := range []bool{false, true} {
			f := busy(t)
			deployed := false
			f.site.each = func(s io.ReadWriteCloser) io.ReadWriteCloser {
				return &cut{s, func() bool {
					if deployed || late && m.Kind != quiesce.None && f.is().State == deploy.Running {
						return false
					}
					deployed = true
					f.another("web-next")
					return false
				}}
			}
			_, _, err := f.take(m, time.Minute, nil)
			require.True(t, deployed)
			assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%s, late %v: %v", m.Kind, late, err)
			assert.ErrorContains(t, err, "web-next")
			assert.Equal(t, deploy.Running, f.is().State)
		}
	}
}

// cut is a stream that breaks.
type cut struct {
	io.ReadWriteCloser
	now func() bool
}

func (c *cut) Read(p []byte) (int, error) {
	if c.now() {
		return 0, io.ErrUnexpectedEOF
	}
	return c.ReadWriteCloser.Read(p)
}

// What is captured is what the registry says: durable items, secret ones only into an
// encrypted bundle, and what lies in another item by itself.
func TestCaptured(t *testing.T) {
	s := &registry.State{Items: []registry.StateItem{
		{Path: "/srv/app", Exclude: []string{"*.log"}}, {Path: "/srv/app/[cache]", Class: "recomputable"},
		{Path: "/srv/app/keys", Class: "secret"}, {Path: "/srv/application"}, {Volume: "data", Class: "durable"},
	}}
	names := func(items []registry.StateItem) (names []string) {
		for _, item := range items {
			names = append(names, item.Name())
		}
		return names
	}
	captured, left := state.Captured(s, false)
	assert.Equal(t, []string{"/srv/app", "/srv/application", "data"}, names(captured))
	assert.Equal(t, []string{"/srv/app/[cache]", "/srv/app/keys"}, names(left))
	assert.Equal(t, []string{".homelab-*/**", "*.log", `\[cache]`, "keys"}, captured[0].Exclude)
	assert.Equal(t, []string{".homelab-*/**"}, captured[1].Exclude)
	captured, left = state.Captured(s, true)
	assert.Equal(t, []string{"/srv/app", "/srv/app/keys", "/srv/application", "data"}, names(captured))
	assert.Equal(t, []string{"/srv/app/[cache]"}, names(left))
}
