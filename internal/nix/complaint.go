package nix

import (
	"strings"

	"homelab/internal/lazy"
)

// complaint is what Nix says on standard error when it fails, without colours,
// store paths and source excerpts.
type complaint struct {
	message string   // the innermost error, its first line
	where   string   // FILE:LINE:COLUMN of the innermost place, relative to the repository; may be empty
	trace   []string // what Nix was doing
	suggest string   // the name Nix thinks was meant; may be empty
	refusal string   // what a git that Nix ran said; may be empty
}

const maxMessage = 1000

var (
	escapeCodes = lazy.Regexp("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
	location    = lazy.Regexp(`^at (.+:\d+:\d+):$`)
	internal    = lazy.Regexp(`^«(?:(?:nix|flakes)-internal|string)»`)
	excerpt     = lazy.Regexp(`^\d*\|`)
	suggestion  = lazy.Regexp(`^Did you mean (.+)\?$`)

	// The tree of a flake: a copy in the store, or its reference in guillemets.
	treePrefix = lazy.Regexp(`/nix/store/[0-9a-z]{32}-source/|«git\+file:[^»]*»/`)
)

// read takes standard error apart. Older versions put the error first, the place
// below it and then a trace, innermost first; newer ones the same in reverse, but
// for the place of the error, which is last.
func read(stderr, root string) complaint {
	var c complaint
	clean := escapeCodes().ReplaceAllString(stderr, "")
	wantMessage, placed := false, false
	for line := range strings.Lines(clean) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || excerpt().MatchString(line):
		case strings.HasPrefix(line, "error:"):
			c.message = strings.TrimSpace(strings.TrimPrefix(line, "error:"))
			wantMessage = c.message == ""
		case strings.HasPrefix(line, "…"):
			wantMessage = false // a trace comes first: its lines are no message
			c.trace = append(c.trace, relative(strings.TrimSpace(strings.TrimPrefix(line, "…")), root))
		case location().MatchString(line):
			if at := location().FindStringSubmatch(line)[1]; !internal().MatchString(at) && !placed {
				c.where, placed = relative(at, root), c.message != ""
			}
		case suggestion().MatchString(line):
			c.suggest = suggestion().FindStringSubmatch(line)[1]
		case strings.HasPrefix(line, "fatal: ") && c.refusal == "":
			c.refusal = strings.TrimPrefix(line, "fatal: ")
		case strings.HasPrefix(line, "warning: Not a git repository") && c.refusal == "":
			c.refusal = strings.TrimPrefix(line, "warning: ")
		case wantMessage:
			c.message, wantMessage = line, false
		}
	}
	c.message = relative(c.message, root)
	return c
}

// relative makes the paths in s relative to the repository.
func relative(s, root string) string {
	s = treePrefix().ReplaceAllString(s, "")
	if root != "" {
		s = strings.ReplaceAll(s, root+"/", "")
	}
	return s
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
