package nix

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
)

func TestMaxEvaluations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		processors int
		meminfo    string
		want       int
	}{
		{8, "MemTotal: 99999999 kB\nMemAvailable:   16000000 kB\n", 4},
		{3, "MemAvailable: 16000000 kB\n", 3},
		{8, "MemAvailable: 2097152 kB\n", 2},
		{8, "MemAvailable: 2097151 kB\n", 1},
		{8, "MemAvailable: 1000 kB\n", 1},
		{1, "MemAvailable: 16000000 kB\n", 1},
		{8, "MemTotal: 16000000 kB\n", 2},
		{8, "MemAvailable: much kB\n", 2},
		{1, "", 1},
	} {
		file := filepath.Join(t.TempDir(), "meminfo")
		require.NoError(t, os.WriteFile(file, []byte(c.meminfo), 0o600))
		assert.Equal(t, c.want, maxEvaluations(c.processors, file), "%d, %q", c.processors, c.meminfo)
	}
	assert.Equal(t, 2, maxEvaluations(8, filepath.Join(t.TempDir(), "none")))
}

// Two sides with broken attributes share one bound, and use it.
func TestEvaluationsAreBounded(t *testing.T) {
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	broken := strings.TrimSuffix(strings.Repeat(`{"failed":true},`, 6), ",")
	script := fmt.Sprintf(`#!/bin/sh
case "$*" in *"catch = true"*) echo '{"found":[%s]}'; exit;; esac
echo + >>%[2]s; sleep 0.1; echo - >>%[2]s
echo "error: broken" >&2; exit 1
`, broken, log)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "nix"), []byte(script), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var sides sync.WaitGroup
	for range 2 {
		sides.Go(func() {
			found, err := Nix{}.Targets(t.Context(), "git+file:///lab", strings.Fields("p.x.a p.x.b p.x.c p.x.d p.x.e p.x.f"))
			assert.NoError(t, err)
			assert.ErrorContains(t, found["p.x.f"].Err, "broken")
		})
	}
	sides.Wait()
	said, err := os.ReadFile(log)
	require.NoError(t, err)
	running, most := 0, 0
	for line := range strings.Lines(string(said)) {
		running += map[string]int{"+\n": 1, "-\n": -1}[line]
		most = max(most, running)
	}
	assert.Zero(t, running)
	assert.Equal(t, cap(evaluations()), most)
	assert.Equal(t, 24, strings.Count(string(said), "\n"))
}

// Who waits for room does so no longer than wanted.
func TestEvaluationsAreCanceledWhileTheyWait(t *testing.T) {
	for range cap(evaluations()) {
		done, err := evaluating(t.Context())
		require.NoError(t, err)
		defer done()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := Nix{}.EvalJSON(ctx, Installable{Flake: "git+file:///lab", Attr: "homelab"}, 100)
	assert.Equal(t, fault.Timeout, fault.CodeOf(err), "%v", err)
}
