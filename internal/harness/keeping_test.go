package harness

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/rollout"
	"homelab/tools"
)

const estateRegistry = `{
  "version": 1,
  "hosts": {"nas": {"docker": "unix:///run/nas.sock", "system": "x86_64-linux"}, "pi": {"docker": "unix:///run/pi.sock", "system": "x86_64-linux"}},
  "services": {
    "web": {"aliases": ["w"], "build": {"targets": {"x86_64-linux": "packages.x86_64-linux.web"}}, "hints": ["web"], "deploy": {"host": "nas"}},
    "db": {"build": {"targets": {"x86_64-linux": "packages.x86_64-linux.db"}}, "hints": ["db"], "deploy": {"host": "pi"}},
    "tool": {"build": {"targets": {"x86_64-linux": "packages.x86_64-linux.tool"}}, "hints": ["tool"]}
  }
}`

// estate is a repository with two hosts, whose engines are in memory.
type estate struct {
	*Harness
	t       *testing.T
	core    tools.Core
	journal deploy.Journal
	jobs    *job.Store
	engines map[string]*deploytest.Memory

	id string // of every engine

	mu    sync.Mutex
	dials int
}

// told is an engine that tells its ID.
type told struct {
	*deploytest.Memory
	id string
}

func (t told) Platform(ctx context.Context) (deploy.Platform, error) {
	p, err := t.Memory.Platform(ctx)
	p.ID = t.id
	return p, err
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	t.Setenv("HOMELAB_STATE", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "homelab.json"), []byte(estateRegistry), 0o644))
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-qm", "all"}} {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	e := &estate{Harness: New(Config{Repo: dir}), t: t, engines: map[string]*deploytest.Memory{"nas": {}, "pi": {}}}
	e.Harness.engines = func(way *dockerhost.Engine) (deploy.Containers, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.dials++
		host := filepath.Base(way.Endpoint().URL)
		return told{e.engines[host[:len(host)-len(".sock")]], e.id}, nil
	}
	e.core = e.Core()
	state, err := stateDir(dir)
	require.NoError(t, err)
	e.jobs = &job.Store{Dir: state}
	e.journal = switches(e.jobs)
	return e
}

// runs has a version of a service run on its host, as its only new generation.
func (e *estate) runs(service, version string, b deploytest.Behaviour) *deploy.Switched {
	e.t.Helper()
	s, err := e.standingOf(e.t.Context(), service, "")
	require.NoError(e.t, err)
	engine := e.engines[s.Host]
	require.NoError(e.t, engine.Load(e.t.Context(), bytes.NewReader(deploytest.BehaviourArchive(e.t, service+":"+version, b))))
	spec, err := deploy.NewSpec(service, s.Service, s.At, service+":"+version)
	require.NoError(e.t, err)
	runner := deploy.Runner{Engine: engine, Host: s.Host, Journal: e.journal, Keep: keepGenerations}
	switched, err := runner.Run(e.t.Context(), deploy.Target{
		Spec: spec, Strategy: deploy.Replace, Labels: map[string]string{deploy.LabelRevision: version, deploy.LabelOut: "/nix/store/" + version},
		Gate: deploy.Gate{Kind: "docker", Interval: time.Millisecond, Timeout: time.Second},
	})
	require.NoError(e.t, err)
	return switched
}

// is tells of each container of a host: its name, version and state.
func (e *estate) is(host string) []string {
	e.t.Helper()
	all, err := e.engines[host].List(e.t.Context())
	require.NoError(e.t, err)
	lines := []string{}
	for _, c := range all {
		lines = append(lines, c.Name+" "+c.Labels[deploy.LabelRevision]+" "+string(c.State))
	}
	return lines
}

// breakOff leaves what a caller leaves who is killed when the new version was about to
// start.
func (e *estate) breakOff(service, version string) {
	e.t.Helper()
	s, err := e.standingOf(e.t.Context(), service, "")
	require.NoError(e.t, err)
	old := s.Current
	before := e.runs(service, version, healthy)
	engine := e.engines[s.Host]
	require.NoError(e.t, engine.Stop(e.t.Context(), before.ID, 0))
	require.NoError(e.t, e.journal.Write(&deploy.Entry{
		Service: service, Host: s.Host, Container: service, Step: "start", Generation: before.Generation, New: before.ID, Made: true,
		Old: old.ID, OldName: service, Restart: "unless-stopped", Token: "t", Stopping: true, Grace: "1s",
		Gate: deploy.Gate{Kind: "docker", Interval: time.Millisecond, Timeout: time.Second},
	}))
}

var healthy = deploytest.Behaviour{Health: "healthy", Says: []string{"hello", "world"}}

func quiet(tools.Progress) {}

// Back, after a look at what it means; what has moved since is a conflict.
func TestRollback(t *testing.T) {
	e := newEstate(t)
	e.runs("web", "v1", healthy)
	ask := func(r rollout.RollbackRequest) (*rollout.Report, error) {
		return e.core.Rollback(t.Context(), r, quiet)
	}
	_, err := ask(rollout.RollbackRequest{Service: "web"})
	assert.EqualError(t, err, "web has no earlier generation on host nas")
	e.runs("web", "v2", healthy)

	preview, err := ask(rollout.RollbackRequest{Service: "w"})
	require.NoError(t, err)
	assert.Equal(t, []any{rollout.Previewed, rollout.Rollback, 2, 1, preview.PreviewID},
		[]any{preview.State, preview.Services[0].Action, preview.Services[0].From.Generation, preview.Services[0].To.Generation, preview.Unconfirmed()})
	assert.Equal(t, []string{"web v2 running", "web.g1 v1 exited"}, e.is("nas"), "a preview changes nothing")

	e.runs("web", "v3", healthy)
	_, err = ask(rollout.RollbackRequest{Service: "w", Confirm: preview.PreviewID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "it is another that runs now")
	assert.Contains(t, e.is("nas"), "web v3 running")

	preview, err = ask(rollout.RollbackRequest{Service: "w", Generation: 1})
	require.NoError(t, err)
	_, err = ask(rollout.RollbackRequest{Service: "w", Generation: 1, Confirm: preview.PreviewID[:11]})
	assert.EqualError(t, err, "confirm is too short")
	done, err := ask(rollout.RollbackRequest{Service: "w", Generation: 1, Confirm: preview.PreviewID[:12]})
	require.NoError(t, err)
	assert.Equal(t, []any{rollout.Succeeded, rollout.Done, 1, 3, ""}, []any{done.State, done.Services[0].Status, done.Services[0].Run.Generation, done.Services[0].Run.Before, string(done.Code())})
	assert.Equal(t, rollout.Counts{Total: 1, Rollback: 1, Deployed: 1}, done.Counts)
	assert.Equal(t, []string{"web v1 running", "web.g2 v2 exited", "web.g3 v3 exited"}, e.is("nas"))
	kept, err := e.core.JobGet(t.Context(), job.GetRequest{ID: done.JobID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{rollbackTool, job.Succeeded, []string{"web"}}, []any{kept.Tool, kept.State, kept.Services})

	again, err := ask(rollout.RollbackRequest{Service: "web", Generation: 1})
	require.NoError(t, err)
	assert.Empty(t, again.Unconfirmed(), "it runs already")
	again, err = ask(rollout.RollbackRequest{Service: "web", Generation: 1, Confirm: again.PreviewID})
	require.NoError(t, err)
	assert.Equal(t, []any{rollout.Succeeded, rollout.Unchanged}, []any{again.State, again.Services[0].Status})

	_, err = ask(rollout.RollbackRequest{Service: "tool"})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	_, err = ask(rollout.RollbackRequest{Service: "web", Host: "attic"})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
}

// A version that is sick by now leaves what ran, and the report says so.
func TestRollbackToWhatIsSick(t *testing.T) {
	e := newEstate(t)
	sick := e.runs("web", "v1", healthy)
	e.runs("web", "v2", healthy)
	e.engines["nas"].Sicken(sick.ID)
	preview, err := e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	report, err := e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web", Confirm: preview.PreviewID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{rollout.Failed, rollout.Broken, fault.Unhealthy, fault.Unhealthy}, []any{report.State, report.Services[0].Status, report.Services[0].Problem.Code, report.Code()})
	assert.Contains(t, report.Services[0].Problem.Message, "the version before runs")
	assert.Equal(t, []string{"web v2 running", "web.g1 v1 exited"}, e.is("nas"))
	j, err := e.jobs.Get(t.Context(), report.JobID)
	require.NoError(t, err)
	assert.Equal(t, job.Failed, j.State)
}

// What was broken off is repaired first, and nobody else works on a service meanwhile.
func TestRollbackWaits(t *testing.T) {
	e := newEstate(t)
	e.runs("web", "v1", healthy)
	e.runs("web", "v2", healthy)
	preview, err := e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	require.NoError(t, err)
	run, err := e.jobs.Begin(t.Context(), job.Spec{Tool: "deploy", Services: []string{"web"}})
	require.NoError(t, err)
	_, err = e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web", Confirm: preview.PreviewID}, quiet)
	assert.Equal(t, fault.Locked, fault.CodeOf(err))
	assert.Error(t, run.Fail(errors.New("over")))

	e.breakOff("web", "v3")
	_, err = e.core.Rollback(t.Context(), rollout.RollbackRequest{Service: "web"}, quiet)
	assert.EqualError(t, err, `a switch of web was broken off before the step "start"`)
	assert.Equal(t, "repair it first: homelab deploy repair web", fault.Of(err).Hint)
}

func TestLogs(t *testing.T) {
	e := newEstate(t)
	_, err := e.core.Logs(t.Context(), deploy.LogsRequest{Service: "web"})
	assert.Equal(t, fault.NotFound, fault.CodeOf(err))
	e.runs("web", "v1", healthy)
	e.runs("web", "v2", deploytest.Behaviour{Health: "healthy", Says: []string{"anew"}})
	for generation, want := range map[int]string{0: "anew", 2: "anew", 1: "world"} {
		report, err := e.core.Logs(t.Context(), deploy.LogsRequest{Service: "w", Generation: generation, Tail: 1})
		require.NoError(t, err)
		assert.Equal(t, []any{"web", "nas"}, []any{report.Service, report.Host})
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `+want+"$", report.Lines[0])
	}
	_, err = e.core.Logs(t.Context(), deploy.LogsRequest{Service: "w", Generation: 3})
	assert.EqualError(t, err, "web has no generation 3 on host nas")
	e.engines["nas"].Fail = func(string) error { return fault.New(fault.EngineUnavailable, "gone", "") }
	_, err = e.core.Logs(t.Context(), deploy.LogsRequest{Service: "w"})
	assert.Equal(t, fault.EngineUnavailable, fault.CodeOf(err))
}

// Each service is repaired by itself: one that is worked on, or whose host is silent,
// holds up no other.
func TestRepair(t *testing.T) {
	e := newEstate(t)
	repair := func(service string) *deploy.RepairReport {
		t.Helper()
		report, err := e.core.Repair(t.Context(), deploy.RepairRequest{Service: service}, quiet)
		require.NoError(t, err)
		return report
	}
	statuses := func(r *deploy.RepairReport) map[string]deploy.RepairStatus {
		all := map[string]deploy.RepairStatus{}
		for _, s := range r.Services {
			all[s.Service+" on "+s.Host] = s.Status
		}
		return all
	}
	nothing := repair("")
	assert.Empty(t, nothing.Services)
	assert.Empty(t, nothing.Code())
	assert.Zero(t, e.dials, "no engine is asked")

	for _, service := range []string{"web", "db"} {
		e.runs(service, "v1", healthy)
		e.breakOff(service, "v2")
	}
	require.NoError(t, e.journal.Write(&deploy.Entry{Service: "old", Host: "attic", Container: "old", Step: "stop", Token: "t"}))
	require.NoError(t, os.WriteFile(filepath.Join(e.journal.Dir, "nas", "torn.json"), []byte("{"), 0o600))
	run, err := e.jobs.Begin(t.Context(), job.Spec{Tool: "deploy", Services: []string{"db"}})
	require.NoError(t, err)

	report := repair("")
	assert.Equal(t, map[string]deploy.RepairStatus{"web on nas": deploy.Mended, "db on pi": deploy.Untouched, "old on attic": deploy.Unmended}, statuses(report))
	web := report.Services[2]
	assert.Contains(t, web.What, "is undone")
	assert.Equal(t, []string{"web v1 running"}, e.is("nas"))
	assert.Contains(t, report.Services[0].Problem.Message, "works on it")
	assert.Contains(t, report.Services[1].Problem.Message, `there is no host "attic"`)
	require.Len(t, report.Problems, 1)
	assert.Contains(t, report.Problems[0].Message, "torn.json")
	assert.Equal(t, fault.NotFound, report.Code())
	kept, err := e.core.JobGet(t.Context(), job.GetRequest{ID: web.JobID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{repairTool, job.Succeeded}, []any{kept.Tool, kept.State})

	assert.Error(t, run.Fail(errors.New("over")))
	e.engines["pi"].Fail = func(string) error { return fault.New(fault.HostUnreachable, "silent", "") }
	assert.Equal(t, map[string]deploy.RepairStatus{"db on pi": deploy.Unmended}, statuses(repair("db")))
	e.engines["pi"].Fail = nil
	assert.Equal(t, map[string]deploy.RepairStatus{"db on pi": deploy.Mended}, statuses(repair("db")))
	assert.Equal(t, []string{"db v1 running"}, e.is("pi"))
	assert.Empty(t, repair("db").Services)
	assert.Equal(t, map[string]deploy.RepairStatus{"old on attic": deploy.Unmended}, statuses(repair("old")), "the registry need not know it any more")
	_, err = e.core.Repair(t.Context(), deploy.RepairRequest{Service: "wbe"}, quiet)
	assert.Equal(t, fault.UnknownService, fault.CodeOf(err))
}

// Who cancels learns what was done all the same.
func TestRepairIsCanceled(t *testing.T) {
	e := newEstate(t)
	for _, service := range []string{"web", "db"} {
		e.runs(service, "v1", healthy)
		e.breakOff(service, "v2")
	}
	ctx, stop := context.WithCancel(t.Context())
	asked := make(chan bool)
	e.engines["pi"].Fail = func(string) error {
		close(asked) // by a job that has begun
		<-ctx.Done()
		return ctx.Err()
	}
	e.engines["nas"].Fail = func(call string) error {
		if call == "start" { // of the version before
			<-asked
			stop()
		}
		return nil
	}
	report, err := e.core.Repair(ctx, deploy.RepairRequest{}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{"db", deploy.Unmended, fault.Canceled}, []any{report.Services[0].Service, report.Services[0].Status, report.Services[0].Problem.Code})
	assert.Equal(t, []any{"web", deploy.Mended}, []any{report.Services[1].Service, report.Services[1].Status})
	j, err := e.jobs.Get(t.Context(), report.Services[1].JobID)
	require.NoError(t, err)
	assert.Equal(t, job.Succeeded, j.State)
}

// A server that starts repairs what it finds, and without that touches nothing.
func TestMendAtStart(t *testing.T) {
	e := newEstate(t)
	said := []string{}
	start := func(h *Harness) { h.Core().Starting(t.Context(), func(line string) { said = append(said, line) }) }
	start(e.Harness)
	assert.Nil(t, e.opened, "no repository is opened")
	assert.Zero(t, e.dials)

	e.runs("web", "v1", healthy)
	e.breakOff("web", "v2")
	without := New(Config{Repo: t.TempDir()})
	start(without)
	assert.Empty(t, said, "the program without engines leaves it alone")
	e.engines["nas"].Fail = func(string) error { return fault.New(fault.EngineUnavailable, "gone", "") }
	start(e.Harness)
	assert.Equal(t, []string{"web on nas: failed: gone"}, said)
	e.engines["nas"].Fail, said = nil, nil
	dials := e.dials
	start(e.Harness)
	assert.Greater(t, e.dials, dials)
	require.Len(t, said, 1)
	assert.Contains(t, said[0], "web on nas: repaired: a switch to generation 2 was broken off before the step")
	assert.Equal(t, []string{"web v1 running"}, e.is("nas"))
	dials = e.dials
	start(e.Harness)
	assert.Equal(t, dials, e.dials)
}
