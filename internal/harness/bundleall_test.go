package harness

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/tools"
)

// outcomes tells of each service what came of it.
func outcomes(r *state.BundleReport) string {
	said := []string{}
	for _, s := range r.All.Services {
		said = append(said, s.Service+" "+string(s.Status))
	}
	return strings.Join(said, ", ")
}

// newAll is an estate with five services more that have state: one without a place for
// it, one that can be computed anew, and two with a store of their own, of which one has
// no volume.
func newAll(t *testing.T) (k *kept, other string) {
	t.Helper()
	k, other = newKept(t, `"quiesce": {"kind": "none"}`), t.TempDir()
	services := ""
	for name, s := range map[string]string{
		"anew":  `"items": [{"volume": "anew", "class": "recomputable"}], "stores": ["` + k.store + `"]`,
		"mail":  `"items": [{"volume": "mail"}], "stores": ["` + other + `"], "every": "168h"`,
		"photo": `"items": [{"volume": "photo"}], "stores": ["` + k.store + `", "` + other + `"]`,
		"shelf": `"items": [{"volume": "shelf"}]`,
		"void":  `"items": [{"volume": "void"}], "stores": ["` + other + `"]`,
	} {
		services += fmt.Sprintf(`%q: {"build": {"targets": {"x86_64-linux": %q}}, "hints": [%q], "deploy": {"host": "nas"}, "state": {%s}}, `, name, name, name, s)
	}
	k.says(`"services": {`, `"services": {`+services)
	for _, volume := range []string{"mail", "photo", "shelf", "anew"} {
		k.write(volume+"/file", "content")
	}
	return k, other
}

// Each service that has something to keep gets a bundle, as a job of its own; one that
// cannot does not hold up the next.
func TestBundleOfAll(t *testing.T) {
	k, other := newAll(t)
	said := []string{}
	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{All: true}, func(p tools.Progress) {
		said = append(said, fmt.Sprintf("%d/%d %.4s", p.Done, p.Total, p.Message))
	})
	require.NoError(t, err)
	assert.Equal(t, "mail made, photo made, shelf noStore, void failed, web made", outcomes(report))
	assert.Equal(t, []any{"failed", fault.NotFound, 3, 1, 0}, []any{report.State, report.Code(), report.All.Made, report.All.Failed, report.All.NotDue})
	assert.Contains(t, said, "1/4 phot")
	assert.Contains(t, said, "3/4 web:")
	for at, store := range map[int]string{0: other, 1: k.store, 4: k.store} {
		s := report.All.Services[at]
		assert.Equal(t, []string{s.Bundle}, k.keeps(store, s.Service))
		assert.Positive(t, s.Size)
		answer, err := k.core.JobGet(t.Context(), job.GetRequest{ID: s.JobID}, quiet)
		require.NoError(t, err)
		assert.Equal(t, []any{job.Succeeded, []string{s.Service}}, []any{answer.State, answer.Services})
	}
	void := report.All.Services[3]
	answer, err := k.core.JobGet(t.Context(), job.GetRequest{ID: void.JobID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{job.Failed, fault.NotFound}, []any{answer.State, void.Problem.Code})

	named, err := k.core.StateBundle(t.Context(), state.BundleRequest{All: true, Store: other}, quiet)
	require.NoError(t, err)
	assert.Equal(t, "mail made, photo made, void failed", outcomes(named))
	assert.Len(t, k.keeps(other, "photo"), 1)
	_, err = k.core.StateBundle(t.Context(), state.BundleRequest{All: true, Store: t.TempDir()}, quiet)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
}

// What is not due is not touched: only its store is asked, once.
func TestBundleOfAllThatAreDue(t *testing.T) {
	k, other := newAll(t)
	k.write("void/file", "content")
	for _, service := range []string{"web", "void"} {
		store := map[string]string{"web": k.store, "void": other}[service]
		k.ago(store, service, 1)
	}
	k.ago(other, "mail", 3)
	k.ago(k.store, "photo", 0)
	asked := map[string]int{}
	k.failing(func(address, call, _ string) error { asked[address+" "+call]++; return nil })
	due := state.BundleRequest{All: true, Due: true}
	report, err := k.core.StateBundle(t.Context(), due, quiet)
	require.NoError(t, err)
	assert.Equal(t, "mail notDue, photo notDue, shelf noStore, void made, web made", outcomes(report))
	assert.Equal(t, []any{"succeeded", 2, 2}, []any{report.State, report.All.Made, report.All.NotDue})
	newest, err := time.Parse(time.RFC3339, report.All.Services[0].Newest)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().AddDate(0, 0, -3), newest, time.Hour)

	clear(asked)
	dials := k.dials
	before, err := k.jobs.List(t.Context(), job.ListRequest{})
	require.NoError(t, err)
	idle, err := k.core.StateBundle(t.Context(), due, quiet)
	require.NoError(t, err)
	assert.Equal(t, "mail notDue, photo notDue, shelf noStore, void notDue, web notDue", outcomes(idle))
	assert.Equal(t, []any{"succeeded", fault.Code("")}, []any{idle.State, idle.Code()})
	assert.Equal(t, map[string]int{k.store + " open": 1, k.store + " list": 1, other + " open": 1, other + " list": 1}, asked)
	after, err := k.jobs.List(t.Context(), job.ListRequest{})
	require.NoError(t, err)
	assert.Equal(t, before.Count, after.Count, "a timer fills no records")
	assert.Equal(t, dials, k.dials, "no host was asked for what is not due")

	clear(asked)
	k.failing(func(address, _, _ string) error {
		if address == other {
			return fault.New(fault.HostUnreachable, "silent", "")
		}
		return nil
	})
	silent, err := k.core.StateBundle(t.Context(), due, quiet)
	require.NoError(t, err)
	assert.Equal(t, "mail failed, photo notDue, shelf noStore, void failed, web notDue", outcomes(silent))
	assert.Equal(t, fault.HostUnreachable, silent.Code())
}

// Who cancels gets what was made; the rest is not reached. Somebody else's work on a
// service is waited for by nobody.
func TestBundleOfAllIsCanceled(t *testing.T) {
	k, _ := newAll(t)
	run, err := k.jobs.Begin(t.Context(), job.Spec{Tool: "deploy", Services: []string{"mail"}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	k.failing(func(_, call, _ string) error {
		if calls++; call == "list" && calls > 2 {
			stop()
			return ctx.Err()
		}
		return nil
	})
	report, err := k.core.StateBundle(ctx, state.BundleRequest{All: true}, quiet)
	require.NoError(t, err)
	assert.Equal(t, "mail failed, photo made, shelf noStore, void failed, web pending", outcomes(report))
	assert.Equal(t, []any{"canceled", fault.Canceled, fault.Locked}, []any{report.State, report.Code(), report.All.Services[0].Problem.Code})
	require.ErrorIs(t, run.Fail(errKilled), errKilled)
}

// In the background it is a job that claims no service, and has the report of each.
func TestBundleOfAllInTheBackground(t *testing.T) {
	k, _ := newAll(t)
	run, err := k.jobs.Begin(t.Context(), job.Spec{Tool: bundleTool, Input: state.BundleRequest{All: true, Due: true}})
	require.NoError(t, err)
	require.NoError(t, k.workOnBundle(t.Context(), k.jobs, run))
	answer, err := k.core.JobGet(t.Context(), job.GetRequest{ID: run.ID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, job.Failed, answer.State, "one of them did")
	var report state.BundleReport
	found, err := k.jobs.Result(run.ID, &report)
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, "mail made, photo made, shelf noStore, void failed, web made", outcomes(&report))
	assert.Equal(t, run.ID, report.JobID)
}

// A service that was moved is captured where it is, though the registry does not say so yet.
func TestBundleOfAllOfWhatWasMoved(t *testing.T) {
	w := newWandering(t)
	w.moved("pi")
	w.engines["nas"].Fail = func(string) error { return fault.New(fault.EngineUnavailable, "gone", "") }
	report, err := w.core.StateBundle(t.Context(), state.BundleRequest{All: true, Due: true}, quiet)
	require.NoError(t, err)
	require.Equal(t, "web made", outcomes(report), "%+v", report.All.Services[0].Problem)
	require.NotEmpty(t, report.All.Services[0].Warnings)
	warnings := report.All.Services[0].Warnings
	assert.Equal(t, "captured on pi, where it was moved to: set services.web.deploy.host in the registry, which says nas", warnings[len(warnings)-1])
	again, err := w.core.StateBundle(t.Context(), state.BundleRequest{All: true, Due: true}, quiet)
	require.NoError(t, err)
	assert.Equal(t, "web notDue", outcomes(again))
	list, err := w.core.StateList(t.Context(), state.ListRequest{Service: "web"})
	require.NoError(t, err)
	require.Len(t, list.Bundles, 1)
	w.names("pi")
	followed, err := w.core.StateBundle(t.Context(), state.BundleRequest{All: true}, quiet)
	require.NoError(t, err)
	assert.Equal(t, "web made", outcomes(followed))
	assert.NotContains(t, strings.Join(followed.All.Services[0].Warnings, " "), "captured on")
}
