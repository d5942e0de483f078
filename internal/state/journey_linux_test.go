package state_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// side is one of two hosts, whose files are in a folder.
type side struct {
	j      *journey
	name   string
	dir    string
	engine *deploytest.Memory
	mu     sync.Mutex
	silent bool
	// impatient gives up the next stop, which goes on.
	impatient bool
	// late has the next create come when nobody waits for it any more.
	late bool
}

// journey is the service web, which runs on the host nas, and the host pi.
type journey struct {
	t       *testing.T
	dir     string
	nas, pi *side
	items   []registry.StateItem
	settled []string
	flush   time.Duration     // that a disk takes for the last
	full    atomic.Bool       // it takes as long for all that comes
	filling atomic.Int64      // how many such disks are written to
	kill    func()            // at every call and every change of a disk; nil: nobody is killed
	meddle  func(call string) // before every call
}

func onJourney(t *testing.T, test func(j *journey)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newJourney(t)) })
}

func newJourney(t *testing.T) *journey {
	t.Helper()
	j := &journey{t: t, dir: t.TempDir(), items: []registry.StateItem{{Volume: "data"}, {Path: "/etc/web.conf"}, {Path: "/srv/none"}}}
	for _, name := range []string{"nas", "pi"} {
		s := &side{j: j, name: name, dir: filepath.Join(j.dir, name), engine: &deploytest.Memory{}}
		s.engine.Behave = map[string]deploytest.Behaviour{"web:v1": {Health: "healthy"}, "web:sick": {Health: "unhealthy"}, "web:slow": {Health: "healthy", Slow: true}}
		for image := range s.engine.Behave {
			require.NoError(t, s.engine.Load(t.Context(), bytes.NewReader(deploytest.Archive(image, image, "files"))))
		}
		for _, folder := range []string{"volumes/data", "etc", "srv"} {
			require.NoError(t, os.MkdirAll(filepath.Join(s.dir, folder), 0o755))
		}
		if name == "nas" {
			j.nas = s
		} else {
			j.pi = s
		}
	}
	j.nas.put("volumes/data/history", "what happened")
	j.nas.put("volumes/data/sub/deep", "down there")
	j.nas.put("volumes/data/.homelab-20250101T000000Z-00000000.0/old/kept", "of an earlier restore")
	j.nas.put("etc/web.conf", "settings")
	j.nas.put("srv/none/page", "page")
	j.pi.put("volumes/data/stale", "of long ago")
	j.nas.runs("v1")
	return j
}

func (s *side) put(name, content string) {
	s.j.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.j.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(s.j.t, os.WriteFile(path, []byte(content), 0o640))
}

func (s *side) runs(version string) {
	s.j.t.Helper()
	spec := s.j.target(version).Spec
	id, err := s.engine.Create(s.j.t.Context(), "web", spec, map[string]string{deploy.LabelService: "web", deploy.LabelGeneration: "3"})
	require.NoError(s.j.t, err)
	require.NoError(s.j.t, s.engine.Start(s.j.t.Context(), id))
}

func (j *journey) target(version string) deploy.Target {
	j.t.Helper()
	spec, err := deploy.NewSpec("web", registry.Service{Deploy: &registry.Deploy{}}, registry.Host{}, "web:"+version)
	require.NoError(j.t, err)
	return deploy.Target{Spec: spec, Labels: map[string]string{deploy.LabelOut: "/nix/store/" + version}, Gate: deploy.Gate{Kind: "docker", Interval: 10 * time.Millisecond, Timeout: 5 * time.Second}}
}

func (s *side) pathOf(item registry.StateItem) string {
	if item.Volume != "" {
		return filepath.Join(s.dir, "volumes", item.Volume)
	}
	return filepath.Join(s.dir, item.Path)
}

var errSilent = fault.New(fault.HostUnreachable, "silent", "")

// down is what every call fails with.
func (s *side) down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent {
		return errSilent
	}
	return nil
}

// hush has a host be silent, or not any more.
func (s *side) hush(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
}

// briefly has it be silent for five seconds.
func (s *side) briefly() {
	s.hush(true)
	time.AfterFunc(5*time.Second, func() { s.hush(false) })
}

// Read is part of [state.Site].
func (s *side) Read(ctx context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	if err := s.down(); err != nil {
		return nil, err
	}
	path := s.pathOf(item)
	folder, name := path, "."
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		folder, name = filepath.Dir(path), filepath.Base(path)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "see its name", "there is no %s", item.Name())
	}
	mine, theirs := net.Pipe()
	source, err := mirror.NewSource(theirs, mirror.Tree{Root: root, Name: name, Exclude: item.Exclude})
	if err != nil {
		return nil, err
	}
	go func() {
		_ = source.Serve(ctx)
		_ = root.Close()
	}()
	return mine, nil
}

// Target is part of [state.Place].
func (s *side) Target(_ context.Context, _ string, item registry.StateItem) (state.Target, error) {
	if err := s.down(); err != nil {
		return nil, err
	}
	open := swap.Open
	if item.Volume != "" {
		if err := os.MkdirAll(s.pathOf(item), 0o755); err != nil {
			return nil, err
		}
		open = swap.OpenFolder
	}
	target, err := open(s.pathOf(item))
	if err != nil {
		return nil, err
	}
	return &frail{state.InPlace{Target: target}, s.j}, nil
}

// View is part of [state.Place].
func (s *side) View(ctx context.Context, service string, item registry.StateItem) (state.Target, error) {
	if item.Volume != "" {
		if _, err := os.Stat(s.pathOf(item)); err != nil {
			empty, err := swap.OpenFolder(s.j.t.TempDir())
			return state.InPlace{Target: empty}, err
		}
	}
	return s.Target(ctx, service, item)
}

// frail is a target that can be killed at every change of the disk, and after the last.
type frail struct {
	state.InPlace
	j *journey
}

// looked is a context that gives a chance to be killed whenever it is looked at.
type looked struct {
	context.Context
	j *journey
}

func (c looked) Err() error {
	c.j.chance("")
	return c.Context.Err()
}

func (f *frail) do(ctx context.Context, what func(context.Context, string) error, id string) error {
	err := what(looked{ctx, f.j}, id)
	f.j.chance("")
	return err
}

func (f *frail) Stage(ctx context.Context, id string) (*os.Root, string, error) {
	return f.InPlace.Stage(looked{ctx, f.j}, id)
}
func (f *frail) Fill(ctx context.Context, id string) (io.ReadWriteCloser, error) {
	f.j.chance("fill")
	stream, err := f.InPlace.Fill(ctx, id)
	if err == nil && f.j.flush > 0 {
		f.j.filling.Add(1)
		stream = &lazy{stream, f.j, f.j.flush}
	}
	return stream, err
}

// lazy is a stream to a disk that takes its time for the last.
type lazy struct {
	io.ReadWriteCloser
	j     *journey
	flush time.Duration
}

func (l *lazy) Write(p []byte) (int, error) {
	if l.j.full.Load() {
		time.Sleep(l.flush)
	}
	return l.ReadWriteCloser.Write(p)
}

func (l *lazy) Close() error {
	time.Sleep(l.flush)
	defer l.j.filling.Add(-1)
	return l.ReadWriteCloser.Close()
}

func (f *frail) Swap(ctx context.Context, id string) error { return f.do(ctx, f.Target.Swap, id) }
func (f *frail) Back(ctx context.Context, id string) error { return f.do(ctx, f.Target.Back, id) }
func (f *frail) Discard(ctx context.Context, id string) error {
	assert.LessOrEqual(f.j.t, f.j.filling.Load(), int64(0), "it is filled still")
	return f.do(ctx, f.Target.Discard, id)
}
func (f *frail) Commit(ctx context.Context, id string) error { return f.do(ctx, f.Target.Commit, id) }

func (j *journey) chance(call string) {
	if j.meddle != nil && call != "" {
		j.meddle(call)
	}
	if j.kill != nil {
		j.kill()
	}
}

// fragile is an engine whose client can be killed before and after each call that
// changes something.
type fragile struct {
	deploy.Containers
	s *side
}

func (e fragile) call(name string, do func() error) error {
	if err := e.s.down(); err != nil {
		return err
	}
	e.s.j.chance(e.s.name + " " + name)
	if err := e.s.down(); err != nil {
		return err
	}
	err := do()
	e.s.j.chance("")
	return err
}

func (e fragile) Platform(ctx context.Context) (p deploy.Platform, err error) {
	err = e.call("platform", func() error { p, err = e.Containers.Platform(ctx); return err })
	p.ID = e.s.name
	return p, err
}
func (e fragile) List(ctx context.Context) (all []deploy.Container, err error) {
	return all, e.call("list", func() error { all, err = e.Containers.List(ctx); return err })
}
func (e fragile) Container(ctx context.Context, ref string) (c *deploy.Container, err error) {
	return c, e.call("container", func() error { c, err = e.Containers.Container(ctx, ref); return err })
}
func (e fragile) Create(ctx context.Context, name string, spec deploy.Spec, labels map[string]string) (id string, err error) {
	return id, e.call("create", func() error {
		if e.s.late {
			e.s.late = false
			time.AfterFunc(time.Hour, func() {
				_, err := e.Containers.Create(context.Background(), name, spec, labels)
				assert.NoError(e.s.j.t, err)
			})
			return context.DeadlineExceeded
		}
		id, err = e.Containers.Create(ctx, name, spec, labels)
		return err
	})
}
func (e fragile) Start(ctx context.Context, id string) error {
	return e.call("start", func() error { return e.Containers.Start(ctx, id) })
}
func (e fragile) Stop(ctx context.Context, id string, grace time.Duration) error {
	return e.call("stop", func() error {
		if e.s.impatient {
			e.s.impatient = false
			var stop func()
			ctx, stop = context.WithTimeout(ctx, time.Millisecond)
			defer stop()
		}
		return e.Containers.Stop(ctx, id, grace)
	})
}
func (e fragile) Remove(ctx context.Context, id string) error {
	return e.call("remove", func() error { return e.Containers.Remove(ctx, id) })
}
func (e fragile) Rename(ctx context.Context, id, name string) error {
	return e.call("rename", func() error { return e.Containers.Rename(ctx, id, name) })
}
func (e fragile) SetRestart(ctx context.Context, id, policy string) error {
	return e.call("policy", func() error { return e.Containers.SetRestart(ctx, id, policy) })
}

func (s *side) end() state.End {
	return state.End{Host: s.name, Engine: fragile{s.engine, s}, Site: s, Place: s}
}

func (j *journey) migrator() *state.Migrator {
	return &state.Migrator{From: j.nas.end(), To: j.pi.end(), Dir: filepath.Join(j.dir, "state"), Settle: func(e *state.MigrateEntry, made *deploy.Container) error {
		j.chance("settle")
		j.settled = append(j.settled, e.Host+" to "+e.To)
		assert.NotNil(j.t, made)
		return nil
	}}
}

func (j *journey) migrating(version string) state.Migrating {
	j.t.Helper()
	return state.Migrating{Service: "web", Container: j.nas.current(), Items: j.items, Target: j.target(version), Budget: time.Minute}
}

func (s *side) current() *deploy.Container {
	s.j.t.Helper()
	c, err := s.engine.Container(context.Background(), "web")
	require.NoError(s.j.t, err)
	return c
}

// is tells of each container: its name, state and restart policy.
func (s *side) is() []string {
	s.j.t.Helper()
	all, err := s.engine.List(context.Background())
	require.NoError(s.j.t, err)
	lines := []string{}
	for _, c := range all {
		lines = append(lines, fmt.Sprintf("%s %s %s", c.Name, c.State, c.Spec.Restart))
	}
	return lines
}

// content is what is in the files, but for what is homelab's, the number of which it tells.
func (s *side) content() (map[string]string, int) {
	s.j.t.Helper()
	return contentOf(s.j.t, s.dir, ".")
}

var (
	itsState = map[string]string{"volumes/data/history": "what happened", "volumes/data/sub/deep": "down there", "etc/web.conf": "settings", "srv/none/page": "page"}
	stale    = map[string]string{"volumes/data/stale": "of long ago"}
)

// stayed fails unless the service is where it was, and nothing is left on the other host.
func (j *journey) stayed(about ...any) {
	j.t.Helper()
	require.Equal(j.t, []string{"web running unless-stopped"}, j.nas.is(), about...)
	require.Empty(j.t, j.pi.is(), about...)
	content, _ := j.nas.content()
	require.Equal(j.t, itsState, content, about...)
	content, ours := j.pi.content()
	require.Equal(j.t, stale, content, about...)
	require.Zero(j.t, ours, about...)
	j.idle(about...)
}

// gone fails unless it has moved.
func (j *journey) gone(about ...any) {
	j.t.Helper()
	require.Equal(j.t, []string{"web.g3-moved-to-pi exited no"}, j.nas.is(), about...)
	require.Equal(j.t, []string{"web running unless-stopped"}, j.pi.is(), about...)
	content, _ := j.nas.content()
	require.Equal(j.t, itsState, content, about...)
	content, ours := j.pi.content()
	require.Equal(j.t, itsState, content, about...)
	require.Equal(j.t, 1, ours, about...) // what was there before
	require.NotEmpty(j.t, j.settled, about...)
	j.idle(about...)
}

func (j *journey) idle(about ...any) {
	j.t.Helper()
	left, failed := state.Migrations(filepath.Join(j.dir, "state")).Entries()
	require.Empty(j.t, failed, about...)
	require.Empty(j.t, left, about...)
}
