package nix_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestRealBuildsFail(t *testing.T) {
	lab := broken(t)
	elsewhere := "aarch64-linux"
	if lab.system == elsewhere {
		elsewhere = "x86_64-linux"
	}
	names := []string{"exits", "needsExits", "killed", "foreign", "needsForeign", "featured", "mismatch", "needsMismatch", "noOutput", "noBuilder", "silent", "endless"}
	targets := lab.targets(t, names...)
	rows := []struct {
		name string
		code fault.Code
		want nix.Failure // without Tail and Message
		last string      // line of the tail
		hint string
	}{
		{"exits", fault.BuildFailed, nix.Failure{Kind: nix.BuilderFailed, Drv: targets["exits"].Drv, Exit: 3},
			"red and bell ", "nix-store --read-log " + targets["exits"].Drv},
		{"needsExits", fault.BuildFailed, nix.Failure{Kind: nix.BuilderFailed, Drv: targets["exits"].Drv, Exit: 3},
			"red and bell ", "--read-log"},
		{"killed", fault.BuildFailed, nix.Failure{Kind: nix.BuilderFailed, Drv: targets["killed"].Drv, Signal: 9},
			"going", "--read-log"},
		{"foreign", fault.Precondition, nix.Failure{Kind: nix.PlatformMismatch, Drv: targets["foreign"].Drv, System: elsewhere, Machine: lab.system},
			"", "builders=ssh-ng://HOST " + elsewhere},
		{"needsForeign", fault.Precondition, nix.Failure{Kind: nix.PlatformMismatch, Drv: targets["foreign"].Drv, System: elsewhere, Machine: lab.system},
			"", "extra-platforms = " + elsewhere},
		{"mismatch", fault.BuildFailed, nix.Failure{Kind: nix.HashMismatch, Drv: targets["mismatch"].Drv,
			Specified: "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Got: "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="},
			"", "write sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM= in place"},
		{"needsMismatch", fault.BuildFailed, nix.Failure{Kind: nix.HashMismatch, Drv: targets["mismatch"].Drv,
			Specified: "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Got: "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="},
			"", "in place"},
		{"noOutput", fault.BuildFailed, nix.Failure{Kind: nix.BuilderFailed, Drv: targets["noOutput"].Drv},
			"forgot", "--read-log"},
		{"noBuilder", fault.BuildFailed, nix.Failure{Kind: nix.BuilderFailed, Drv: targets["noBuilder"].Drv, Exit: 1},
			"executing '/no/such/builder': No such file or directory", "--read-log"},
		{"silent", fault.Timeout, nix.Failure{Kind: nix.BuilderTimedOut, Drv: targets["silent"].Drv},
			"begun", "max-silent-time"},
	}
	options, err := nix.ParseOptions([]string{"max-silent-time=2"})
	require.NoError(t, err)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			root := filepath.Join(t.TempDir(), "root")
			_, err := realise(t, nix.Nix{Options: options}, nix.Realisation{Drv: targets[row.name].Drv, Root: root, Log: &log})
			f := fault.Of(err)
			require.NotNil(t, f)
			assert.Equal(t, row.code, f.Code, "%s", f)
			assert.Contains(t, f.Hint, row.hint)
			assert.NoFileExists(t, root)

			got := *failure(t, err)
			assert.NotEmpty(t, got.Message)
			assert.NotNil(t, got.Features)
			if row.last == "" {
				assert.Empty(t, got.Tail)
			} else {
				require.NotEmpty(t, got.Tail)
				assert.Contains(t, got.Tail[len(got.Tail)-1], row.last)
				assert.Contains(t, log.String(), row.last+"\n")
			}
			if row.want.Exit == 3 {
				assert.Len(t, got.Tail, 25)
				assert.Equal(t, "line 17", got.Tail[0])
				assert.Equal(t, row.name == "needsExits", strings.Contains(log.String(), "exits> line 1\n"), "%s", log.String())
			}
			got.Tail, got.Features, got.Message = nil, nil, ""
			assert.Equal(t, row.want, got)
		})
	}
	t.Run("featured", func(t *testing.T) {
		t.Parallel()
		_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: targets["featured"].Drv})
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.Equal(t, nix.PlatformMismatch, failure(t, err).Kind)
		assert.Equal(t, []string{"no-such-feature"}, failure(t, err).Features)
		assert.Contains(t, fault.Of(err).Hint, "system-features")
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		deadline, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		_, err := realiseIn(deadline, nix.Nix{}, nix.Realisation{Drv: targets["endless"].Drv, Out: targets["endless"].Out}, nil)
		assert.Equal(t, fault.Timeout, fault.CodeOf(err))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A canceled build leaves no process behind.
func TestRealBuildIsCanceled(t *testing.T) {
	lab := broken(t)
	for _, name := range []string{"endless", "chatty"} {
		t.Run(name, func(t *testing.T) {
			target := lab.target(t, name)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var began sync.Once
			var running []int
			_, err := realiseIn(ctx, nix.Nix{}, nix.Realisation{Drv: target.Drv, Out: target.Out}, func(e nix.Event) {
				if e.Kind == nix.LogLine {
					began.Do(func() {
						running = processes(t, lab.salt)
						cancel()
					})
				}
			})
			assert.NotEmpty(t, running, "the builder was not found while it ran")
			assert.Equal(t, fault.Canceled, fault.CodeOf(err))
			assert.ErrorIs(t, err, context.Canceled)
			assert.Eventually(t, func() bool { return len(processes(t, lab.salt)) == 0 }, 10*time.Second, 5*time.Millisecond)

			invalid, err := nix.Nix{}.Valid(t.Context(), []string{target.Out})
			require.NoError(t, err)
			assert.Equal(t, []string{target.Out}, invalid)
		})
	}
}

// processes are the ids of those with a word in their environment, which every
// builder of a lab has.
func processes(t *testing.T, word string) []int {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	var found []int
	for _, path := range environments {
		environment, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environment, []byte("salt="+word)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		require.NoError(t, err)
		found = append(found, pid)
	}
	return found
}

func TestRealDerivationIsGone(t *testing.T) {
	lab := broken(t)
	target := lab.target(t, "good")
	run(t, "nix-store", "--delete", target.Drv)

	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: target.Drv})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Equal(t, nix.DrvMissing, failure(t, err).Kind)
	assert.Equal(t, target.Drv, failure(t, err).Drv)
	assert.Contains(t, fault.Of(err).Hint, "evaluate it again")
}

func TestRealDaemonIsDead(t *testing.T) {
	lab := broken(t)
	target := lab.target(t, "good")
	deadDaemon(t)
	_, err := realise(t, nix.Nix{}, nix.Realisation{Drv: target.Drv})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Equal(t, nix.DaemonUnreachable, failure(t, err).Kind)
	assert.Contains(t, fault.Of(err).Hint, "start the Nix daemon")

	_, err = nix.Nix{}.Valid(t.Context(), []string{target.Out})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
}
