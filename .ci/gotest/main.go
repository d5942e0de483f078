// Gotest runs go test with the arguments it is given and prints what a person
// reads: a line for each package, all that a failed test said, and the sum. A
// skipped test fails the run, because what was not run was not tested.
//
//	go run ./.ci/gotest -race ./...
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

func main() {
	if run(os.Stdout, os.Args[1:]) != nil {
		os.Exit(1) // it has been said why
	}
}

var (
	errFailed  = errors.New("tests failed")
	errSkipped = errors.New("tests were skipped: what they need must be there")
	errNone    = errors.New("no test was run")
)

func run(out io.Writer, args []string) error {
	start := time.Now()
	r := newReport(out)
	err := r.goTest(args)
	switch {
	case err != nil:
	case r.skipped > 0:
		err = errSkipped
	case r.passed == 0:
		err = errNone
	}
	if r.failed > 0 {
		err = errFailed
	}

	fmt.Fprintf(out, "\npackages: %d, time: %s\n", r.packages, time.Since(start).Round(time.Second))
	if err != nil {
		fmt.Fprintf(out, "%s:\n", err)
	}
	for _, name := range r.toLookAt {
		fmt.Fprintf(out, "  %s\n", name)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return err
}

func (r *report) goTest(args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(r.read(stdout), cmd.Wait())
}
