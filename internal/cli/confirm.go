package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// agreed asks whether to do what a preview said. Where nobody can be asked it says
// how to go on, and the answer is no.
func (r *run) agreed(id string) bool {
	say := func(text string) { fmt.Fprint(r.app.Streams.Err, text) }
	in, isFile := r.app.Streams.In.(*os.File)
	switch {
	case r.json:
		return false
	case !isFile || !term.IsTerminal(int(in.Fd())):
		say("\nNothing was done. To do it: --confirm " + id[:min(len(id), 12)] + ", or --yes\n")
		return false
	}
	say("\nDo it? [y/N] ")
	line, err := bufio.NewReader(in).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	if err == nil && (answer == "y" || answer == "yes") {
		return true
	}
	say("Nothing was done.\n")
	return false
}
