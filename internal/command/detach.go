package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Detached is this program, started once more to outlive this process.
type Detached struct {
	Args   []string
	Dir    string
	Output string   // file that standard output and error are added to
	File   *os.File // inherited: see [Inherited]
}

// inheritedFile is the descriptor of [Detached.File] in the new process.
const inheritedFile = 3

// Inherited is the [Detached.File] of this process. It is not passed on: what
// this process starts must not hold a lock that is on it. Call it first.
func Inherited() *os.File {
	syscall.CloseOnExec(inheritedFile)
	return os.NewFile(inheritedFile, "inherited")
}

// Detach starts this program in a session of its own and does not wait for it.
func Detach(d Detached) error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		path = "/proc/self/exe" // also when the file was replaced by a newer one
	}
	output, err := os.OpenFile(d.Output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, d.Args...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.Dir, output, output
	cmd.ExtraFiles = []*os.File{d.File}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	if closed := output.Close(); err != nil || closed != nil {
		return errors.Join(err, closed)
	}
	go func() { _ = cmd.Wait() }() // so that no zombie stays while this process lives
	return nil
}
