package command_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
)

func sh(script string) command.Cmd {
	return command.Cmd{Name: "sh", Args: []string{"-c", script}}
}

func TestRun(t *testing.T) {
	t.Parallel()
	c := sh(`cat; echo "$X-$HOME" ; echo oops >&2; exit 3`)
	c.Stdin, c.Env, c.Unset = strings.NewReader("in\n"), []string{"X=1"}, []string{"HOME"}
	result, err := command.Run(t.Context(), c)
	require.NoError(t, err)
	assert.Equal(t, command.Result{Stdout: []byte("in\n1-\n"), Stderr: []byte("oops\n"), Exit: 3}, result)
	assert.Equal(t, "oops", result.FirstLine())
}

func TestMissingCommand(t *testing.T) {
	t.Parallel()
	_, err := command.Run(t.Context(), command.Cmd{Name: "no-such-command", Install: "apt-get install it"})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Equal(t, "apt-get install it", fault.Of(err).Hint)
	assert.ErrorContains(t, err, "no-such-command is not installed")
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	c := sh(`head -c 100000 /dev/zero; echo end >&2`)
	c.MaxOutput = 1000
	result, err := command.Run(t.Context(), c)
	assert.ErrorContains(t, err, "wrote more than 1000 bytes")
	assert.Len(t, result.Stdout, 1000)
	assert.Equal(t, "end\n", string(result.Stderr), "it could go on")

	result, err = command.Run(t.Context(), sh(`head -c 200000 /dev/zero >&2; echo end >&2`))
	require.NoError(t, err)
	assert.Len(t, result.Stderr, 64<<10)
	assert.True(t, strings.HasSuffix(string(result.Stderr), "end\n"), "the end is kept")
}

// Standard error can be followed; what came last is kept all the same.
func TestStderrIsFollowed(t *testing.T) {
	t.Parallel()
	said, hear := io.Pipe()
	c := sh(`echo one >&2; read answer; echo "$answer" >&2; head -c 100000 /dev/zero >&2`)
	answer, say := io.Pipe()
	c.Stdin, c.Stderr = answer, hear
	var heard int64
	var talk sync.WaitGroup
	talk.Go(func() {
		lines := bufio.NewReader(said)
		line, err := lines.ReadString('\n')
		assert.NoError(t, err)
		assert.Equal(t, "one\n", line)
		_, err = io.WriteString(say, "two\n")
		assert.NoError(t, err)
		assert.NoError(t, say.Close())
		line, err = lines.ReadString('\n')
		assert.NoError(t, err)
		assert.Equal(t, "two\n", line)
		heard, err = io.Copy(io.Discard, lines)
		assert.NoError(t, err)
	})
	result, err := command.Run(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, hear.Close())
	talk.Wait()
	assert.EqualValues(t, 100000, heard)
	assert.Len(t, result.Stderr, 64<<10)
}

// Cancellation reaches what the command started, too.
func TestCancelKillsTheGroup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := t.TempDir() + "/pid"
	done := make(chan error, 1)
	go func() {
		_, err := command.Run(ctx, sh(`sleep 1000 & echo $! > `+pidFile+`.new; mv `+pidFile+`.new `+pidFile+`; wait`))
		done <- err
	}()
	var pid []byte
	require.Eventually(t, func() bool {
		pid, _ = os.ReadFile(pidFile)
		return len(pid) > 0
	}, 10*time.Second, time.Millisecond)
	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)
	assert.Eventually(t, func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
		return os.IsNotExist(err) || zombie(strings.TrimSpace(string(pid)))
	}, 10*time.Second, time.Millisecond)
}

// zombie says that the process is dead, and only its parent has not noticed.
func zombie(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
