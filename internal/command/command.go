// Package command runs one external command to its end, with bounded output
// and without a shell. It is the only importer of os/exec: quoting, exit codes
// and standard error are the same everywhere.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"homelab/internal/fault"
)

// Cmd is one command to run.
type Cmd struct {
	Name  string   // looked up on PATH
	Args  []string // never interpreted by a shell
	Dir   string   // working directory; empty: the current one
	Env   []string // KEY=VALUE, added to the environment of this process
	Unset []string // variables of this process the command does not get
	Stdin io.Reader
	// Stderr also gets standard error, as it comes; nil: nobody does. An error
	// of its Write ends the command.
	Stderr io.Writer
	// DieWithParent is the signal that the command gets when this process dies in
	// whatever way, so that nothing goes on that nobody waits for; 0: none. Only
	// Linux can.
	DieWithParent syscall.Signal

	// MaxOutput bounds standard output in bytes; 0 means 256 MiB. More is an
	// error, never a silent cut.
	MaxOutput int
	// Install says how to get the command when it is not there.
	Install string
}

const (
	defaultMaxOutput = 256 << 20
	maxStderr        = 64 << 10
	killAfter        = 3 * time.Second
)

// Result is what a command that ran to its end left behind.
type Result struct {
	Stdout []byte
	Stderr []byte // the last 64 KiB
	Exit   int
}

// Run starts the command and waits for it. A command that exits non-zero is
// not an error of Run: the caller knows what its exit statuses mean. Run fails
// when the command is missing ([fault.Precondition]), cannot be started, was
// canceled or killed, or wrote more than MaxOutput. On cancellation the whole process
// group gets SIGTERM, then SIGKILL.
func Run(ctx context.Context, c Cmd) (Result, error) {
	cmd, err := prepare(ctx, c)
	if err != nil {
		return Result{}, err
	}
	most := c.MaxOutput
	if most == 0 {
		most = defaultMaxOutput
	}
	stdout := &capped{most: most}
	stderr := &tail{most: maxStderr}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, stdout, both(stderr, c.Stderr)

	defer c.holdThread()()
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("start %s: %w", c.Name, err)
	}
	err = cmd.Wait()
	result := Result{Stdout: stdout.buf.Bytes(), Stderr: stderr.buf, Exit: cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		// What of the group outlived the polite signal goes now; none left is fine.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return result, fmt.Errorf("%s: %w", c.Name, ctx.Err())
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		hint := "see who ended it"
		if status.Signal() == syscall.SIGKILL {
			hint = "the kernel does that when memory runs out: free some, or do less at a time"
		}
		return result, fault.Newf(fault.Precondition, hint, "%s was ended by the signal %s", c.Name, status.Signal())
	}
	if stdout.over {
		return result, fault.Newf(fault.Internal, "", "%s wrote more than %d bytes", c.Name, most)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result, fmt.Errorf("run %s: %w", c.Name, err)
	}
	return result, nil
}

// Look returns the path of a command on PATH, or "" when it is not there.
func Look(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

func prepare(ctx context.Context, c Cmd) (*exec.Cmd, error) {
	path, err := exec.LookPath(c.Name)
	if err != nil {
		return nil, fault.Newf(fault.Precondition, c.Install, "%s is not installed (not found on PATH)", c.Name)
	}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Dir = c.Dir
	if len(c.Env) > 0 || len(c.Unset) > 0 {
		cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
			name, _, _ := strings.Cut(variable, "=")
			return slices.Contains(c.Unset, name)
		})
		cmd.Env = append(cmd.Env, c.Env...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr, c.DieWithParent)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	return cmd, nil
}

// holdThread keeps the calling goroutine on its thread until the function it
// returns is called: the kernel takes the end of the thread that started a
// command for the death of its parent.
func (c Cmd) holdThread() (release func()) {
	if c.DieWithParent == 0 {
		return func() {}
	}
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// both writes to the tail, and to more if there is one.
func both(t *tail, more io.Writer) io.Writer {
	if more == nil {
		return t
	}
	return io.MultiWriter(t, more)
}

// FirstLine is the first line of a command's standard error that says
// something, for an error message.
func (r Result) FirstLine() string {
	for line := range strings.Lines(string(r.Stderr)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return fmt.Sprintf("exit status %d without a message", r.Exit)
}

// capped keeps up to most bytes and remembers that there were more. It goes on
// reading, so that the command does not die of a closed pipe. The buffer has a
// name: embedded, its ReadFrom would read past the bound.
type capped struct {
	buf  bytes.Buffer
	most int
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if room := c.most - c.buf.Len(); len(p) > room {
		c.over = true
		c.buf.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return c.buf.Write(p)
}

// tail keeps the last most bytes.
type tail struct {
	buf  []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.most; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}
