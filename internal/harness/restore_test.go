package harness

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
)

// Target is part of [state.Place].
func (k *kept) Target(_ context.Context, _ string, item registry.StateItem) (state.Target, error) {
	path := filepath.Join(k.volumes, item.Volume)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	target, err := swap.OpenFolder(path)
	return state.InPlace{Target: target}, err
}

// View is part of [state.Place].
func (k *kept) View(ctx context.Context, service string, item registry.StateItem) (state.Target, error) {
	if _, err := os.Stat(filepath.Join(k.volumes, item.Volume)); err != nil {
		empty, err := swap.OpenFolder(k.t.TempDir())
		return state.InPlace{Target: empty}, err
	}
	return k.Target(ctx, service, item)
}

func (k *kept) history() string {
	k.t.Helper()
	content, err := os.ReadFile(filepath.Join(k.volumes, "data", "history"))
	require.NoError(k.t, err)
	return string(content)
}

func (k *kept) reads(name, want string) {
	k.t.Helper()
	content, err := os.ReadFile(filepath.Join(k.volumes, name))
	require.NoError(k.t, err)
	assert.Equal(k.t, want, string(content))
}

// bundled is a bundle of the service web, which runs; then its state changes.
func bundled(t *testing.T) (k *kept, bundle string) {
	t.Helper()
	k = newKept(t, `"quiesce": {"kind": "pause"}, "restore": "Log in once."`)
	k.Harness.places = func(deploy.Containers, string) (state.Place, error) { return k, nil }
	k.runs("web", "v1", healthy)
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	k.write("data/history", "what came later")
	return k, report.Bundle
}

func (k *kept) restored(r state.RestoreRequest) (*state.RestoreReport, error) {
	return k.core.StateRestore(k.t.Context(), r, quiet)
}

// confirmed previews, and does it.
func (k *kept) confirmed(r state.RestoreRequest) *state.RestoreReport {
	k.t.Helper()
	preview, err := k.restored(r)
	require.NoError(k.t, err)
	require.Equal(k.t, "preview", preview.State)
	r.Confirm = preview.Unconfirmed()
	done, err := k.restored(r)
	require.NoError(k.t, err)
	assert.Equal(k.t, "succeeded", done.State)
	assert.Empty(k.t, done.Unconfirmed())
	return done
}

// From a bundle to the service that has its state again, back, and rid of the rest.
func TestStateRestore(t *testing.T) {
	k, bundle := bundled(t)
	started := k.containers("nas")
	preview, err := k.restored(state.RestoreRequest{Bundle: bundle})
	require.NoError(t, err)
	assert.Equal(t, []any{"web", "nas", k.store, bundle, true, []string{"cache", "keys"}}, []any{preview.Service, preview.Host, preview.Store, preview.Preview.Bundle, preview.Preview.Stops, preview.Preview.Untouched})
	assert.Equal(t, []string{"Log in once."}, preview.Todo)
	_, err = k.restored(state.RestoreRequest{Bundle: bundle, Confirm: strings.Repeat("0", 12)})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Equal(t, "what came later", k.history())
	assert.Equal(t, started, k.containers("nas"))

	done := k.confirmed(state.RestoreRequest{Bundle: bundle})
	assert.Equal(t, "what happened", k.history())
	assert.Equal(t, []string{"web v1 running"}, k.is("nas"))
	assert.NotEqual(t, started, k.containers("nas"))
	assert.Positive(t, done.Done.Outage)
	require.Len(t, done.Todo, 2)
	assert.Contains(t, done.Todo[1], done.Done.ID)
	j, err := k.jobs.Get(t.Context(), done.JobID)
	require.NoError(t, err)
	assert.Equal(t, "state_restore", j.Tool)

	k.write("data/history", "what came after")
	undone := k.confirmed(state.RestoreRequest{Service: "w", Undo: done.Done.ID})
	assert.Equal(t, "what came later", k.history())
	require.Len(t, undone.Todo, 1)
	left := filepath.Join(k.volumes, "data", swap.Prefix+done.Done.ID+".0")
	assert.DirExists(t, left, "nothing is lost")
	committed := k.confirmed(state.RestoreRequest{Service: "web", Commit: done.Done.ID})
	assert.NoDirExists(t, left)
	assert.Empty(t, committed.Todo)
	assert.Equal(t, "what came later", k.history())
}

// Who only looks makes nothing: a volume that is not there comes with what is confirmed.
func TestPreviewsMakeNoVolume(t *testing.T) {
	k, bundle := bundled(t)
	done := k.confirmed(state.RestoreRequest{Bundle: bundle})
	volume := filepath.Join(k.volumes, "data")
	require.NoError(t, os.RemoveAll(volume))
	preview, err := k.restored(state.RestoreRequest{Bundle: bundle})
	require.NoError(t, err)
	assert.Equal(t, swap.Amount{Entries: 1}, preview.Preview.Items[0].There)
	for _, r := range []state.RestoreRequest{{Service: "web", Undo: done.Done.ID}, {Service: "web", Commit: done.Done.ID}} {
		_, err = k.restored(r)
		assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	}
	assert.NoDirExists(t, volume)
	assert.NoDirExists(t, filepath.Join(k.volumes, "cache"), "nor others of the service")
	k.confirmed(state.RestoreRequest{Bundle: bundle})
	assert.Equal(t, "what happened", k.history())
}

// What is wrong with a request is told before anything is touched.
func TestStateRestoreIsRefused(t *testing.T) {
	k, bundle := bundled(t)
	started := k.containers("nas")
	for name, c := range map[string]struct {
		r    state.RestoreRequest
		code fault.Code
	}{
		"no such bundle":    {state.RestoreRequest{Bundle: "20260101T000000Z-00000000"}, fault.NotFound},
		"another service":   {state.RestoreRequest{Bundle: bundle, Service: "db"}, fault.Precondition},
		"no such item":      {state.RestoreRequest{Bundle: bundle, Items: []string{"dat"}}, fault.NotFound},
		"no such host":      {state.RestoreRequest{Bundle: bundle, Host: "moon"}, fault.NotFound},
		"no such store":     {state.RestoreRequest{Bundle: bundle, Store: "/elsewhere"}, fault.InvalidArgument},
		"no such restore":   {state.RestoreRequest{Service: "web", Undo: "20260101T000000Z-00000000"}, fault.NotFound},
		"no id":             {state.RestoreRequest{Service: "web", Commit: "../../etc"}, fault.InvalidArgument},
		"no service at all": {state.RestoreRequest{Service: "nobody", Commit: "20260101T000000Z-00000000"}, fault.UnknownService},
	} {
		_, err := k.restored(c.r)
		assert.Equal(t, c.code, fault.CodeOf(err), "%s: %v", name, err)
	}
	for name, r := range map[string]state.RestoreRequest{
		"nothing": {}, "two things": {Bundle: bundle, Undo: "x"}, "whose": {Commit: "x"}, "items": {Service: "web", Undo: "x", Items: []string{"data"}}, "later": {Bundle: bundle, Background: true},
	} {
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(r.Validate()), name)
	}
	assert.Equal(t, started, k.containers("nas"))
	assert.Equal(t, "what came later", k.history())
}

// breakOffRestore begins a restore that is killed when all is staged.
func (k *kept) breakOffRestore(bundle string) {
	k.t.Helper()
	w, err := k.newRestoring(k.t.Context(), &state.RestoreRequest{Bundle: bundle})
	require.NoError(k.t, err)
	defer w.close()
	w.say = func(message string) {
		if strings.Contains(message, "verified") {
			panic("killed")
		}
	}
	require.PanicsWithValue(k.t, "killed", func() {
		_ = k.on(k.t.Context(), w.at, func(engine deploy.Containers) error {
			_, err := w.carryOut(context.WithoutCancel(k.t.Context()), engine)
			return err
		})
	})
}

// A restore that was broken off is undone before anything else happens to the service,
// and at the next start of a server.
func TestRestoreIsBrokenOff(t *testing.T) {
	for name, goOn := range map[string]func(k *kept, bundle string){
		"repair": func(k *kept, _ string) {
			report, err := k.core.Repair(k.t.Context(), deploy.RepairRequest{}, quiet)
			require.NoError(k.t, err)
			require.Len(k.t, report.Services, 1)
			assert.Equal(k.t, []any{deploy.Mended, "restore"}, []any{report.Services[0].Status, report.Services[0].Step})
			assert.Contains(k.t, report.Services[0].What, "what was there before is there again")
		},
		"start": func(k *kept, _ string) {
			told := ""
			k.core.Starting(k.t.Context(), func(message string) { told += message })
			assert.Contains(k.t, told, "what was there before is there again")
		},
		"bundle": func(k *kept, _ string) {
			_, err := k.core.StateBundle(k.t.Context(), state.BundleRequest{Service: "web"}, quiet)
			require.NoError(k.t, err)
		},
		"watchdog": func(k *kept, bundle string) {
			left, failed := state.Restores(restores(k.jobs)).Entries()
			require.Empty(k.t, failed)
			require.Len(k.t, left, 1)
			none, err := k.watched(k.jobs, "nas", "web", "another")
			require.NoError(k.t, err)
			assert.Nil(k.t, none)
			w, err := k.watched(k.jobs, "nas", "web", left[0].ID)
			require.NoError(k.t, err)
			require.NoError(k.t, k.on(k.t.Context(), w.at, func(engine deploy.Containers) error { return w.mend(k.t.Context(), engine) }))
			pending, err := w.pending()
			require.NoError(k.t, err)
			assert.False(k.t, pending)
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, bundle := bundled(t)
			k.breakOffRestore(bundle)
			_, err := k.restored(state.RestoreRequest{Bundle: bundle})
			assert.Equal(t, fault.Conflict, fault.CodeOf(err))
			goOn(k, bundle)
			left, failed := state.Restores(restores(k.jobs)).Entries()
			assert.Empty(t, failed)
			assert.Empty(t, left)
			assert.Equal(t, []string{"web v1 running"}, k.is("nas"))
			assert.Equal(t, "what came later", k.history())
			k.confirmed(state.RestoreRequest{Bundle: bundle})
			assert.Equal(t, "what happened", k.history())
		})
	}
}

// A service that is at rest is woken first; a switch that was broken off has to be
// repaired by somebody.
func TestRestoreAmongOthers(t *testing.T) {
	k, bundle := bundled(t)
	engine := k.engines["nas"]
	c, err := engine.Container(t.Context(), "web")
	require.NoError(t, err)
	platform, err := engine.Platform(t.Context())
	require.NoError(t, err)
	preview, err := k.restored(state.RestoreRequest{Bundle: bundle})
	require.NoError(t, err)
	require.NoError(t, rests(k.jobs).Write(&quiesce.Entry{
		Service: "web", Host: "nas", Container: c.ID, Name: c.Name, Engine: platform.ID, Method: quiesce.NewMethod(nil), Limit: time.Minute, Asked: true, Token: "x", Begun: time.Now(),
	}))
	_, err = k.restored(state.RestoreRequest{Bundle: bundle})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "previews change nothing")

	require.NoError(t, rests(k.jobs).Remove("nas", "web"))
	k.breakOff("web", "v2")
	_, err = k.restored(state.RestoreRequest{Bundle: bundle, Confirm: preview.Unconfirmed()})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Equal(t, "what came later", k.history())
}

// What cannot be woken as was once said is woken as the registry says now, whoever does
// it: a repair, or a restore that finds it.
func TestWakesAsTheRegistrySaysNow(t *testing.T) {
	for name, goOn := range map[string]func(k *kept) error{
		"repair": func(k *kept) error {
			report, err := k.core.Repair(k.t.Context(), deploy.RepairRequest{Service: "web"}, quiet)
			require.NoError(k.t, err)
			require.Len(k.t, report.Services, 1)
			if problem := report.Services[0].Problem; problem != nil {
				return &fault.Error{Code: problem.Code, Message: problem.Message}
			}
			return nil
		},
		"before anything else": func(k *kept) error {
			_, reg, err := k.registryAndJobs(k.t.Context())
			require.NoError(k.t, err)
			s, err := subjectOf(reg, "web", "")
			require.NoError(k.t, err)
			return k.on(k.t.Context(), s.at, func(engine deploy.Containers) error {
				awake, err := k.mendFirst(k.t.Context(), engine, k.jobs, s)
				if err == nil {
					awake()
				}
				return err
			})
		},
	} {
		for thaw, wakes := range map[string]bool{"true": true, "false": false} {
			t.Run(name+" with "+thaw, func(t *testing.T) {
				k := newKept(t, `"quiesce": {"kind": "exec", "freeze": ["true"], "thaw": ["`+thaw+`"]}`)
				k.runs("web", "v1", healthy)
				c, err := k.engines["nas"].Container(t.Context(), "web")
				require.NoError(t, err)
				platform, err := k.engines["nas"].Platform(t.Context())
				require.NoError(t, err)
				once := quiesce.NewMethod(&registry.Quiesce{Kind: "exec", Freeze: []string{"true"}, Thaw: []string{"sh", "-c", "exit 1"}})
				require.NoError(t, rests(k.jobs).Write(&quiesce.Entry{
					Service: "web", Host: "nas", Container: c.ID, Name: c.Name, Engine: platform.ID, Started: c.Started, Method: once, Limit: time.Minute, Asked: true, Token: "x", Begun: time.Now(),
				}))
				err = goOn(k)
				assert.Equal(t, wakes, err == nil, "%v", err)
				left, failed := rests(k.jobs).Entries()
				assert.Empty(t, failed)
				assert.Equal(t, wakes, len(left) == 0)
			})
		}
	}
}
