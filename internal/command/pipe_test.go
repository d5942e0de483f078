package command_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
)

func shell(t *testing.T, ctx context.Context, script string) *command.Pipe {
	t.Helper()
	p, err := command.Start(ctx, command.Cmd{Name: "sh", Args: []string{"-c", script}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

func TestPipeTalks(t *testing.T) {
	p := shell(t, t.Context(), `while read line; do echo "<$line>"; done; echo ended; echo why >&2; exit 7`)
	out := bufio.NewReader(p)
	for _, word := range []string{"one", "two"} {
		_, err := io.WriteString(p, word+"\n")
		require.NoError(t, err)
		line, err := out.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "<"+word+">\n", line)
	}
	require.NoError(t, p.CloseWrite())
	assert.Equal(t, command.Result{Stderr: []byte("why\n"), Exit: 7}, p.Wait())

	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	assert.Equal(t, "ended\n", string(rest), "what was written before the end is not lost")
	_, err = p.Write([]byte("more"))
	assert.ErrorIs(t, err, os.ErrClosed)
}

func TestPipeCommandIsGone(t *testing.T) {
	p := shell(t, t.Context(), `exit 0`)
	<-p.Done()
	_, err := p.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	_, err = p.Write([]byte("x"))
	assert.ErrorIs(t, err, syscall.EPIPE)
}

func TestPipeClose(t *testing.T) {
	rows := map[string]struct {
		script string
		exit   int
		within time.Duration
	}{
		"the command ends by itself":     {`while read line; do :; done; exit 3`, 3, 2 * time.Second},
		"the command is told to":         {`exec sleep 300`, -1, 2 * time.Second},
		"the command has to be killed":   {`trap '' TERM; while :; do sleep 300; done`, -1, 6 * time.Second},
		"the command is busy writing":    {`exec yes`, -1, 2 * time.Second},
		"the command has a child to end": {`sleep 300; exit 4`, -1, 2 * time.Second},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			// Every process of the command holds it open, so it ends with the last one.
			fifo := filepath.Join(t.TempDir(), "fifo")
			require.NoError(t, syscall.Mkfifo(fifo, 0o600))
			p := shell(t, t.Context(), "exec 3>'"+fifo+"'; "+row.script)
			held, err := os.Open(fifo)
			require.NoError(t, err)
			defer held.Close()

			start := time.Now()
			require.NoError(t, p.Close())
			assert.Less(t, time.Since(start), row.within)
			assert.Equal(t, row.exit, p.Wait().Exit)
			require.NoError(t, held.SetReadDeadline(time.Now().Add(2*time.Second)))
			_, err = held.Read(make([]byte, 1))
			assert.ErrorIs(t, err, io.EOF, "nothing of the command is left")
		})
	}
}

func TestPipeCloseWakesTheReader(t *testing.T) {
	p := shell(t, t.Context(), `exec sleep 300`)
	var reading sync.WaitGroup
	reading.Go(func() {
		_, err := p.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrClosed)
	})
	require.NoError(t, p.Close())
	reading.Wait()
}

func TestPipeDeadline(t *testing.T) {
	p := shell(t, t.Context(), `exec sleep 300`)
	require.NoError(t, p.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := p.Read(make([]byte, 1))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)

	require.NoError(t, p.SetWriteDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = p.Write(make([]byte, 1<<20))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "nobody reads that much")
}

func TestPipeEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := shell(t, ctx, `exec sleep 300`)
	cancel()
	assert.Equal(t, -1, p.Wait().Exit)
	_, err := p.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

func TestStartFails(t *testing.T) {
	_, err := command.Start(t.Context(), command.Cmd{Name: "no-such-command", Install: "build it"})
	f := fault.Of(err)
	require.NotNil(t, f)
	assert.Equal(t, fault.Precondition, f.Code)
	assert.Equal(t, "build it", f.Hint)

	_, err = command.Start(t.Context(), command.Cmd{Name: "sh", Dir: "/no/such/folder"})
	assert.ErrorContains(t, err, "start sh")

	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = command.Start(done, command.Cmd{Name: "sh"})
	assert.ErrorIs(t, err, context.Canceled)
}
