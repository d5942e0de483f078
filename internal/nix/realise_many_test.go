package nix_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

// many asks for several at once, each with a root and a log.
type many struct {
	names []string
	asked []nix.Realisation
	logs  []*bytes.Buffer
}

func (l brokenLab) many(t *testing.T, names ...string) many {
	t.Helper()
	targets, roots := l.targets(t, names...), t.TempDir()
	m := many{names: names}
	for _, name := range names {
		m.logs = append(m.logs, &bytes.Buffer{})
		m.asked = append(m.asked, nix.Realisation{
			Drv: targets[name].Drv, Output: targets[name].OutputName, Out: targets[name].Out,
			Root: filepath.Join(roots, name), Log: m.logs[len(m.logs)-1],
		})
	}
	return m
}

// One process builds what several need once, and tells each what came of it.
func TestRealRealiseMany(t *testing.T) {
	lab := broken(t)
	m := lab.many(t, "chain", "needsExits", "needsForeign", "alsoNeedsExits", "two", "mismatch", "noOutput", "foreign", "silent")
	built := map[string]int{}
	options, err := nix.ParseOptions([]string{"max-silent-time=2"})
	require.NoError(t, err)
	done, err := nix.Nix{Options: options}.Realise(t.Context(), m.asked, nix.How{MaxJobs: 2, Event: func(e nix.Event) {
		if e.Kind == nix.BuildStarted {
			built[nix.ShortName(e.Drv)]++
		}
	}})
	require.NoError(t, err)
	assert.Equal(t, 1, built["exits"], "what fails fails once: %v", built)
	assert.LessOrEqual(t, built["good"], 1)

	want := map[string]nix.FailureKind{
		"needsExits": nix.BuilderFailed, "alsoNeedsExits": nix.BuilderFailed, "needsForeign": nix.PlatformMismatch, "foreign": nix.PlatformMismatch,
		"mismatch": nix.HashMismatch, "noOutput": nix.BuilderFailed, "silent": nix.BuilderTimedOut,
	}
	for i, name := range m.names {
		kind, fails := want[name]
		if !fails {
			assert.Equal(t, nix.Realised{Built: true, Rooted: true}, done[i], name)
			link, err := os.Readlink(m.asked[i].Root)
			require.NoError(t, err, name)
			assert.Equal(t, m.asked[i].Out, link)
			assertRoots(t, link, m.asked[i].Root)
			continue
		}
		if assert.Error(t, done[i].Err, name) {
			assert.Equal(t, kind, failure(t, done[i].Err).Kind, "%s: %v", name, done[i].Err)
		}
		assert.NoFileExists(t, m.asked[i].Root)
	}
	exits := failure(t, done[1].Err)
	assert.Equal(t, 3, exits.Exit)
	assert.Equal(t, "exits", nix.ShortName(exits.Drv))
	assert.Len(t, exits.Tail, 25)
	for _, i := range []int{1, 3} {
		assert.Contains(t, m.logs[i].String(), "exits> line 1\n", "each log has what it needs")
	}
	assert.Contains(t, m.logs[0].String(), "chain\n")
	assert.NotContains(t, m.logs[0].String(), "exits>")
}

func TestRealRealiseStopsAtTheFirst(t *testing.T) {
	lab := broken(t)
	m := lab.many(t, "exits", "endless")
	done, err := nix.Nix{}.Realise(t.Context(), m.asked, nix.How{MaxJobs: 2, FailFast: true})
	require.NoError(t, err)
	assert.Equal(t, nix.BuilderFailed, failure(t, done[0].Err).Kind)
	assert.Equal(t, nix.Realised{Skipped: true}, done[1])
	assert.Empty(t, processes(t, lab.salt))
}

// MaxJobs bounds all builders together.
func TestRealMaxJobs(t *testing.T) {
	lab := broken(t)
	m := lab.many(t, "nap1", "nap2", "nap3")
	running, most := 0, 0
	_, err := nix.Nix{}.Realise(t.Context(), m.asked, nix.How{MaxJobs: 1, Event: func(e nix.Event) {
		switch e.Kind {
		case nix.BuildStarted:
			running++
			most = max(most, running)
		case nix.BuildFinished:
			running--
		}
	}})
	require.NoError(t, err)
	assert.Equal(t, 1, most)
}

// What was built before all ended with an error is told, and kept.
func TestRealRealiseIsBrokenOff(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, cancel func()){
		"canceled": func(_ *testing.T, cancel func()) { cancel() },
		"killed": func(t *testing.T, _ func()) {
			assert.NoError(t, syscall.Kill(child(t, "nix-store"), syscall.SIGKILL))
		},
	} {
		t.Run(name, func(t *testing.T) {
			lab := broken(t)
			m := lab.many(t, "endless", "good")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			t.Cleanup(func() { // a killed Nix leaves its builder
				for _, pid := range processes(t, lab.salt) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			var begun, built bool
			done, err := nix.Nix{}.Realise(ctx, m.asked, nix.How{MaxJobs: 2, Event: func(e nix.Event) {
				begun = begun || e.Kind == nix.LogLine && e.Drv == m.asked[0].Drv
				built = built || e.Kind == nix.BuildFinished && e.Drv == m.asked[1].Drv
				if begun && built {
					begun = false
					end(t, cancel)
				}
			}})
			require.Error(t, err)
			require.Len(t, done, 2)
			assert.Equal(t, nix.Realised{Skipped: true}, done[0])
			assert.Equal(t, nix.Realised{Built: true, Rooted: true}, done[1])
			assertRoots(t, m.asked[1].Out, m.asked[1].Root)
			assert.NoFileExists(t, m.asked[0].Root)
		})
	}
}

// child is the process of this one that runs a program.
func child(t *testing.T, program string) int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	require.NoError(t, err)
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		require.NoError(t, err)
		for _, word := range strings.Fields(string(children)) {
			line, err := os.ReadFile("/proc/" + word + "/cmdline")
			require.NoError(t, err)
			if name, _, _ := strings.Cut(string(line), "\x00"); filepath.Base(name) == program {
				pid, err := strconv.Atoi(word)
				require.NoError(t, err)
				return pid
			}
		}
	}
	t.Fatal("there is no " + program)
	return 0
}

// A root that cannot be made is a failure of its own.
func TestRealRootInTheWay(t *testing.T) {
	lab := broken(t)
	m := lab.many(t, "good", "two")
	require.NoError(t, os.MkdirAll(m.asked[0].Root, 0o755))
	done, err := nix.Nix{}.Realise(t.Context(), m.asked, nix.How{})
	require.NoError(t, err)
	assert.Equal(t, fault.Conflict, fault.CodeOf(done[0].Err))
	assert.Equal(t, nix.Realised{Built: true, Rooted: true}, done[1])
}

// What is said of one among many is found by its name; what names none is about
// all that is not there.
func TestRealManyFailAtOnce(t *testing.T) {
	lab := broken(t)
	m := lab.many(t, "good", "two")
	deadDaemon(t)
	_, err := nix.Nix{}.Realise(t.Context(), m.asked, nix.How{})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "start the Nix daemon")
}

// One process, however many are asked for; nothing more is asked when all is well.
func TestRealiseIsOneProcess(t *testing.T) {
	ran := loggedNix(t)
	asked := make([]nix.Realisation, 20)
	for i := range asked {
		asked[i].Drv = fmt.Sprintf("/nix/store/%032d-a.drv", i)
	}
	_, err := nix.Nix{}.Realise(t.Context(), asked, nix.How{})
	require.NoError(t, err)
	assert.Len(t, ran(), 1)
}
