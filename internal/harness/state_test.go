package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/mirror"
	"homelab/internal/quiesce"
	"homelab/internal/rollout"
	"homelab/internal/state"
	"homelab/internal/store/dir"
	"homelab/registry"
)

// TestMain ends what a test starts as its watchdog: its engines are in memory, and not
// in that process. The real one is tested end to end.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "state" && os.Args[2] == "watch" {
		os.Exit(watchForTest())
	}
	os.Exit(m.Run())
}

// watchForTest is what a watchdog is in tests: it may be one that ends, or that never
// gets there.
func watchForTest() int {
	alive := command.Inherited()
	switch os.Getenv("WATCHDOG") {
	case "ends":
		return 1
	case "hangs":
	default:
		if _, err := io.WriteString(alive, ready); err != nil {
			return 1
		}
	}
	_, _ = io.Copy(io.Discard, alive)
	return 0
}

// A service is put to rest when the watchdog is there, and not before. It needs
// nothing of the repository.
func TestWatchdogIsThere(t *testing.T) {
	within := readyWithin
	t.Cleanup(func() { readyWithin = within })
	for how, says := range map[string]string{"ends": "ended at once", "hangs": "did not come up"} {
		k := newKept(t, `"quiesce": {"kind": "stop"}`)
		k.runs("web", "v1", healthy)
		before := k.containers("nas")
		t.Setenv("WATCHDOG", how)
		if readyWithin = within; how == "hangs" {
			readyWithin = 200 * time.Millisecond
		}
		_, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
		assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, says)
		assert.Contains(t, fault.Of(err).Hint, "watchdog.log")
		assert.Equal(t, before, k.containers("nas"), "it was never stopped")
		left, failed := rests(k.jobs).Entries()
		assert.Empty(t, failed)
		assert.Empty(t, left)
	}
}

// kept is an estate whose service web has state: a volume, which is a folder here.
type kept struct {
	*estate
	volumes, store string
	reading        sync.WaitGroup // that are under way
}

func newKept(t *testing.T, quiesce string) *kept {
	t.Helper()
	e := newEstate(t)
	k := &kept{estate: e, volumes: t.TempDir(), store: t.TempDir()}
	text := strings.Replace(estateRegistry, `"hints": ["web"], "deploy": {"host": "nas"}`, `"hints": ["web"], "deploy": {"host": "nas"},
		"state": {"items": [{"volume": "data"}, {"volume": "cache", "class": "recomputable"}, {"volume": "keys", "class": "secret"}],
			"stores": ["`+k.store+`"], "backup": "Say hello.", `+quiesce+`}`, 1)
	require.NoError(t, os.WriteFile(filepath.Join(e.cfg.Repo, "homelab.json"), []byte(text), 0o644))
	e.Harness.stores = func(at registry.Store, _ string) (state.Store, error) {
		files, err := dir.Open(at.Path)
		if err != nil {
			return nil, err
		}
		return state.NewStore(files), nil
	}
	e.Harness.sites = func(deploy.Containers) (state.Site, error) { return k, nil }
	k.write("data/history", "what happened")
	k.write("keys/token", "secret")
	return k
}

func (k *kept) write(name, content string) {
	k.t.Helper()
	path := filepath.Join(k.volumes, name)
	require.NoError(k.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(k.t, os.WriteFile(path, []byte(content), 0o600))
}

// Read is part of [state.Site].
func (k *kept) Read(ctx context.Context, item registry.StateItem) (io.ReadWriteCloser, error) {
	root, err := os.OpenRoot(filepath.Join(k.volumes, item.Volume))
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "see its name", "there is no volume %s", item.Volume)
	}
	here, there := net.Pipe()
	source, err := mirror.NewSource(there, mirror.Tree{Root: root, Exclude: item.Exclude})
	if err != nil {
		return nil, err
	}
	k.reading.Go(func() {
		_ = source.Serve(ctx)
		_ = source.Close()
		_ = root.Close()
	})
	return here, nil
}

// From the registry to a bundle that is found, verified and damaged.
func TestBundles(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "pause"}`)
	k.runs("web", "v1", healthy)
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "w"}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{"web", "nas", k.store, int64(2), int64(13), false}, []any{report.Service, report.Host, report.Store, report.Entries, report.Bytes, report.Sealed})
	assert.Equal(t, []string{"cache", "keys"}, report.About.Left, "secrets go into encrypted bundles only")
	assert.Equal(t, []any{quiesce.Pause, "v1", "/nix/store/v1", 1, "web"}, []any{report.About.Consistency, report.About.Revision, report.About.Out, report.About.Generation, report.About.Container})
	assert.Positive(t, report.Outage)
	assert.InDelta(t, report.Outage, report.Parts.Freeze+report.Parts.Copy+report.Parts.Wake, 0.001)
	assert.Positive(t, state.Paces{Dir: filepath.Join(k.jobs.Dir, "pace")}.Of("nas", "web", quiesce.Pause).Wake, "the next one counts with it")
	assert.Equal(t, []string{"web v1 running"}, k.is("nas"))
	left, err := os.ReadDir(filepath.Join(k.jobs.Dir, "captures"))
	require.NoError(t, err)
	assert.Empty(t, left)

	list := func() *state.Listing {
		listing, err := k.core.StateList(t.Context(), state.ListRequest{})
		require.NoError(t, err)
		return listing
	}
	found := list()
	require.Equal(t, 1, found.Count)
	assert.Equal(t, []any{report.Bundle, "web", report.Size, ""}, []any{found.Bundles[0].ID, found.Bundles[0].Service, found.Bundles[0].Size, found.Bundles[0].Verified})
	shallow, err := k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{false, []string{"data"}, "Say hello."}, []any{shallow.Deep, shallow.Items, shallow.About.Backup})
	assert.Empty(t, list().Bundles[0].Verified)
	deep, err := k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle, Deep: true}, quiet)
	require.NoError(t, err)
	assert.Equal(t, report.Index, deep.Index)
	assert.NotEmpty(t, list().Bundles[0].Verified)

	path := filepath.Join(k.store, "web", report.Bundle+".bundle")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err = k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle, Deep: true}, quiet)
	assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err))
	assert.Empty(t, list().Bundles[0].Verified, "not any more")
	_, err = k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: "20260101T000000Z-00000000"}, quiet)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
}

// What cannot be captured is named, in the answer and in the bundle, and counted.
func TestNotCaptured(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "pause"}`)
	for i := range 150 {
		require.NoError(t, syscall.Mkfifo(filepath.Join(k.volumes, "data", fmt.Sprintf("pipe%03d", i)), 0o600))
	}
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	assert.Equal(t, int64(150), report.Skipped)
	assert.Contains(t, report.Warnings, "not captured, as it is neither file, folder nor link: data/pipe000 (fifo), data/pipe001 (fifo), data/pipe002 (fifo) and 147 more")
	verified, err := k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle}, quiet)
	require.NoError(t, err)
	assert.Equal(t, int64(150), verified.About.Skipped)
	require.Len(t, verified.About.Noted, 100)
	assert.Equal(t, "data/pipe099 (fifo)", verified.About.Noted[99])
}

// Containers of others that may write to what is captured are named.
func TestOthersWriteToo(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "pause"}`)
	k.runs("web", "v1", healthy)
	engine := k.engines["nas"]
	current, err := engine.Container(t.Context(), "web")
	require.NoError(t, err)
	for name, m := range map[string]deploy.Mount{
		"nightly": {Volume: "data", Target: "/in"}, "reader": {Volume: "data", Target: "/in", ReadOnly: true}, "cacher": {Volume: "cache", Target: "/in"},
	} {
		id, err := engine.Create(t.Context(), name, deploy.Spec{Service: name, Image: current.Spec.Image, Mounts: []deploy.Mount{m}}, nil)
		require.NoError(t, err)
		require.NoError(t, engine.Start(t.Context(), id))
		engine.Disown(id)
	}
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	assert.Contains(t, report.Warnings, "data may be written to while it is captured, by what is not put to rest: container nightly")
	assert.NotContains(t, strings.Join(report.Warnings, " "), "reader")
	assert.NotContains(t, strings.Join(report.Warnings, " "), "cacher")
	itself, err := writers(t.Context(), engine, &deploy.Container{Name: "nightly"}, []registry.StateItem{{Volume: "data"}})
	require.NoError(t, err)
	assert.Empty(t, itself, "it is what is captured")
}

// What is wrong with a request is told before anything is put to rest.
func TestBundleIsRefused(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "stop"}`)
	k.runs("web", "v1", healthy)
	started := k.containers("nas")
	for _, c := range []struct {
		name string
		in   state.BundleRequest
		code fault.Code
	}{
		{"no such service", state.BundleRequest{Service: "wbe"}, fault.UnknownService},
		{"no state", state.BundleRequest{Service: "db"}, fault.Precondition},
		{"a store of its own", state.BundleRequest{Service: "web", Store: t.TempDir()}, fault.InvalidArgument},
		{"no such host", state.BundleRequest{Service: "web", Host: "attic"}, fault.NotFound},
	} {
		_, err := k.core.StateBundle(t.Context(), c.in, quiet)
		assert.Equal(t, c.code, fault.CodeOf(err), "%s: %v", c.name, err)
	}
	require.NoError(t, os.Remove(k.store))
	_, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	require.NoError(t, os.Mkdir(k.store, 0o700))
	t.Setenv(identityVariable, filepath.Join(t.TempDir(), "nothing"))
	_, err = k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Contains(t, fault.Of(err).Hint, identityVariable)
	t.Setenv(identityVariable, "")

	run, err := k.jobs.Begin(t.Context(), job.Spec{Tool: "deploy", Services: []string{"web"}})
	require.NoError(t, err)
	_, err = k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	assert.Equal(t, fault.Locked, fault.CodeOf(err))
	require.ErrorIs(t, run.Fail(errKilled), errKilled)
	assert.Equal(t, started, k.containers("nas"), "it was never stopped")
}

var errKilled = errors.New("killed")

// containers tells since when those of a host run.
func (e *estate) containers(host string) map[string]time.Time {
	e.t.Helper()
	all, err := e.engines[host].List(e.t.Context())
	require.NoError(e.t, err)
	since := map[string]time.Time{}
	for _, c := range all {
		since[c.ID] = c.Started
	}
	return since
}

// A service that a killed process left at rest is woken: by repair, when a server
// starts, and by the next bundle.
func TestLeftAtRest(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "stop"}`)
	k.runs("web", "v1", healthy)
	rest := func() {
		t.Helper()
		current, err := k.engines["nas"].Container(t.Context(), "web")
		require.NoError(t, err)
		q := &quiesce.Quiescer{Engine: told{k.engines["nas"], k.id}, Host: "nas", Journal: rests(k.jobs)}
		_, err = q.Begin(t.Context(), "web", current, quiesce.NewMethod(nil), time.Minute)
		require.NoError(t, err)
		assert.Equal(t, []string{"web v1 exited"}, k.is("nas"))
	}
	rest()
	repaired, err := k.core.Repair(t.Context(), deploy.RepairRequest{}, quiet)
	require.NoError(t, err)
	require.Len(t, repaired.Services, 1)
	assert.Equal(t, []any{deploy.Mended, "it runs again", "wake"}, []any{repaired.Services[0].Status, repaired.Services[0].What, repaired.Services[0].Step})
	assert.Equal(t, []string{"web v1 running"}, k.is("nas"))

	rest()
	said := []string{}
	k.mendAtStart(t.Context(), func(line string) { said = append(said, line) })
	assert.Equal(t, []string{"web v1 running"}, k.is("nas"))
	assert.Len(t, said, 1)

	rest()
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(report.Warnings, " "), "it runs again")
	assert.Equal(t, []string{"web v1 running"}, k.is("nas"))
}

// A service that was left at rest is woken before another version takes its place: it
// is no service that somebody has stopped. Two versions that run are not captured.
func TestRollbackOfWhatIsAtRest(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "stop"}`)
	k.runs("web", "v1", healthy)
	k.runs("web", "v2", healthy)
	current, err := k.engines["nas"].Container(t.Context(), "web")
	require.NoError(t, err)
	q := &quiesce.Quiescer{Engine: told{k.engines["nas"], k.id}, Host: "nas", Journal: rests(k.jobs)}
	_, err = q.Begin(t.Context(), "web", current, quiesce.NewMethod(nil), time.Minute)
	require.NoError(t, err)
	preview, err := k.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	back, err := k.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web", Confirm: preview.PreviewID}, quiet)
	require.NoError(t, err)
	require.Nil(t, back.Services[0].Problem)
	assert.Equal(t, 2, back.Services[0].Run.Before, "it ran again")
	left, failed := rests(k.jobs).Entries()
	assert.Empty(t, failed)
	assert.Empty(t, left)

	older, err := k.engines["nas"].Container(t.Context(), "web.g2")
	require.NoError(t, err)
	require.NoError(t, k.engines["nas"].Start(t.Context(), older.ID))
	_, err = k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "%v", err)
}

// Copies that a killed process left go with the next bundle, and nobody else's.
func TestCopiesThatWereLeft(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "none"}`)
	running, err := k.jobs.Begin(t.Context(), job.Spec{Tool: bundleTool, Services: []string{"db"}})
	require.NoError(t, err)
	for _, id := range []string{"state_bundle-20260101-000000000-dead", running.ID} {
		require.NoError(t, os.MkdirAll(filepath.Join(k.jobs.Dir, "captures", id), 0o700))
	}
	_, err = k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err, "it has no container, and so is at rest")
	left, err := os.ReadDir(filepath.Join(k.jobs.Dir, "captures"))
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.Equal(t, running.ID, left[0].Name())
	require.ErrorIs(t, running.Fail(errKilled), errKilled)
}

// The copies for restic stay, but for those with secrets.
func TestCopiesForRestic(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "none"}`)
	path := filepath.Join(k.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	k.Harness.stores = func(registry.Store, string) (state.Store, error) {
		files, err := dir.Open(k.store)
		return state.NewStore(files), err
	}
	take := func(class string) []string {
		t.Helper()
		changed := strings.NewReplacer(`"`+k.store+`"`, `"restic:`+k.store+`"`, `"class": "secret"`, `"class": "`+class+`"`).Replace(string(text))
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
		_, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
		require.Equal(t, class == "secret", err != nil, "this store is no restic, and keeps no secrets: %v", err)
		found, err := filepath.Glob(filepath.Join(k.jobs.Dir, "copies", "nas", "web", "*"))
		require.NoError(t, err)
		for i, at := range found {
			found[i] = filepath.Base(at)
		}
		return found
	}
	both := []string{"0", "0.memory", "1", "1.memory"}
	assert.Equal(t, both, take("durable"))
	first, err := os.Stat(filepath.Join(k.jobs.Dir, "copies", "nas", "web", "0", "history"))
	require.NoError(t, err)
	assert.Equal(t, both, take("durable"))
	again, err := os.Stat(filepath.Join(k.jobs.Dir, "copies", "nas", "web", "0", "history"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(first, again), "it is the same copy")
	assert.Empty(t, take("secret"))
}

// A bundle is encrypted for those whom the registry names, and then holds secrets.
func TestBundleForSomebody(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "none"}`)
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	path := filepath.Join(k.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), `"version": 1,`, `"version": 1, "bundles": {"recipients": ["`+recipient+`"]},`, 1)), 0o644))
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	assert.True(t, report.Sealed)
	assert.Equal(t, []string{"cache"}, report.About.Left)
	_, err = k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle}, quiet)
	require.Error(t, err, "nobody here has a key")
	assert.NotEmpty(t, fault.Of(err).Hint)
	listing, err := k.core.StateList(t.Context(), state.ListRequest{Service: "web"})
	require.NoError(t, err)
	assert.Equal(t, 1, listing.Count, "it is listed all the same")
	raw, err := json.Marshal(listing)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "null")
}
