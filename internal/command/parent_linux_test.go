package command_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// A command dies with its parent, even if that is killed without warning.
func TestDieWithParent(t *testing.T) {
	const polite, deaf = "echo $$ >&2; exec sleep 1000", "trap '' TERM; echo $$ >&2; exec sleep 1000"
	for name, how := range map[string]struct {
		script, pipe string
		signal       syscall.Signal
	}{
		"run": {polite, "", syscall.SIGTERM}, "pipe": {polite, "1", syscall.SIGTERM}, "a deaf one": {deaf, "", syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			require.NoError(t, err)
			parent := exec.Command(self)
			parent.Env = append(os.Environ(), "COMMAND_TEST_SCRIPT="+how.script, "COMMAND_TEST_PIPE="+how.pipe, "COMMAND_TEST_SIGNAL="+strconv.Itoa(int(how.signal)))
			stderr, err := parent.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, parent.Start())
			said, err := bufio.NewReader(stderr).ReadString('\n')
			require.NoError(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(said))
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(pid, 0), "it runs")

			require.NoError(t, parent.Process.Kill())
			_ = parent.Wait() // it was killed
			gone := func() bool { return syscall.Kill(pid, 0) != nil || zombie(strconv.Itoa(pid)) }
			if !assert.Eventually(t, gone, 10*time.Second, time.Millisecond) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}

// The signal is for the death of the process, not for that of the thread that
// happened to start the command.
func TestDieWithParentOutlivesThreads(t *testing.T) {
	t.Parallel()
	const many = 40
	// Goroutines that end without unlocking take their threads with them.
	enough := make(chan struct{})
	var threads sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		threads.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				var one sync.WaitGroup
				one.Go(runtime.LockOSThread)
				one.Wait()
			}
		})
	}
	var commands sync.WaitGroup
	var started sync.WaitGroup
	started.Add(many)
	exits := make([]int, many)
	feeds := make([]*io.PipeWriter, many)
	for i := range many {
		c := sh("echo >&2; read line; exit 7")
		c.DieWithParent = syscall.SIGTERM
		in, feed := io.Pipe()
		ready := sync.OnceFunc(started.Done)
		c.Stdin, c.Stderr, feeds[i] = in, calling(ready), feed
		commands.Go(func() {
			result, err := command.Run(t.Context(), c)
			assert.NoError(t, err)
			exits[i] = result.Exit
			ready()
			assert.NoError(t, in.Close())
		})
	}
	started.Wait()
	close(enough)
	threads.Wait()
	for _, feed := range feeds {
		_, _ = io.WriteString(feed, "go on\n") // fails when the command ended, which its exit status shows
		assert.NoError(t, feed.Close())
	}
	commands.Wait()
	assert.Equal(t, slices.Repeat([]int{7}, many), exits)
}

// calling is a writer that calls itself.
type calling func()

func (call calling) Write(p []byte) (int, error) {
	call()
	return len(p), nil
}
