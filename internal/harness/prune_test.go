package harness

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/tools"
)

// load has an image on a host under a pin, and under another name.
func (e *estate) load(host, pin, own string) string {
	e.t.Helper()
	engine := e.engines[host]
	require.NoError(e.t, engine.Load(e.t.Context(), bytes.NewReader(deploytest.Archive(pin, pin, "x"))))
	i, err := engine.Image(e.t.Context(), pin)
	require.NoError(e.t, err)
	require.NoError(e.t, engine.Tag(e.t.Context(), i.ID, own))
	return i.ID
}

// What is not needed goes, on every host that answers, after a look at it.
func TestPrune(t *testing.T) {
	e := newEstate(t)
	ask := func(r deploy.PruneRequest) (*deploy.PruneReport, error) {
		return e.core.DockerPrune(t.Context(), r, quiet)
	}
	none, err := ask(deploy.PruneRequest{})
	require.NoError(t, err)
	assert.Equal(t, []any{"preview", 2, "", ""}, []any{none.State, len(none.Hosts), none.Unconfirmed(), string(none.Code())})

	const pinA, pinB = "homelab/web:nix-00000000000000000000000000000000", "homelab/db:nix-00000000000000000000000000000000"
	e.load("nas", pinA, "homelab/web:latest")
	e.load("pi", pinB, "homelab/db:latest")
	e.load("nas", "homelab/db:nix-11111111111111111111111111111111", "nginx:1.25") // somebody's
	for _, version := range []string{"v1", "v2", "v3"} {
		e.runs("web", version, healthy)
	}
	e.runs("web", "v4", healthy)
	_, err = e.engines["nas"].Create(t.Context(), "web.g9", deploy.Spec{Service: "web", Image: "web:v4"}, nil)
	require.NoError(t, err)
	preview, err := ask(deploy.PruneRequest{})
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, []int{preview.Containers, preview.Images}, "%+v", preview)
	assert.Positive(t, preview.Bytes)
	require.Len(t, preview.Hosts[0].Orphans, 1)
	assert.Contains(t, preview.Hosts[0].Orphans[0].Why, "somebody has named it nginx:1.25")

	_, err = ask(deploy.PruneRequest{Confirm: preview.PreviewID[:11]})
	assert.EqualError(t, err, "confirm is too short")
	e.load("pi", "homelab/db:nix-22222222222222222222222222222222", "homelab/db:latest")
	_, err = ask(deploy.PruneRequest{Confirm: preview.PreviewID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err))
	assert.Len(t, e.is("nas"), 4, "nothing has gone")

	run, err := e.jobs.Begin(t.Context(), job.Spec{Tool: "deploy", Services: []string{"web"}})
	require.NoError(t, err)
	preview, err = ask(deploy.PruneRequest{Service: "w"})
	require.NoError(t, err)
	assert.Equal(t, []any{1, "nas", 2}, []any{len(preview.Hosts), preview.Hosts[0].Name, len(preview.Hosts[0].Items)})
	_, err = ask(deploy.PruneRequest{Service: "w", Confirm: preview.PreviewID})
	assert.Equal(t, fault.Locked, fault.CodeOf(err), "somebody works on it")
	assert.Error(t, run.Fail(errors.New("over")))

	e.engines["pi"].Fail = func(string) error { return fault.New(fault.HostUnreachable, "silent", "") }
	preview, err = ask(deploy.PruneRequest{})
	require.NoError(t, err)
	assert.Equal(t, []any{false, "silent"}, []any{preview.Hosts[1].Answers, preview.Hosts[1].Problem.Message})
	assert.Equal(t, [][]deploy.PruneItem{{}, {}}, [][]deploy.PruneItem{preview.Hosts[1].Items, preview.Hosts[1].Orphans}, "lists, also of nothing")
	said := []string{}
	done, err := e.core.DockerPrune(t.Context(), deploy.PruneRequest{Confirm: preview.PreviewID[:12]}, func(p tools.Progress) { said = append(said, p.Message) })
	require.NoError(t, err)
	assert.Equal(t, []string{"nas: done"}, said)
	assert.Equal(t, []any{"succeeded", 1, 1, ""}, []any{done.State, done.Containers, done.Images, string(done.Code())}, "%+v", done)
	assert.Equal(t, []string{"web v4 running", "web.g2 v2 exited", "web.g3 v3 exited"}, e.is("nas"))
	for name, there := range map[string]bool{pinA: false, "homelab/web:latest": false, "nginx:1.25": true, "web:v2": true, "web:v1": true} {
		i, err := e.engines["nas"].Image(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, there, i != nil, name)
	}
	kept, err := e.core.JobGet(t.Context(), job.GetRequest{ID: done.JobID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{pruneTool, job.Succeeded, []string{"web"}}, []any{kept.Tool, kept.State, kept.Services})

	e.engines["pi"].Fail = nil
	_, err = ask(deploy.PruneRequest{Confirm: preview.PreviewID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "it answers again")
	both, err := ask(deploy.PruneRequest{Host: "pi"})
	require.NoError(t, err)
	assert.Equal(t, []int{0, 2}, []int{both.Containers, both.Images})

	// An image that somebody's container was made from stays whole.
	e.load("nas", pinA, "homelab/web:latest")
	foreign, err := e.engines["nas"].Create(t.Context(), "foreign", deploy.Spec{Service: "web", Image: pinA}, nil)
	require.NoError(t, err)
	e.engines["nas"].Disown(foreign)
	preview, err = ask(deploy.PruneRequest{Host: "nas"})
	require.NoError(t, err)
	done, err = ask(deploy.PruneRequest{Host: "nas", Confirm: preview.PreviewID})
	require.NoError(t, err)
	assert.Equal(t, []any{"succeeded", 0, deploy.PruneInUse}, []any{done.State, done.Images, done.Hosts[0].Items[0].Status})
	i, err := e.engines["nas"].Image(t.Context(), "homelab/web:latest")
	require.NoError(t, err)
	assert.Contains(t, i.Names, pinA)

	e.breakOff("web", "v5")
	_, err = e.engines["nas"].Create(t.Context(), "web.g9", deploy.Spec{Service: "web", Image: "web:v4"}, nil)
	require.NoError(t, err)
	busy, err := ask(deploy.PruneRequest{Host: "nas"})
	require.NoError(t, err)
	assert.Equal(t, []any{0, []string{"web"}}, []any{busy.Containers, busy.Hosts[0].Busy}, "it is repaired first")
	_, err = ask(deploy.PruneRequest{Host: "attic"})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	_, err = ask(deploy.PruneRequest{Service: "wbe"})
	assert.Equal(t, fault.UnknownService, fault.CodeOf(err))
}

// Who cancels gets the report of what has gone.
func TestPruneIsCanceled(t *testing.T) {
	e := newEstate(t)
	e.load("nas", "homelab/web:nix-00000000000000000000000000000000", "homelab/web:v0")
	e.load("nas", "homelab/web:nix-11111111111111111111111111111111", "homelab/web:v1")
	preview, err := e.core.DockerPrune(t.Context(), deploy.PruneRequest{}, quiet)
	require.NoError(t, err)
	require.Equal(t, 2, preview.Images)
	ctx, stop := context.WithCancel(t.Context())
	untagged := 0
	e.engines["nas"].Fail = func(call string) error {
		if call == "untag" {
			if untagged++; untagged == 3 { // of the second image
				stop()
			}
		}
		return nil
	}
	done, err := e.core.DockerPrune(ctx, deploy.PruneRequest{Confirm: preview.PreviewID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{"canceled", fault.Canceled, 1}, []any{done.State, done.Code(), done.Images}, "%+v", done)
	j, err := e.jobs.Get(t.Context(), done.JobID)
	require.NoError(t, err)
	assert.Equal(t, job.Canceled, j.State)
	assert.Equal(t, "the pruning was canceled", j.Problem.Message)
}

// Two names of one engine are not counted twice.
func TestPruneOfOneEngineTwice(t *testing.T) {
	e := newEstate(t)
	e.engines["pi"] = e.engines["nas"]
	e.id = "one"
	e.load("nas", "homelab/web:nix-00000000000000000000000000000000", "homelab/web:latest")
	preview, err := e.core.DockerPrune(t.Context(), deploy.PruneRequest{}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{1, "", "nas"}, []any{preview.Images, preview.Hosts[0].SameAs, preview.Hosts[1].SameAs})
}
