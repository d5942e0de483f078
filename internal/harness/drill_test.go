package harness

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/swap"
	"homelab/registry"
	"homelab/tools"
)

// Fill is part of [state.FillableSite].
func (k *kept) Fill(ctx context.Context, item registry.StateItem, privileged bool) (io.ReadWriteCloser, error) {
	if err := os.MkdirAll(filepath.Join(k.volumes, item.Volume), 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Join(k.volumes, item.Volume))
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	sink, err := mirror.NewSink(there, mirror.Place{Root: root, Name: ".", Privileged: privileged})
	if err != nil {
		return nil, err
	}
	go func() {
		_ = sink.Serve(ctx)
		_ = root.Close()
	}()
	return here, nil
}

// Room is part of [state.FillableSite].
func (k *kept) Room(ctx context.Context, _ registry.StateItem) (*swap.Found, error) {
	folder, err := swap.OpenFolder(k.volumes)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Look(ctx, 0)
}

// edit edits the registry.
func (k *kept) edit(before, after string) {
	k.t.Helper()
	path := filepath.Join(k.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(k.t, err)
	require.Contains(k.t, string(text), before)
	require.NoError(k.t, os.WriteFile(path, []byte(strings.Replace(string(text), before, after, 1)), 0o644))
}

// newDrilled has a service with state that runs, and a bundle of that.
func newDrilled(t *testing.T) (k *kept, bundle string) {
	t.Helper()
	k = newKept(t, `"quiesce": {"kind": "none"}`)
	k.edit(`"deploy": {"host": "nas"}`, `"deploy": {"host": "nas", "ports": ["8080:8080"], "labels": {"proxy": "on"},
		"volumes": [{"name": "data", "target": "/data"}, {"name": "cache", "target": "/cache"}],
		"health": {"kind": "docker", "interval": "10ms", "timeout": "2s"}}`)
	k.runs("web", "v1", healthy)
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	return k, report.Bundle
}

// clean says that there is nothing of drills, and that the service goes on as it was.
func (k *kept) clean(since map[string]time.Time) {
	k.t.Helper()
	assert.Empty(k.t, k.engines["nas"].Drilled())
	assert.Equal(k.t, since, k.containers("nas"), "it was never stopped")
	entries, failed := drillJournal(k.jobs).Entries()
	assert.Empty(k.t, entries)
	assert.Empty(k.t, failed)
	left, err := filepath.Glob(filepath.Join(k.jobs.Dir, "captures", "*"))
	require.NoError(k.t, err)
	assert.Empty(k.t, left)
	content, err := os.ReadFile(filepath.Join(k.volumes, "data", "history"))
	require.NoError(k.t, err)
	assert.Equal(k.t, "what happened since", string(content))
}

// A bundle is tried in a copy that has nothing of the service, and is verified by it.
func TestDrill(t *testing.T) {
	k, bundle := newDrilled(t)
	k.write("data/history", "what happened since")
	since := k.containers("nas")
	engine := k.engines["nas"]
	var tried *deploy.Container
	engine.Fail = func(call string) error {
		if call != "start" {
			return nil
		}
		engine.Fail = nil
		for _, name := range engine.Drilled() {
			if c, err := engine.Container(context.Background(), name); err == nil && c != nil {
				tried = c
			}
		}
		return nil
	}
	report, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	require.NoError(t, err)
	assert.Nil(t, report.Problem)
	assert.Equal(t, []any{"passed", bundle, "web", "nas", k.store, "container", "docker", []string{"data"}, int64(2), int64(13), []string{}},
		[]any{report.State, report.Bundle, report.Service, report.Host, report.Store, report.ImageFrom, report.Gate, report.Items, report.Entries, report.Bytes, report.Log})
	assert.Equal(t, []string{"cache was empty in the copy: the bundle does not have it"}, report.Warnings)
	assert.Positive(t, report.Seconds)
	require.NotNil(t, tried)
	volumes := []deploy.Mount{{Volume: deploy.DrillVolume(report.JobID, "0"), Target: "/cache"}, {Volume: deploy.DrillVolume(report.JobID, "1"), Target: "/data"}}
	assert.Equal(t, volumes, tried.Spec.Mounts)
	assert.Equal(t, []any{[]deploy.Port{}, []string{deploy.DrillName(report.JobID)}, "no", map[string]string{deploy.LabelDrill: report.JobID}},
		[]any{tried.Spec.Ports, tried.Spec.Networks, tried.Spec.Restart, tried.Labels})
	content, err := os.ReadFile(filepath.Join(k.volumes, volumes[1].Volume, "history"))
	require.NoError(t, err)
	assert.Equal(t, "what happened", string(content), "as it is in the bundle")
	k.clean(since)
	listing, err := k.core.StateList(t.Context(), state.ListRequest{})
	require.NoError(t, err)
	assert.NotEmpty(t, listing.Bundles[0].Verified)

	running, err := k.jobs.Begin(t.Context(), job.Spec{Tool: deployTool, Services: []string{"web"}})
	require.NoError(t, err)
	_, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	require.NoError(t, err, "who deploys the service is not in the way, nor waits")
	require.ErrorIs(t, running.Fail(errKilled), errKilled)

	// Without a container it is the image that the bundle was made with.
	engine.Vanish(report.About.Container)
	for id := range k.containers("nas") {
		engine.Vanish(id)
	}
	report, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{"passed", "bundle"}, []any{report.State, report.ImageFrom})
	k.engines["nas"] = &deploytest.Memory{}
	_, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.Contains(t, fault.Of(err).Hint, "docker_load")
	k.clean(map[string]time.Time{})
}

// A service that does not start with a bundle is the result of the drill; what was
// never tried is an error.
func TestDrillFails(t *testing.T) {
	k, bundle := newDrilled(t)
	k.write("data/history", "what happened since")
	k.runs("web", "v2", deploytest.Behaviour{Health: "healthy", Says: []string{"newer"}})
	since := k.containers("nas")
	drill := func() (*state.DrillReport, error) {
		return k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	}
	current, err := k.engines["nas"].Container(t.Context(), "web")
	require.NoError(t, err)
	for name, b := range map[string]deploytest.Behaviour{"sick": {Health: "unhealthy", Says: []string{"no such table"}}, "over": {Ends: true, Exit: 3, Says: []string{"no such table"}}} {
		k.engines["nas"].Behave = map[string]deploytest.Behaviour{current.ImageID: b}
		report, err := drill()
		require.NoError(t, err)
		assert.Equal(t, []any{"failed", fault.Unhealthy, fault.Unhealthy}, []any{report.State, report.Code(), report.Problem.Code}, name)
		require.Len(t, report.Log, 1, name)
		assert.Contains(t, report.Log[0], "no such table")
		assert.Contains(t, strings.Join(report.Warnings, " "), "was another image")
		assert.NotEmpty(t, report.Index, "it is what was written all the same")
		k.clean(since)
	}
	k.edit(`"volumes": [{"name": "data"`, `"envFiles": ["/run/web.env"], "volumes": [{"name": "data"`)
	report, err := drill()
	require.NoError(t, err)
	assert.Empty(t, report.Log, "it may print its secrets")
	assert.NotContains(t, fmt.Sprint(report), "no such table")
	assert.Contains(t, strings.Join(report.Warnings, " "), "secrets of the env files")
	k.clean(since)

	made := []string{}
	k.engines["nas"].Fail = func(call string) error { made = append(made, call); return nil }
	_, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: "20260101T000000Z-00000000"}, quiet)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	_, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle, Host: "attic"}, quiet)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	path := filepath.Join(k.store, "web", bundle+".bundle")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[len(content)-30] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err = drill()
	assert.Equal(t, fault.BundleCorrupt, fault.CodeOf(err), "%v", err)
	assert.NotContains(t, made, "isolate", "nothing is made of what is damaged")
	listing, err := k.core.StateList(t.Context(), state.ListRequest{})
	require.NoError(t, err)
	assert.Empty(t, listing.Bundles[0].Verified)
	k.clean(since)
}

// A bundle for which nobody here has a key is not tried.
func TestDrillWithoutAKey(t *testing.T) {
	k, _ := newDrilled(t)
	k.write("data/history", "what happened since")
	k.edit(`"version": 1,`, `"version": 1, "bundles": {"recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]},`)
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	since := k.containers("nas")
	_, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: report.Bundle}, quiet)
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "no key")
	k.clean(since)
}

// Whatever call of the engine fails, is canceled, or is the last one before a kill:
// nothing stays but what the next drill or a repair removes.
func TestDrillIsBrokenOff(t *testing.T) {
	k, bundle := newDrilled(t)
	k.write("data/history", "what happened since")
	since := k.containers("nas")
	calls := []string{}
	engine := k.engines["nas"]
	engine.Fail = func(call string) error { calls = append(calls, call); return nil }
	_, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	require.NoError(t, err)
	require.Contains(t, calls, "clear")
	for at, name := range calls {
		if name == "clear" {
			break // it is over then
		}
		n := 0
		t.Run(fmt.Sprintf("%d %s fails", at, name), func(t *testing.T) {
			n = 0
			engine.Fail = func(string) error {
				if n++; n == at+1 {
					return errKilled
				}
				return nil
			}
			_, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
			assert.ErrorIs(t, err, errKilled)
			k.clean(since)
		})
		t.Run(fmt.Sprintf("%d %s canceled", at, name), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n = 0
			engine.Fail = func(string) error {
				if n++; n == at+1 {
					cancel()
				}
				return nil
			}
			_, err := k.core.StateDrill(ctx, state.DrillRequest{Bundle: bundle}, quiet)
			assert.ErrorIs(t, err, context.Canceled)
			k.clean(since)
		})
		t.Run(fmt.Sprintf("%d %s killed", at, name), func(t *testing.T) {
			n = 0
			engine.Fail = func(string) error {
				if n++; n > at {
					return errKilled
				}
				return nil
			}
			_, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
			assert.ErrorIs(t, err, errKilled)
			engine.Fail = nil
			if at%2 == 0 {
				repaired, err := k.core.Repair(t.Context(), deploy.RepairRequest{}, quiet)
				require.NoError(t, err)
				for _, s := range repaired.Services {
					assert.Equal(t, []any{"web", "nas", "drill", deploy.Mended}, []any{s.Service, s.Host, s.Step, s.Status})
				}
			} else {
				_, err = k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
				require.NoError(t, err)
			}
			k.clean(since)
		})
	}
}

// A copy that cannot be removed is told, stays on record, and is removed when a server
// starts.
func TestDrillThatStays(t *testing.T) {
	k, bundle := newDrilled(t)
	k.write("data/history", "what happened since")
	since := k.containers("nas")
	engine := k.engines["nas"]
	engine.Fail = func(call string) error {
		if call == "clear" {
			return fault.New(fault.Conflict, "volume is in use", "wait")
		}
		return nil
	}
	report, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	require.NoError(t, err)
	require.NotNil(t, report.Left)
	assert.Equal(t, []any{"passed", fault.Conflict, "volume is in use"}, []any{report.State, report.Code(), report.Left.Message})
	assert.NotEmpty(t, engine.Drilled())
	repaired, err := k.core.Repair(t.Context(), deploy.RepairRequest{}, quiet)
	require.NoError(t, err)
	assert.Equal(t, fault.Conflict, repaired.Code())
	again, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, quiet)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(again.Warnings, " "), "what an earlier drill left is still there")
	engine.Fail = nil
	said := []string{}
	k.mendAtStart(t.Context(), func(line string) { said = append(said, line) })
	assert.Len(t, said, 2)
	k.clean(since)
}

// A drill is none of the background's business but its own: as a job of its own it is
// asked for, and one that is under way is left alone by a repair.
func TestDrillsAtOnce(t *testing.T) {
	k, bundle := newDrilled(t)
	k.write("data/history", "what happened since")
	since := k.containers("nas")
	other := make(chan *state.DrillReport)
	report, err := k.core.StateDrill(t.Context(), state.DrillRequest{Bundle: bundle}, func(p tools.Progress) {
		if !strings.HasPrefix(p.Message, "waiting") {
			return
		}
		go func() {
			second, err := k.core.StateDrill(context.Background(), state.DrillRequest{Bundle: bundle}, quiet)
			assert.NoError(t, err)
			repaired, err := k.core.Repair(context.Background(), deploy.RepairRequest{}, quiet)
			assert.NoError(t, err)
			assert.Empty(t, repaired.Services)
			other <- second
		}()
		assert.Equal(t, "passed", (<-other).State)
	})
	require.NoError(t, err)
	assert.Equal(t, "passed", report.State)
	k.clean(since)
}
