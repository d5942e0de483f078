package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/gitrepo/gittest"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/tools"
)

// A panic is the failure of one service, and it is kept where it was.
func TestGuarded(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "panic.log")
	err := guarded(log, func() error { panic("no such thing") })
	assert.Equal(t, fault.Internal, fault.CodeOf(err))
	assert.ErrorContains(t, err, "panic: no such thing")
	assert.Contains(t, fault.Of(err).Hint, log)
	stack, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Contains(t, string(stack), "TestGuarded")

	no := errors.New("no")
	assert.Equal(t, no, guarded(log, func() error { return no }))
	assert.NoError(t, guarded(log, func() error { return nil }))
}

// What keeps everything from being built is the error of the rollout, and nothing is
// on record as a preview of it.
func TestNothingCanBeBuilt(t *testing.T) {
	gittest.Hermetic()
	t.Setenv("HOMELAB_SYSTEM", "x86_64-linux")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	r := gittest.New(t)
	r.Write("homelab.json", `{"version": 1, "services": {"web": {"build": {"targets": {"x86_64-linux": "web"}}, "hints": ["web"], "deploy": {}}}}`)
	r.Commit("one")
	h := New(Config{Repo: r.Dir, Registry: r.Path("homelab.json")})
	planner, err := h.planner(t.Context())
	require.NoError(t, err)
	order, err := planner.Order(t.Context(), plan.Request{Services: []string{"web"}, Base: "HEAD"}, "")
	require.NoError(t, err)
	jobs := &job.Store{Dir: t.TempDir()}
	d := &deployment{Harness: h, jobs: jobs, planner: planner, builder: h.builder(jobs, planner), order: order, waits: map[string][]string{"web": {}}}
	preview := func(context.Context, tools.Report) (*rollout.Report, error) {
		return &rollout.Report{
			State: rollout.Previewed, Counts: rollout.Counts{Total: 1, Create: 1},
			Services: []rollout.Service{{Name: "web", Action: rollout.Create, Status: rollout.Pending, To: &rollout.Version{Out: "/nix/store/web"}}},
		}, nil
	}
	run, err := jobs.Begin(t.Context(), job.Spec{Tool: deployTool, Services: []string{"web"}})
	require.NoError(t, err)
	t.Setenv("PATH", "")
	got, err := d.do(t.Context(), preview, run, func(tools.Progress) {})
	assert.Nil(t, got)
	assert.ErrorContains(t, err, "nix")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	j, err := jobs.Get(t.Context(), run.ID)
	require.NoError(t, err)
	assert.Equal(t, job.Failed, j.State)
	assert.Contains(t, j.Problem.Message, "nix")
	found, err := jobs.Result(run.ID, &struct{}{})
	require.NoError(t, err)
	assert.False(t, found)
}
