package rollout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needs are dependencies: a: b c.
func needs(of map[string][]string) func(string) []string {
	return func(name string) []string { return of[name] }
}

func TestWaits(t *testing.T) {
	of := needs(map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": {"e"}, "f": nil})
	assert.Equal(t, map[string][]string{"a": {"e"}, "e": {}, "f": {}}, Waits([]string{"f", "a", "e"}, of), "through those that are not among them")
	assert.Equal(t, map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": {}}, Waits([]string{"a", "b", "c", "d"}, of))
	assert.Equal(t, []string{"d", "b", "c", "a"}, sorted(Waits([]string{"a", "b", "c", "d"}, of)))
	assert.Empty(t, Waits(nil, of))
	assert.Equal(t, []string{"a", "b", "c", "d", "e", "f"}, sorted(Waits([]string{"f", "d", "b", "e", "c", "a"}, needs(nil))), "by name where there is a choice")
}

// Of any services that depend on each other without a cycle each is done once, after
// what it waits for, never more at a time than may be, and none whose dependency
// failed.
func TestEachInAnyOrder(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		of, names := map[string][]string{}, []string{}
		for i := range 1 + random.IntN(12) {
			name := fmt.Sprintf("s%02d", i)
			for _, other := range names {
				if random.IntN(4) == 0 {
					of[name] = append(of[name], other)
				}
			}
			names = append(names, name)
		}
		fails := map[string]bool{}
		for _, name := range names {
			fails[name] = random.IntN(5) == 0
		}
		limit := 1 + random.IntN(3)
		waits := Waits(names, needs(of))

		var mu sync.Mutex
		running, over, skipped := 0, []string{}, map[string]string{}
		Each(t.Context(), waits, limit, func(name string) error {
			mu.Lock()
			defer mu.Unlock()
			running++
			assert.LessOrEqual(t, running, limit)
			for _, first := range waits[name] {
				assert.Contains(t, over, first, "%s waits for it", name)
				assert.False(t, fails[first])
			}
			mu.Unlock()
			for range 20 {
				runtime.Gosched() // to whoever may not run yet
			}
			mu.Lock()
			running--
			over = append(over, name)
			if fails[name] {
				return errors.New("no")
			}
			return nil
		}, func(name, because string) {
			mu.Lock()
			defer mu.Unlock()
			assert.True(t, fails[because], "%s is skipped because of %s", name, because)
			skipped[name] = because
		})
		for _, name := range names {
			_, left := skipped[name]
			assert.NotEqual(t, left, slices.Contains(over, name), "%s is done or skipped", name)
			doomed := slices.ContainsFunc(waits[name], func(first string) bool { _, s := skipped[first]; return s || fails[first] })
			assert.Equal(t, doomed, left, "%s of seed %d", name, seed)
		}
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(over))), len(over), "none twice")
	}
}

func TestEachIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	skipped := []string{}
	Each(ctx, Waits([]string{"a", "b", "c"}, needs(map[string][]string{"b": {"a"}, "c": {"b"}})), 1, func(name string) error {
		require.Equal(t, "a", name)
		cancel()
		return nil // it was done all the same
	}, func(name, because string) {
		assert.Empty(t, because)
		skipped = append(skipped, name)
	})
	assert.Equal(t, []string{"b", "c"}, skipped)
}
