package dockerhost_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

func dialed(t *testing.T, ctx context.Context, url, to string) (net.Conn, error) {
	t.Helper()
	engine, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, engine.Close()) })
	return engine.DialTCP(ctx, to)
}

func TestView(t *testing.T) {
	rows := []struct {
		url, self     string
		inside, local bool
	}{
		{"unix:///run/docker.sock", "127.0.0.1", true, true},
		{"ssh://me@nas:22", "127.0.0.1", true, false},
		{"tcp://nas:2375", "nas", false, false},
		{"tcp://[::1]:2375", "::1", false, false},
	}
	for _, row := range rows {
		engine, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: row.url})
		require.NoError(t, err)
		self, inside := engine.View()
		assert.Equal(t, row.self, self)
		assert.Equal(t, row.inside, inside)
		assert.Equal(t, row.local, engine.Local())
		assert.NoError(t, engine.Close())
	}
}

// What ssh says while it connects, and what becomes of it.
func TestForward(t *testing.T) {
	rows := map[string]struct {
		script        string
		code          fault.Code // empty: it goes well
		message, hint string
	}{
		"well":                {`echo "debug2: channel 0: open confirm rwindow 2097152 rmax 32768" >&2; exec cat`, "", "", ""},
		"by way of a master":  {`echo "debug1: mux_client_request_stdio_fwd: master session id: 2" >&2; exec cat`, "", "", ""},
		"in pieces":           {`printf "debug2: channel 0: open con" >&2; sleep 0.2; echo "firm rwindow" >&2; exec cat`, "", "", ""},
		"nobody there":        {`echo "debug1: a" >&2; echo "channel 0: open failed: connect failed: Connection refused" >&2; echo "stdio forwarding failed" >&2; exit 255`, fault.Unhealthy, "cannot connect to 10.0.0.2:80 from the host of ssh://me@h: connect failed: Connection refused", "its logs"},
		"not allowed":         {`echo "channel 0: open failed: administratively prohibited: open failed" >&2; exit 255`, fault.Unhealthy, "administratively prohibited", ""},
		"no such host":        {`echo "ssh: Could not resolve hostname h: Name or service not known" >&2; echo "debug1: Exit status -1" >&2; exit 255`, fault.HostUnreachable, "Could not resolve hostname h", "try it by hand: ssh me@h"},
		"says only debugging": {`echo "debug1: OpenSSH" >&2; exit 255`, fault.HostUnreachable, "exit status 255 without a message", ""},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			fakeSSH(t, row.script)
			conn, err := dialed(t, t.Context(), "ssh://me@h", "10.0.0.2:80")
			if row.code != "" {
				require.Error(t, err)
				assert.Equal(t, row.code, fault.CodeOf(err))
				assert.ErrorContains(t, err, row.message)
				assert.Contains(t, fault.Of(err).Hint, row.hint)
				return
			}
			require.NoError(t, err)
			_, err = io.WriteString(conn, "hello")
			require.NoError(t, err)
			answer := make([]byte, 5)
			_, err = io.ReadFull(conn, answer)
			require.NoError(t, err)
			assert.Equal(t, "hello", string(answer))
			assert.NoError(t, conn.Close())
		})
	}
}

func TestForwardArguments(t *testing.T) {
	fakeSSH(t, `printf '%s\n' "$*" >&2; exit 1`)
	_, err := dialed(t, t.Context(), "ssh://me@host:2222/run/d.sock", "[fd00::2]:80")
	assert.ErrorContains(t, err, "-T -o BatchMode=yes -o ServerAliveInterval=10 -o ServerAliveCountMax=3 -o ConnectTimeout=8 -l me -p 2222 -v -v -W [fd00::2]:80 -- host")
}

// An ssh that says nothing is not waited for beyond the caller's patience, and is
// gone afterwards.
func TestForwardHangs(t *testing.T) {
	pids := recordPIDs(t, fakeSSH(t, `exec sleep 300`))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := dialed(t, ctx, "ssh://h", "10.0.0.2:80")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begun), 5*time.Second)
	assert.Len(t, pids(), 1)
}

func TestDialDirectly(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	conn, err := dialed(t, t.Context(), "unix:///none.sock", address)
	require.NoError(t, err)
	assert.NoError(t, conn.Close())
	require.NoError(t, listener.Close())
	_, err = dialed(t, t.Context(), "unix:///none.sock", address)
	assert.EqualError(t, err, "cannot connect to "+address+": connection refused")
	assert.Equal(t, fault.Unhealthy, fault.CodeOf(err))
}
