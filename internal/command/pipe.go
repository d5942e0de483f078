package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// closeGrace is how long a command may take to end by itself once its
// standard input is closed.
const closeGrace = 500 * time.Millisecond

// Pipe is a command that is talked to while it runs: Write reaches its
// standard input, Read its standard output. Reads and writes may run in
// parallel with each other and with Close.
type Pipe struct {
	// PID is the id of the process, which is also that of its group.
	PID int

	stdin, stdout *os.File
	cancel        context.CancelFunc
	done          chan struct{}
	result        Result // written before done is closed
	closing       sync.Once
}

// Start starts the command and returns while it runs. It fails as [Run] does;
// Cmd.Stdin and Cmd.MaxOutput have no meaning here. The command lives until it
// ends by itself, until Close, or until ctx is done, whichever comes first.
func Start(ctx context.Context, c Cmd) (*Pipe, error) {
	ctx, cancel := context.WithCancel(ctx)
	p, err := start(ctx, c)
	if err != nil {
		cancel()
		return nil, err
	}
	p.cancel = cancel
	return p, nil
}

func start(ctx context.Context, c Cmd) (*Pipe, error) {
	cmd, err := prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	// Pipes of our own: those of exec.Cmd are closed by Wait, which would lose
	// output that nobody has read yet.
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Name, err), childIn.Close(), stdin.Close())
	}
	stderr := &tail{most: maxStderr}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, both(stderr, c.Stderr)
	p := &Pipe{stdin: stdin, stdout: stdout, done: make(chan struct{})}
	started := make(chan error)
	// One goroutine starts it and waits for it, so that it can hold its thread.
	go func() {
		defer c.holdThread()()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.wait(ctx, cmd, stderr)
		}
	}()
	err = <-started
	_, _ = childIn.Close(), childOut.Close() // the child has its own
	if err != nil {
		_, _ = stdin.Close(), stdout.Close() // nothing went through them
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	p.PID = cmd.Process.Pid
	return p, nil
}

func (p *Pipe) wait(ctx context.Context, cmd *exec.Cmd, stderr *tail) {
	defer close(p.done)
	// How it ended is in the exit status, which the caller knows how to read.
	_ = cmd.Wait()
	if ctx.Err() != nil {
		// What of the group outlived the polite signal goes now; none left is fine.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	p.result = Result{Stderr: stderr.buf, Exit: cmd.ProcessState.ExitCode()}
}

// Read reads the command's standard output. Output that was written before
// the command ended can still be read after it; then comes io.EOF.
func (p *Pipe) Read(b []byte) (int, error) { return p.stdout.Read(b) }

// Write writes to the command's standard input. When the command has ended
// the error is syscall.EPIPE.
func (p *Pipe) Write(b []byte) (int, error) { return p.stdin.Write(b) }

// SetReadDeadline bounds Read as net.Conn does.
func (p *Pipe) SetReadDeadline(t time.Time) error { return p.stdout.SetReadDeadline(t) }

// SetWriteDeadline bounds Write as net.Conn does.
func (p *Pipe) SetWriteDeadline(t time.Time) error { return p.stdin.SetWriteDeadline(t) }

// CloseWrite closes the command's standard input.
func (p *Pipe) CloseWrite() error { return p.stdin.Close() }

// Done is closed when the command has ended.
func (p *Pipe) Done() <-chan struct{} { return p.done }

// Wait waits for the command to end. Exit is -1 when a signal ended it;
// Stdout is empty.
func (p *Pipe) Wait() Result {
	<-p.done
	return p.result
}

// Close closes both ends and waits for the command to end, which it helps
// along after a moment: SIGTERM, then SIGKILL, to its process group.
func (p *Pipe) Close() error {
	p.closing.Do(func() {
		// Closing a pipe writes nothing, so it can lose nothing.
		_, _ = p.stdin.Close(), p.stdout.Close()
		select {
		case <-p.done:
		case <-time.After(closeGrace):
		}
		p.cancel()
	})
	<-p.done
	return nil
}
