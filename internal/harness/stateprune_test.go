package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
)

// faulty is a store that may fail.
type faulty struct {
	state.Store
	fail func(call, id string) error
}

func (f faulty) List(ctx context.Context, service string) ([]state.Kept, error) {
	if err := f.fail("list", service); err != nil {
		return nil, err
	}
	return f.Store.List(ctx, service)
}

func (f faulty) Remove(ctx context.Context, service, id string) error {
	if err := f.fail("remove", id); err != nil {
		return err
	}
	return f.Store.Remove(ctx, service, id)
}

// failing has the stores of an estate fail as it is told: call is open, list or remove.
// It is asked one call at a time.
func (k *kept) failing(fail func(address, call, id string) error) {
	whole := k.Harness.stores
	var mu sync.Mutex
	told := func(address, call, id string) error {
		mu.Lock()
		defer mu.Unlock()
		return fail(address, call, id)
	}
	k.Harness.stores = func(at registry.Store, work string) (state.Store, error) {
		if err := told(at.Path, "open", ""); err != nil {
			return nil, err
		}
		store, err := whole(at, work)
		return faulty{store, func(call, id string) error { return told(at.Path, call, id) }}, err
	}
}

// ago has a bundle of a service in a folder that was made so many days ago.
func (k *kept) ago(store, service string, days int) string {
	k.t.Helper()
	id := state.NewID(time.Now().AddDate(0, 0, -days))
	require.NoError(k.t, os.MkdirAll(filepath.Join(store, service), 0o755))
	require.NoError(k.t, os.WriteFile(filepath.Join(store, service, id+".bundle"), []byte("bundle"), 0o600))
	return id
}

func (k *kept) isVerified(store, service, id string) {
	k.t.Helper()
	require.NoError(k.t, evidence(k.jobs).Note(state.Verified{Store: store, Service: service, ID: id, Size: int64(len("bundle"))}))
}

// keeps are the bundles of a service in a folder, the newest first.
func (k *kept) keeps(store, service string) []string {
	k.t.Helper()
	found, err := os.ReadDir(filepath.Join(store, service))
	require.NoError(k.t, err)
	ids := []string{}
	for _, f := range found {
		ids = append(ids, strings.TrimSuffix(f.Name(), ".bundle"))
	}
	slices.Reverse(ids)
	return ids
}

// says has the registry say other things.
func (k *kept) says(replace ...string) {
	k.t.Helper()
	path := filepath.Join(k.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(k.t, err)
	require.NoError(k.t, os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o644))
}

func (k *kept) prunes(r state.PruneRequest) (*state.PruneReport, error) {
	return k.core.StatePrune(k.t.Context(), r, quiet)
}

func idsOf(bundles []state.PruneBundle) []string {
	ids := []string{}
	for _, b := range bundles {
		ids = append(ids, b.ID)
	}
	return ids
}

const lastTwo = `"quiesce": {"kind": "none"}, "retention": {"last": 2}`

// What a policy does not keep goes after a look at it, and nothing else.
func TestPruneBundles(t *testing.T) {
	k := newKept(t, lastTwo)
	none, err := k.prunes(state.PruneRequest{})
	require.NoError(t, err)
	assert.Equal(t, []any{"preview", "", 1, true}, []any{none.State, none.Unconfirmed(), len(none.Stores), none.Stores[0].Answers})
	ids := []string{}
	for days := range 5 {
		ids = append(ids, k.ago(k.store, "web", days))
	}
	others := k.ago(k.store, "db", 30)
	k.isVerified(k.store, "web", ids[3])
	k.isVerified(k.store, "web", ids[4])

	preview, err := k.prunes(state.PruneRequest{Service: "w"})
	require.NoError(t, err)
	require.Len(t, preview.Stores, 1)
	assert.Equal(t, []any{"preview", 2, int64(12), ""}, []any{preview.State, preview.Bundles, preview.Bytes, string(preview.Code())})
	assert.Equal(t, []string{ids[4], ids[2]}, idsOf(preview.Stores[0].Goes), "the oldest first")
	assert.Equal(t, []string{ids[0], ids[1], ids[3]}, idsOf(preview.Stores[0].Stays))
	assert.Equal(t, [][]string{{"last"}, {"last verified"}}, [][]string{preview.Stores[0].Stays[1].Why, preview.Stores[0].Stays[2].Why})
	assert.Len(t, k.keeps(k.store, "web"), 5)
	raw, err := json.Marshal(preview)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "null")

	_, err = k.prunes(state.PruneRequest{Confirm: preview.PreviewID[:11]})
	assert.EqualError(t, err, "confirm is too short")
	k.isVerified(k.store, "web", ids[2])
	_, err = k.prunes(state.PruneRequest{Confirm: preview.PreviewID})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "now another one is the last verified")
	require.NoError(t, evidence(k.jobs).Withdraw(k.store, "web", ids[2]))
	run, err := k.jobs.Begin(t.Context(), job.Spec{Tool: bundleTool, Services: []string{"web"}})
	require.NoError(t, err)
	_, err = k.prunes(state.PruneRequest{Confirm: preview.PreviewID})
	assert.Equal(t, fault.Locked, fault.CodeOf(err), "somebody makes a bundle of it")
	assert.Error(t, run.Fail(errKilled))
	assert.Len(t, k.keeps(k.store, "web"), 5)

	done, err := k.prunes(state.PruneRequest{Confirm: preview.PreviewID[:12]})
	require.NoError(t, err)
	assert.Equal(t, []any{"succeeded", 2, ""}, []any{done.State, done.Bundles, string(done.Code())}, "%+v", done)
	assert.Equal(t, []string{ids[0], ids[1], ids[3]}, k.keeps(k.store, "web"))
	assert.Equal(t, []string{others}, k.keeps(k.store, "db"), "not of a service that has no retention")
	_, known, err := evidence(k.jobs).Of(k.store, state.Kept{ID: ids[4], Service: "web", Size: 6})
	require.NoError(t, err)
	assert.False(t, known, "what is gone is not verified")
	recorded, err := k.core.JobGet(t.Context(), job.GetRequest{ID: done.JobID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{bundlePruneTool, job.Succeeded, []string{"web"}}, []any{recorded.Tool, recorded.State, recorded.Services})

	again, err := k.prunes(state.PruneRequest{Last: 1})
	require.NoError(t, err)
	assert.Equal(t, []string{ids[1]}, idsOf(again.Stores[0].Goes), "another policy")
}

// Requests that nothing can be done for.
func TestPruneOfBundlesIsRefused(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "none"}`)
	old := []string{k.ago(k.store, "web", 2), k.ago(k.store, "web", 9)}
	for _, c := range []struct {
		name, hint string
		in         state.PruneRequest
		code       fault.Code
	}{
		{"no policy", "services.web.state.retention", state.PruneRequest{Service: "web"}, fault.Precondition},
		{"no policy of any", "state.retention", state.PruneRequest{}, fault.Precondition},
		{"for all, and none has one", "name a service", state.PruneRequest{Last: 1}, fault.Precondition},
		{"no such service", "", state.PruneRequest{Service: "wbe", Last: 1}, fault.UnknownService},
		{"a store of its own", "state.stores", state.PruneRequest{Service: "web", Store: t.TempDir(), Last: 1}, fault.InvalidArgument},
	} {
		_, err := k.prunes(c.in)
		assert.Equal(t, c.code, fault.CodeOf(err), "%s: %v", c.name, err)
		assert.Contains(t, fault.Of(err).Hint, c.hint, c.name)
	}
	k.says(`"backup"`, `"retention": {}, "backup"`)
	_, err := k.prunes(state.PruneRequest{Service: "web"})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "an empty policy is none")
	one, err := k.prunes(state.PruneRequest{Service: "web", Last: 1})
	require.NoError(t, err)
	assert.Equal(t, old[1:], idsOf(one.Stores[0].Goes))

	require.NoError(t, evidence(k.jobs).Note(state.Verified{Store: k.store, Service: "web", ID: old[1], Size: 6}))
	records, err := filepath.Glob(filepath.Join(evidence(k.jobs).Dir, "*", "web", "*.json"))
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.NoError(t, os.WriteFile(records[0], []byte("{"), 0o600))
	unsure, err := k.prunes(state.PruneRequest{Service: "web", Last: 1})
	require.NoError(t, err)
	assert.Equal(t, []any{0, true, fault.Precondition}, []any{unsure.Bundles, unsure.Stores[0].Answers, unsure.Code()}, "it may be the last good one")
}

// A store that is silent holds up nobody, nor does a bundle that is held.
func TestPruneWhatIsHeld(t *testing.T) {
	k := newKept(t, lastTwo)
	other := t.TempDir()
	k.says(`"stores": ["`+k.store+`"]`, fmt.Sprintf(`"stores": [%q, %q]`, k.store, other))
	here, there := []string{}, []string{}
	for days := range 5 {
		here, there = append(here, k.ago(k.store, "web", days)), append(there, k.ago(other, "web", days))
	}
	silent, asked := true, 0
	k.failing(func(address, call, id string) error {
		switch {
		case address == other && silent && call != "open":
			asked++
			return fault.New(fault.HostUnreachable, "silent", "")
		case call == "remove" && id == here[3]:
			return fault.New(fault.Denied, "it is locked", "")
		}
		return nil
	})
	store := func(r *state.PruneReport, name string) state.PruneStore {
		at := slices.IndexFunc(r.Stores, func(s state.PruneStore) bool { return s.Name == name })
		require.GreaterOrEqual(t, at, 0)
		return r.Stores[at]
	}
	preview, err := k.prunes(state.PruneRequest{})
	require.NoError(t, err)
	assert.Equal(t, []any{3, false, "silent", ""}, []any{preview.Bundles, store(preview, other).Answers, store(preview, other).Problem.Message, string(preview.Code())})
	alone, err := k.prunes(state.PruneRequest{Store: other})
	require.NoError(t, err)
	assert.Equal(t, fault.HostUnreachable, alone.Code())

	done, err := k.prunes(state.PruneRequest{Confirm: preview.PreviewID})
	require.NoError(t, err)
	assert.Equal(t, []any{"failed", fault.Denied, 2}, []any{done.State, done.Code(), done.Bundles}, "%+v", done)
	assert.Equal(t, []string{here[0], here[1], here[3]}, k.keeps(k.store, "web"), "the others have gone")
	assert.Len(t, k.keeps(other, "web"), 5)

	silent = false
	preview, err = k.prunes(state.PruneRequest{Store: other})
	require.NoError(t, err)
	require.Equal(t, 3, preview.Bundles)
	k.failing(func(_, call, _ string) error {
		if call == "remove" {
			silent = true
		}
		return nil
	})
	asked = 0
	done, err = k.prunes(state.PruneRequest{Store: other, Confirm: preview.PreviewID})
	require.NoError(t, err)
	assert.Equal(t, []any{"failed", fault.HostUnreachable, 0, 1}, []any{done.State, done.Code(), done.Bundles, asked}, "it is not asked again")
	assert.Equal(t, there, k.keeps(other, "web"))
}

// What is verified, or found damaged, while bundles go may have another one become the
// last good one.
func TestPruneWhileSomebodyVerifies(t *testing.T) {
	k := newKept(t, lastTwo)
	ids := []string{}
	for days := range 6 {
		ids = append(ids, k.ago(k.store, "web", days))
	}
	k.isVerified(k.store, "web", ids[2])
	k.isVerified(k.store, "web", ids[4])
	preview, err := k.prunes(state.PruneRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{ids[5], ids[4], ids[3]}, idsOf(preview.Stores[0].Goes))
	k.failing(func(_, call, id string) error {
		if call == "remove" && id == ids[5] {
			return evidence(k.jobs).Withdraw(k.store, "web", ids[2])
		}
		return nil
	})
	done, err := k.prunes(state.PruneRequest{Confirm: preview.PreviewID})
	require.NoError(t, err)
	assert.Equal(t, []any{"failed", fault.Conflict, 2}, []any{done.State, done.Code(), done.Bundles}, "%+v", done)
	assert.Contains(t, done.Stores[0].Goes[1].Problem.Message, "last verified")
	assert.Equal(t, []string{ids[0], ids[1], ids[2], ids[4]}, k.keeps(k.store, "web"))
}

// Who cancels gets the report of what has gone.
func TestPruneOfBundlesIsCanceled(t *testing.T) {
	k := newKept(t, lastTwo)
	for days := range 5 {
		k.ago(k.store, "web", days)
	}
	preview, err := k.prunes(state.PruneRequest{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	removed := 0
	k.failing(func(_, call, _ string) error {
		if call != "remove" {
			return nil
		}
		if removed++; removed == 2 {
			stop()
			return context.Canceled
		}
		return nil
	})
	done, err := k.core.StatePrune(ctx, state.PruneRequest{Confirm: preview.PreviewID}, quiet)
	require.NoError(t, err)
	assert.Equal(t, []any{"canceled", fault.Canceled, 1}, []any{done.State, done.Code(), done.Bundles}, "%+v", done)
	assert.Equal(t, []state.PruneStatus{state.Pruned, state.PrunePending, state.PrunePending}, []state.PruneStatus{done.Stores[0].Goes[0].Status, done.Stores[0].Goes[1].Status, done.Stores[0].Goes[2].Status})
	j, err := k.jobs.Get(t.Context(), done.JobID)
	require.NoError(t, err)
	assert.Equal(t, job.Canceled, j.State)
	assert.Len(t, k.keeps(k.store, "web"), 4)
}

// As much goes at a time as can be looked at.
func TestPruneOfManyBundles(t *testing.T) {
	k := newKept(t, lastTwo)
	for days := range 105 {
		k.ago(k.store, "web", days)
	}
	preview, err := k.prunes(state.PruneRequest{})
	require.NoError(t, err)
	assert.Equal(t, []int{100, 3, 2}, []int{preview.Bundles, preview.Stores[0].More, preview.Stores[0].Kept})
	done, err := k.prunes(state.PruneRequest{Confirm: preview.PreviewID})
	require.NoError(t, err)
	assert.Equal(t, "succeeded", done.State)
	assert.Len(t, k.keeps(k.store, "web"), 5)
	many, err := k.prunes(state.PruneRequest{Last: 200})
	require.NoError(t, err)
	assert.Zero(t, many.Bundles)
	_, err = k.prunes(state.PruneRequest{Last: 200, Confirm: strings.Repeat("0", 12)})
	assert.Equal(t, fault.Conflict, fault.CodeOf(err), "nothing would go any more")
}
