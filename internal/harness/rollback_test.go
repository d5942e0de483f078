package harness

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/rollout"
	"homelab/tools"
)

// goesBack has a service go back to its earlier generation, as a preview says. It
// returns what was told meanwhile.
func (e *estate) goesBack(ctx context.Context, service string) (report *rollout.Report, told []string, err error) {
	e.t.Helper()
	preview, err := e.core.Rollback(e.t.Context(), rollout.RollbackRequest{Service: service}, quiet)
	require.NoError(e.t, err)
	report, err = e.core.Rollback(ctx, rollout.RollbackRequest{Service: service, Confirm: preview.PreviewID}, func(p tools.Progress) { told = append(told, p.Message) })
	return report, told, err
}

// What runs again is on record, step by step it is told how far it is, and a record
// that cannot be kept is no failure.
func TestRollbackIsRecorded(t *testing.T) {
	e := newEstate(t)
	for _, version := range []string{"v1", "v2", "v3"} {
		e.runs("web", version, healthy)
	}
	report, told, err := e.goesBack(t.Context(), "web")
	require.NoError(t, err)
	require.Equal(t, rollout.Succeeded, report.State)
	assert.Contains(t, told, "web: stop")
	planner, err := e.planner(t.Context())
	require.NoError(t, err)
	ledger := journalOf(planner.Source.Root)
	record, err := ledger.Read("nas", "web")
	require.NoError(t, err)
	require.NotNil(t, record)
	assert.Equal(t, []any{2, "v2", "/nix/store/v2", report.Services[0].Run.ID}, []any{record.Generation, record.Revision, record.Out, record.Container})

	require.NoError(t, os.RemoveAll(ledger.Dir))
	require.NoError(t, os.WriteFile(ledger.Dir, nil, 0o600))
	report, told, err = e.goesBack(t.Context(), "web")
	require.NoError(t, err)
	assert.Equal(t, rollout.Succeeded, report.State)
	assert.Contains(t, told[len(told)-1], "web runs, but this machine has no record of it: ")
}

// Who cancels gets the report of what was done, and what ran before runs.
func TestRollbackIsCanceled(t *testing.T) {
	e := newEstate(t)
	e.runs("web", "v1", healthy)
	e.runs("web", "v2", healthy)
	ctx, stop := context.WithCancel(t.Context())
	e.engines["nas"].Fail = func(call string) error {
		if call == "stop" {
			stop()
		}
		return nil
	}
	report, _, err := e.goesBack(ctx, "web")
	require.NoError(t, err)
	assert.Equal(t, []any{rollout.Canceled, fault.Canceled, rollout.Broken}, []any{report.State, report.Code(), report.Services[0].Status})
	assert.Equal(t, []string{"web v2 running", "web.g1 v1 exited"}, e.is("nas"))
	j, err := e.jobs.Get(t.Context(), report.JobID)
	require.NoError(t, err)
	assert.Equal(t, job.Canceled, j.State)
	assert.Equal(t, "the rollback was canceled", j.Problem.Message)
}

// The last words of what is sick are told, but for a service whose secrets might be
// among them.
func TestLastWordsOfARollback(t *testing.T) {
	e := newEstate(t)
	path := filepath.Join(e.cfg.Repo, "homelab.json")
	for envFiles, heard := range map[string]bool{"": true, `"envFiles": ["/run/web.env"], `: false} {
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(estateRegistry, `"deploy": {"host": "nas"`, `"deploy": {`+envFiles+`"health": {"kind": "docker", "interval": "10ms", "timeout": "1s"}, "host": "nas"`, 1)), 0o644))
		e.engines["nas"] = &deploytest.Memory{}
		e.engines["nas"].Put("/run/web.env", "TOKEN=secret\n")
		sick := e.runs("web", "v1", healthy)
		e.runs("web", "v2", healthy)
		e.engines["nas"].Sicken(sick.ID)
		e.engines["nas"].Label(sick.ID, deploy.LabelGate, "") // so that of the registry counts
		report, _, err := e.goesBack(t.Context(), "web")
		require.NoError(t, err)
		require.Equal(t, fault.Unhealthy, report.Code())
		assert.Equal(t, heard, strings.Contains(report.Services[0].Problem.Hint, "hello"), "%s: %s", envFiles, report.Services[0].Problem.Hint)
	}
}

// Without an answer of the host there is nothing to preview.
func TestRollbackOnASilentHost(t *testing.T) {
	e := newEstate(t)
	e.runs("web", "v1", healthy)
	e.runs("web", "v2", healthy)
	e.engines["nas"].Fail = func(string) error { return fault.New(fault.EngineUnavailable, "gone", "") }
	_, err := e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err))
	e.engines["nas"].Fail = func(string) error { return context.DeadlineExceeded }
	_, err = e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	assert.EqualError(t, err, "the engine of host nas does not answer in time")
	assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err))

	// A journal that cannot be read may tell of a switch that was broken off.
	e.engines["nas"].Fail = nil
	require.NoError(t, e.journal.Write(&deploy.Entry{Service: "web", Host: "nas", Container: "web", Step: "stop", Token: "t"}))
	require.NoError(t, os.WriteFile(filepath.Join(e.journal.Dir, "nas", "web.json"), []byte("{"), 0o600))
	_, err = e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	assert.ErrorContains(t, err, "web.json")
}
