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

	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// sluggish is a store that takes its time to say what it has.
type sluggish struct {
	state.Store
	takes func(service string) time.Duration
}

func (s sluggish) List(ctx context.Context, service string) ([]state.Kept, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.takes(service)):
		return s.Store.List(ctx, service)
	}
}

// A store that does not answer is left after its time, whoever asks: the others are
// asked, and no service is put to rest for it.
func TestStoreDoesNotAnswer(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "stop"}, "retention": {"last": 1}`)
	k.runs("web", "v1", healthy)
	before := k.containers("nas")
	hung := t.TempDir()
	path := filepath.Join(k.cfg.Repo, "homelab.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), `"stores": ["`, `"stores": ["`+hung+`", "`, 1)), 0o644))
	patience := storePatience
	storePatience = 300 * time.Millisecond
	t.Cleanup(func() { storePatience = patience })
	whole := k.Harness.stores
	k.Harness.stores = func(at registry.Store, work string) (state.Store, error) {
		store, err := whole(at, work)
		return sluggish{store, func(string) time.Duration {
			if at.Path == hung {
				return time.Hour
			}
			return 0
		}}, err
	}
	_, err = k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web", Store: hung}, quiet)
	assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, hung)
	assert.Equal(t, before, k.containers("nas"), "it was never stopped")

	report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "web", Store: k.store}, quiet)
	require.NoError(t, err)
	_, err = k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle}, quiet)
	require.NoError(t, err, "another store has it")
	_, err = k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: "20260101T000000Z-00000000"}, quiet)
	assert.Equal(t, fault.HostUnreachable, fault.CodeOf(err), "nobody knows: %v", err)
	pruned, err := k.core.StatePrune(t.Context(), state.PruneRequest{}, quiet)
	require.NoError(t, err)
	require.Len(t, pruned.Stores, 2)
	for _, s := range pruned.Stores {
		assert.Equal(t, s.Name != hung, s.Answers, s.Name)
	}
}

// Each service has its own time.
func TestStoreIsSlow(t *testing.T) {
	k := newKept(t, `"quiesce": {"kind": "stop"}`)
	patience := storePatience
	storePatience = 300 * time.Millisecond
	t.Cleanup(func() { storePatience = patience })
	whole := k.Harness.stores
	k.Harness.stores = func(at registry.Store, work string) (state.Store, error) {
		store, err := whole(at, work)
		return sluggish{store, func(string) time.Duration { return 200 * time.Millisecond }}, err
	}
	p := &thinning{Harness: k.Harness, jobs: k.jobs, stores: map[string]map[string]registry.Retention{
		k.store: {"web": {Last: 1}, "db": {Last: 1}, "mail": {Last: 1}},
	}}
	s, err := p.survey(t.Context(), k.store, time.Now())
	require.NoError(t, err)
	assert.True(t, s.Answers)
}
