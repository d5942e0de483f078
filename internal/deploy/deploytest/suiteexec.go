package deploytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// commandsGoOn has commands that nobody waits for any more.
func (s *containerSuite) commandsGoOn(t *testing.T) {
	c := s.started(t, s.spec("suite-goes-on", "runs"))
	is := func(exec string) deploy.ExecState {
		t.Helper()
		state, err := s.ExecState(t.Context(), exec)
		require.NoError(t, err)
		return state
	}
	name := ""
	exit, output, err := s.ExecAs(t.Context(), c.ID, []string{"sh", "-c", "echo well; exit 3"}, func(exec string) error {
		name = exec
		assert.Equal(t, deploy.ExecReady, is(exec))
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []any{3, "well\n", deploy.ExecOver}, []any{exit, output, is(name)})

	no := errors.New("no")
	_, _, err = s.ExecAs(t.Context(), c.ID, []string{"true"}, func(exec string) error { name = exec; return no })
	require.ErrorIs(t, err, no)
	assert.Equal(t, deploy.ExecReady, is(name))
	assert.Equal(t, deploy.ExecOver, is("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	named := make(chan string, 1)
	go func() { // whoever waits gives up once it runs
		exec := <-named
		for {
			if state, err := s.ExecState(t.Context(), exec); err != nil || state != deploy.ExecReady {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
	}()
	_, _, err = s.ExecAs(ctx, c.ID, []string{"sh", "-c", "sleep 5"}, func(exec string) error { name = exec; named <- exec; return nil })
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, deploy.ExecRuns, is(name), "nobody has ended it")
	require.Eventually(t, func() bool { return is(name) == deploy.ExecOver }, patience, 20*time.Millisecond)

	_, _, err = s.ExecAs(t.Context(), s.Stranger(t, "suite-strange-exec", "suite/runs:v1"), []string{"true"}, func(string) error { return nil })
	failed(t, err, fault.Denied)
}

// writers asks who may write to what is captured.
func (s *containerSuite) writers(t *testing.T) {
	writers := func(m deploy.Mount) []string {
		t.Helper()
		names, err := s.Writers(t.Context(), m)
		require.NoError(t, err)
		return names
	}
	for name, m := range map[string]deploy.Mount{
		"suite-writes":  {Volume: "suite-shared", Target: "/a"},
		"suite-reads":   {Volume: "suite-shared", Target: "/a", ReadOnly: true},
		"suite-another": {Volume: "suite-sharedtoo", Target: "/suite-shared"},
		"suite-path":    {Source: "/usr/lib", Target: "/b"},
	} {
		spec := s.spec(name, "runs")
		spec.Mounts = []deploy.Mount{m}
		s.started(t, spec)
	}
	assert.Equal(t, []string{"suite-writes"}, writers(deploy.Mount{Volume: "suite-shared"}))
	assert.Empty(t, writers(deploy.Mount{Volume: "suite-none"}))
	for _, path := range []string{"/usr/lib", "/usr", "/usr/lib/x"} {
		assert.Equal(t, []string{"suite-path"}, writers(deploy.Mount{Source: path}), path)
	}
	assert.Empty(t, writers(deploy.Mount{Source: "/usr/libexec"}))
	require.NoError(t, s.Stop(t.Context(), s.found(t, "suite-writes").ID, 0))
	assert.Empty(t, writers(deploy.Mount{Volume: "suite-shared"}), "it does not run")
}
