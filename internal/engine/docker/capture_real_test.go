package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/store/dir"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// records is a container called web that writes all the while, into a log and through a
// map, in the volume records.
type records struct {
	t    *testing.T
	e    *docker.Engine
	id   string
	data string // the folder of the volume
	last uint64 // that was captured
}

func newRecords(t *testing.T, l lab) *records {
	t.Helper()
	program := t.TempDir()
	built, err := command.Run(t.Context(), command.Cmd{
		Name: "go", Args: []string{"build", "-buildvcs=false", "-o", program + "/", "./testdata/writer"}, Env: []string{"CGO_ENABLED=0"},
	})
	require.NoError(t, err)
	require.Zero(t, built.Exit, "%s", built.Stderr)
	r := &records{t: t, e: open(t, "unix://"+l.socket), data: l.volume(t, "records", nil)}
	require.NoError(t, r.e.Load(t.Context(), bytes.NewReader(deploytest.BusyboxArchive(t, "real/writer:v1", "exec /program/writer /data"))))
	r.id, err = r.e.Create(t.Context(), "web", deploy.Spec{
		Service: "web", Image: "real/writer:v1", StopGrace: time.Second,
		Mounts: []deploy.Mount{{Volume: "records", Target: "/data"}, {Source: program, Target: "/program", ReadOnly: true}},
	}, map[string]string{deploy.LabelService: "web"})
	require.NoError(t, err)
	require.NoError(t, r.e.Start(t.Context(), r.id))
	return r
}

func (r *records) leave() {
	assert.NoError(r.t, r.e.Stop(r.t.Context(), r.id, 0))
	assert.NoError(r.t, r.e.Remove(r.t.Context(), r.id))
}

// goesOn returns when it has written more.
func (r *records) goesOn() {
	r.t.Helper()
	size := func() int64 {
		info, err := os.Stat(filepath.Join(r.data, "log"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	before := size()
	require.Eventually(r.t, func() bool { return size() > before }, 20*time.Second, 5*time.Millisecond)
}

// are fails unless a tree has what there was at one moment, later than the last one.
func (r *records) are(tree string) {
	r.t.Helper()
	last := treetest.Written(r.t, tree)
	assert.Greater(r.t, last, r.last)
	r.last = last
}

// What writes all the while is captured as it was at one moment, by every way to its
// volume, and goes on.
func TestCaptureOfWhatWrites(t *testing.T) {
	l, folders := newLab(t), sidecars(t)
	r := newRecords(t, l)
	defer r.leave()
	for name, site := range map[string]state.Site{"near": r.e.Site(folders), "by a sidecar": r.e.Aside(folders)} {
		for _, kind := range []quiesce.Kind{quiesce.Stop, quiesce.Pause} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				r.goesOn()
				copies, err := os.OpenRoot(t.TempDir())
				require.NoError(t, err)
				defer copies.Close()
				taken, err := capture(t.Context(), r.e, site, r.id, kind, t.TempDir(), copies)
				require.NoError(t, err)
				assert.Equal(t, kind, taken.Level)
				assert.Positive(t, taken.Outage)
				r.are(filepath.Join(copies.Name(), "0"))
				r.goesOn()
			})
		}
	}
}

// capture captures the volume of records.
func capture(ctx context.Context, e deploy.Containers, site state.Site, id string, kind quiesce.Kind, journal string, copies *os.Root) (*state.Capture, error) {
	c, err := e.Container(ctx, id)
	if err != nil {
		return nil, err
	}
	q := &quiesce.Quiescer{Engine: e, Host: "nas", Journal: quiesce.Journal{Dir: journal}}
	return state.Take(ctx, q, site, state.Capturing{
		Service: "web", Container: c, Items: []registry.StateItem{{Volume: "records"}}, Method: quiesce.Method{Kind: kind, Timeout: 2 * time.Second}, Budget: time.Minute, Copies: copies,
	})
}

// bundleOrder is a bundle for another process, and when that is to kill itself.
type bundleOrder struct {
	Socket, Container, Journal, Copies, Store string
	Kind                                      quiesce.Kind
	Chance                                    int // the first is 0
}

const bundleVariable = "HOMELAB_TEST_BUNDLE"

// obey makes the bundle in a process that ends in the midst of it.
func (o bundleOrder) obey(ctx context.Context) error {
	way, err := dockerhost.Dial(ctx, dockerhost.Endpoint{URL: "unix://" + o.Socket})
	if err != nil {
		return err
	}
	e, err := docker.New(way)
	if err != nil {
		return err
	}
	files, err := dir.Open(o.Store)
	if err != nil {
		return err
	}
	copies, err := os.OpenRoot(o.Copies)
	if err != nil {
		return err
	}
	d := &dying{left: o.Chance}
	d.chance()
	if _, err := capture(ctx, dyingEngine{e, d}, dyingSite{e.Site(nil), d}, o.Container, o.Kind, o.Journal, copies); err != nil {
		return err
	}
	d.chance()
	now := time.Now()
	_, err = state.NewStore(dyingFiles{files, d}).Save(ctx, "web", bundle.Order{ID: state.NewID(now), Program: "test", Created: now, About: json.RawMessage(`{"service":"web"}`), Sources: []bundle.Source{
		{Item: bundle.Item{Name: "records", Kind: "volume", Source: "records"}, Root: copies, At: "0"},
	}})
	d.chance()
	return err
}

// dying is a process that kills itself at one of its chances.
type dying struct{ left int }

func (d *dying) chance() {
	if d.left--; d.left < 0 {
		die()
	}
}

type dyingEngine struct {
	deploy.Containers
	d *dying
}

func (e dyingEngine) Platform(ctx context.Context) (deploy.Platform, error) {
	defer e.d.chance()
	return e.Containers.Platform(ctx)
}
func (e dyingEngine) List(ctx context.Context) ([]deploy.Container, error) {
	defer e.d.chance()
	return e.Containers.List(ctx)
}
func (e dyingEngine) Container(ctx context.Context, ref string) (*deploy.Container, error) {
	defer e.d.chance()
	return e.Containers.Container(ctx, ref)
}
func (e dyingEngine) Stop(ctx context.Context, id string, grace time.Duration) error {
	defer e.d.chance()
	return e.Containers.Stop(ctx, id, grace)
}
func (e dyingEngine) Start(ctx context.Context, id string) error {
	defer e.d.chance()
	return e.Containers.Start(ctx, id)
}
func (e dyingEngine) Pause(ctx context.Context, id string) error {
	defer e.d.chance()
	return e.Containers.Pause(ctx, id)
}
func (e dyingEngine) Unpause(ctx context.Context, id string) error {
	defer e.d.chance()
	return e.Containers.Unpause(ctx, id)
}

type dyingSite struct {
	state.Site
	d *dying
}

func (s dyingSite) Read(ctx context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	defer s.d.chance()
	return s.Site.Read(ctx, item)
}

type dyingFiles struct {
	state.Files
	d *dying
}

func (f dyingFiles) Put(ctx context.Context, name string, content io.Reader) error {
	defer f.d.chance()
	return f.Files.Put(ctx, name, &dyingContent{content, f.d, 3})
}

// dyingContent gives a chance at each of the first reads.
type dyingContent struct {
	io.Reader
	d    *dying
	left int
}

func (c *dyingContent) Read(p []byte) (int, error) {
	if c.left--; c.left >= 0 {
		c.d.chance()
	}
	return c.Reader.Read(p)
}

// Whenever a process that makes a bundle is killed, whoever comes next has the service
// run, the store has all of the bundle or nothing, and the next bundle is made.
func TestBundleIsKilled(t *testing.T) {
	l := newLab(t)
	r := newRecords(t, l)
	defer r.leave()
	program, err := os.Executable()
	require.NoError(t, err)
	for _, kind := range []quiesce.Kind{quiesce.Stop, quiesce.Pause} {
		asleep := 0
		for chance, over := 0, false; !over; chance++ {
			order := bundleOrder{l.socket, r.id, t.TempDir(), t.TempDir(), t.TempDir(), kind, chance}
			text, err := json.Marshal(order)
			require.NoError(t, err)
			done, err := command.Run(t.Context(), command.Cmd{Name: program, Env: []string{bundleVariable + "=" + string(text)}})
			if over = err == nil; over {
				require.Zero(t, done.Exit, "%s", done.Stderr)
			} else {
				require.ErrorContains(t, err, "signal killed")
			}
			if c, err := r.e.Container(t.Context(), r.id); err != nil || c.State != deploy.Running {
				require.NoError(t, err)
				asleep++
			}
			q := &quiesce.Quiescer{Engine: r.e, Host: "nas", Journal: quiesce.Journal{Dir: order.Journal}}
			_, err = q.Wake(t.Context(), "web", "")
			require.NoError(t, err)
			left, failed := q.Journal.Entries()
			require.Empty(t, failed)
			require.Empty(t, left, "%s, chance %d", kind, chance)
			c, err := r.e.Container(t.Context(), r.id)
			require.NoError(t, err)
			require.Equal(t, deploy.Running, c.State, "%s, chance %d", kind, chance)
			stored := r.stored(order.Store)
			assert.False(t, over && !stored)
		}
		assert.Positive(t, asleep, "it was killed while the service was at rest, too")
	}
	r.goesOn()
}

// stored says whether a folder has a bundle, all of which is then what was written.
func (r *records) stored(folder string) bool {
	r.t.Helper()
	files, err := dir.Open(folder)
	require.NoError(r.t, err)
	store := state.NewStore(files)
	kept, err := store.List(r.t.Context(), "")
	require.NoError(r.t, err)
	for _, k := range kept {
		b, err := store.Open(r.t.Context(), "web", k.ID, bundle.Trust{})
		require.NoError(r.t, err)
		into, err := os.OpenRoot(r.t.TempDir())
		require.NoError(r.t, err)
		_, err = b.Extract(r.t.Context(), bundle.Extraction{Targets: []bundle.Target{{Root: into, Name: "records"}}})
		require.NoError(r.t, errors.Join(err, b.Close(), into.Close()))
		r.are(filepath.Join(into.Name(), "records"))
	}
	return len(kept) > 0
}
