// Homelab-sidecar reads or writes the state of a service on the host that has it. It
// runs in a container of its own, and is talked to through its standard input and
// output: see docs/decisions/0023-the-sidecar.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"homelab/internal/sidecar"
)

// stdio is standard input and output as one stream.
type stdio struct{ in, out *os.File }

func (s stdio) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s stdio) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }

func main() {
	if err := sidecar.Run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
