package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"homelab/internal/fault"
)

// agreed asks whether to do what a preview said. Where nobody can be asked it says
// how to go on, and the answer is no.
func (r *run) agreed(ctx context.Context, id string) (bool, error) {
	say := func(text string) { fmt.Fprint(r.app.Streams.Err, text) }
	in, isFile := r.app.Streams.In.(*os.File)
	switch {
	case r.json:
		return false, nil
	case !isFile || !term.IsTerminal(int(in.Fd())) || !seen(r.app.Streams.Err):
		say("\nNothing was done. To do it, run it again with --confirm " + id[:min(len(id), 12)] + ", or with --yes\n")
		return false, nil
	}
	say("\nDo it? [y/N] ")
	line, ended, err := typed(ctx, in)
	if err != nil {
		say("\n")
		return false, &fault.Error{Code: fault.Canceled, Message: "nothing was done", Err: err}
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		if !ended {
			return true, nil
		}
	}
	if ended {
		say("\n")
	}
	say("Nothing was done.\n")
	return false, nil
}

// seen says whether somebody sees what is written.
func seen(out io.Writer) bool {
	file, isFile := out.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// typed is the next line that somebody types; ended says that the input did, before
// the end of the line. Only the end of the context is an error: an interrupt does not
// end the reading, which goes on until this process ends.
func typed(ctx context.Context, in io.Reader) (line string, ended bool, err error) {
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		read <- answer{line, err}
	}()
	select {
	case a := <-read:
		return a.line, a.err != nil, nil
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
}
