package deploytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

func (s *containerSuite) commands(t *testing.T) {
	spec := s.spec("suite-commands", "runs")
	spec.Env = map[string]string{"GREETING": "good day"}
	c := s.started(t, spec)
	rows := map[string]struct {
		command []string
		exit    int
		output  string
	}{
		"well":        {[]string{"true"}, 0, ""},
		"badly":       {[]string{"sh", "-c", "exit 3"}, 3, ""},
		"output":      {[]string{"sh", "-c", "echo $GREETING"}, 0, "good day\n"},
		"error":       {[]string{"sh", "-c", "echo no >&2; exit 1"}, 1, "no\n"},
		"much output": {[]string{"sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"}, 0, lastLines(3000)},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			exit, output, err := s.Exec(t.Context(), c.ID, row.command)
			require.NoError(t, err)
			assert.Equal(t, row.exit, exit)
			assert.Equal(t, row.output, output)
		})
	}
	t.Run("no such command", func(t *testing.T) {
		exit, output, err := s.Exec(t.Context(), c.ID, []string{"no-such-command"})
		require.NoError(t, err)
		assert.Contains(t, []int{126, 127}, exit)
		assert.Contains(t, output, "no-such-command")
	})
	t.Run("takes too long", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, _, err := s.Exec(ctx, c.ID, []string{"sh", "-c", "sleep 30"})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(begun), 10*time.Second)
	})
	t.Run("it does not run", func(t *testing.T) {
		require.NoError(t, s.Stop(t.Context(), c.ID, 0))
		_, _, err := s.Exec(t.Context(), c.ID, []string{"true"})
		refusal(t, err, fault.Conflict, "is not running")
	})
}

// lastLines is the last 4 KiB of so many lines.
func lastLines(count int) string {
	var all strings.Builder
	for i := range count {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	const kept = 4 << 10
	return all.String()[all.Len()-kept:]
}

func (s *containerSuite) connections(t *testing.T) {
	c := s.started(t, s.spec("suite-serves", "serves"))
	assert.NotEmpty(t, c.Address)
	var page string
	for end := time.Now().Add(patience); page == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := s.dial(t.Context(), c, PagePort)
		if err != nil {
			failed(t, err, fault.Unhealthy) // it does not listen yet
			continue
		}
		page = get(t, conn)
	}
	assert.Equal(t, "hello\n", page)
	_, err := s.dial(t.Context(), c, PagePort+1)
	failed(t, err, fault.Unhealthy, "cannot connect to")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.dial(over, c, PagePort)
	assert.ErrorIs(t, err, context.Canceled)
}

func (s *containerSuite) dial(ctx context.Context, c deploy.Container, port int) (conn net.Conn, err error) {
	s.Inside(func() { conn, err = s.Dial(ctx, c, port) })
	return conn, err
}

// get asks for a page, and returns what comes after the header.
func get(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer func() { assert.NoError(t, conn.Close()) }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, page, _ := strings.Cut(string(answer), "\r\n\r\n")
	return page
}

func (s *containerSuite) logs(t *testing.T) {
	c := s.started(t, s.spec("suite-talks", "talks"))
	last := func(lines int, since time.Time) string {
		return s.printed(t, c.ID, deploy.Tail{Lines: lines, Since: since})
	}
	require.Eventually(t, func() bool { return strings.Count(last(100, time.Time{}), "\n") == 4 }, patience, 20*time.Millisecond)
	assert.ElementsMatch(t, []string{"one", "two", "three", "careful", ""}, strings.Split(last(100, time.Time{}), "\n"))
	assert.Equal(t, 2, strings.Count(last(2, time.Time{}), "\n"))
	assert.Empty(t, last(0, time.Time{}))
	assert.Empty(t, last(-1, time.Time{}))
	assert.NotEmpty(t, last(9, c.Started.Add(-time.Second)))
	assert.Empty(t, last(9, time.Now().Add(time.Hour)))

	for line := range strings.Lines(s.printed(t, c.ID, deploy.Tail{Lines: 9, Timestamps: true})) {
		stamp, text, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		require.NoError(t, err, line)
		assert.WithinDuration(t, time.Now(), at, time.Minute)
		assert.Contains(t, []string{"one\n", "two\n", "three\n", "careful\n"}, text)
	}

	cause := errors.New("nobody reads")
	err := s.Logs(t.Context(), c.ID, deploy.Tail{Lines: 9}, brokenWriter{cause})
	assert.ErrorIs(t, err, cause)
	assert.Equal(t, fault.Internal, fault.CodeOf(err), "it is not the engine's")
	refusal(t, s.Logs(t.Context(), "suite-no-such", deploy.Tail{Lines: 9}, io.Discard), fault.NotFound)
}

func (s *containerSuite) printed(t *testing.T, id string, tail deploy.Tail) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, s.Logs(t.Context(), id, tail, &out))
	return out.String()
}

// logsWithoutSecrets has a container print what nobody is to read.
func (s *containerSuite) logsWithoutSecrets(t *testing.T) {
	spec := s.spec("suite-tells", "tells")
	spec.EnvFiles = []string{s.Put(t, "tells.env", "TOKEN=hunter2 and more\nPIN=123\n")}
	spec.Env = map[string]string{"PLAIN": "of the registry"}
	c := s.started(t, spec)
	require.Eventually(t, func() bool { return strings.Count(s.printed(t, c.ID, deploy.Tail{Lines: 9}), "\n") == 3 }, patience, 20*time.Millisecond)
	assert.Equal(t, "TOKEN is …\nPIN is 123\nPLAIN is of the registry\n", s.printed(t, c.ID, deploy.Tail{Lines: 9}))
	assert.NotContains(t, s.printed(t, c.ID, deploy.Tail{Lines: 9, Timestamps: true}), "hunter2")
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func (s *containerSuite) networks(t *testing.T) {
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-net"))
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-net"), "it is there")
	require.NoError(t, s.EnsureNetwork(t.Context(), "suite-other"))
	spec := s.spec("suite-joins", "runs")
	spec.Networks = []string{"suite-net", "suite-other"}
	c := s.started(t, spec)
	assert.Equal(t, spec.Networks, c.Spec.Networks)
	assert.NotEmpty(t, c.Address)
}

func (s *containerSuite) canceled(t *testing.T) {
	id := s.create(t, s.spec("suite-canceled", "runs"))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	errs := s.changes(over, id)
	_, errs["container"] = s.Container(over, id)
	_, errs["list"] = s.List(over)
	_, errs["create"] = s.Create(over, "suite-canceled-too", s.spec("suite-canceled-too", "runs"), nil)
	_, errs["env"] = s.EnvDiffers(over, id, deploy.Spec{})
	errs["remove"] = s.Remove(over, id)
	errs["logs"] = s.Logs(over, id, deploy.Tail{Lines: 1}, io.Discard)
	errs["network"] = s.EnsureNetwork(over, "suite-canceled")
	for call, err := range errs {
		assert.ErrorIs(t, err, context.Canceled, call)
	}
	assert.Equal(t, deploy.Created, s.found(t, id).State)
}
