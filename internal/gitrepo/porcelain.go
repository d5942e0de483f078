package gitrepo

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/filemode"

	"homelab/internal/plan"
)

// parseRaw reads the -z --raw format of the diff commands: a line of modes,
// ids and status, then the path. See git-diff(1), "Raw output format".
func parseRaw(out []byte) ([]plan.Change, error) {
	var changes []plan.Change
	header := ""
	for record := range records(out) {
		if header == "" {
			header = record
			continue
		}
		fields := strings.Fields(strings.TrimPrefix(header, ":"))
		if len(fields) != 5 || header[0] != ':' {
			return nil, malformed("diff", header)
		}
		c := plan.Change{
			Path: record, Status: plan.Status(fields[4][:1]),
			Old: kindOf(modeOfText(fields[0])), New: kindOf(modeOfText(fields[1])),
		}
		if strings.Trim(fields[3], "0") != "" {
			c.Blob = fields[3]
		}
		header = ""
		changes = append(changes, c)
	}
	if header != "" {
		return nil, malformed("diff", header)
	}
	return changes, nil
}

// parseStages reads git ls-files -z --stage, or git ls-tree -r -z: both end
// their lines with a tab and the path, and begin them with the mode.
func parseStages(out []byte) ([]plan.Entry, error) {
	var entries []plan.Entry
	for line := range records(out) {
		meta, path, ok := strings.Cut(line, "\t")
		mode, _, _ := strings.Cut(meta, " ")
		if !ok {
			return nil, malformed("listing", line)
		}
		if n := len(entries); n > 0 && entries[n-1].Path == path {
			continue // another stage of an unmerged path
		}
		entries = append(entries, entryOf(path, modeOfText(mode)))
	}
	return entries, nil
}

// records yields the NUL-terminated records of out.
func records(out []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(out) > 0 {
			record, rest, _ := bytes.Cut(out, []byte{0})
			if !yield(string(record)) {
				return
			}
			out = rest
		}
	}
}

func modeOfText(octal string) filemode.FileMode {
	mode, err := filemode.New(octal)
	if err != nil {
		return filemode.Empty
	}
	return canonical(mode)
}

func malformed(what, line string) error {
	return fmt.Errorf("cannot read git's %s line %q", what, line)
}
