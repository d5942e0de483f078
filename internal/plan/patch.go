package plan

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"homelab/registry"
)

// patch adds hints to the registry as it is at the head; nil when there is
// nothing to add, or it is not part of the repository.
func (a *analysis) patch(ctx context.Context, missing []Missing) (*Patch, error) {
	missing = slices.DeleteFunc(slices.Clone(missing), func(m Missing) bool { return len(m.Hints) == 0 })
	l := a.view.loaded
	switch {
	case len(missing) == 0 || l.outside:
		return nil, nil
	case l.Flake:
		return &Patch{Format: "nix", Text: nixPatch(l.Where, missing)}, nil
	case a.view.throughLink(ctx, l.File):
		return nil, nil
	}
	raw, err := a.view.snapshot.ReadFile(ctx, l.File, registry.MaxSize)
	if err != nil {
		return nil, err
	}
	var added []insertion
	for _, m := range missing {
		in, ok := insertHints(raw, m.Service, m.Hints)
		if !ok {
			return nil, nil
		}
		added = append(added, in)
	}
	return &Patch{Format: "diff", Text: diff(l.File, string(raw), added)}, nil
}

// nixPatch cannot be a diff: where in the Nix code a list comes from only its
// author knows.
func nixPatch(where string, missing []Missing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# add to these lists of %s\n", where)
	for _, m := range missing {
		fmt.Fprintf(&b, "services.%s.hints = [", nixName(m.Service))
		for _, hint := range m.Hints {
			b.WriteString(" " + nixString(hint))
		}
		b.WriteString(" ];\n")
	}
	return b.String()
}

func nixString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`, "\n", `\n`).Replace(s) + `"`
}

// nixName is the name of an attribute; one with other characters is quoted.
func nixName(name string) string {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789-'", r)) {
			return nixString(name)
		}
	}
	return name
}

// insertion is text to put in at an offset.
type insertion struct {
	at   int
	text string
}

// insertHints adds to the hints of a service in a JSON document, each as the
// last one is written. False when the document is not as expected.
func insertHints(raw []byte, service string, hints []string) (insertion, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	for _, name := range []string{"services", service, "hints"} {
		if !enter(d, name) {
			return insertion{}, false
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return insertion{}, false
	}
	at, gap := int(d.InputOffset()), ""
	for d.More() { // a registry has no empty ones
		var element json.RawMessage
		if d.Decode(&element) != nil {
			return insertion{}, false
		}
		end := int(d.InputOffset())
		between := string(raw[at : end-len(element)])
		gap, at = between[strings.LastIndexByte(between, ',')+1:], end
	}
	var b strings.Builder
	for _, hint := range hints {
		encoded, err := jsonString(hint)
		if err != nil {
			return insertion{}, false
		}
		b.WriteString("," + cmp.Or(gap, " ") + encoded)
	}
	return insertion{at, b.String()}, true
}

// enter goes to the value of a name in an object.
func enter(d *json.Decoder, name string) bool {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		if key == name {
			return true
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return false
		}
	}
	return false
}

func jsonString(s string) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimRight(b.String(), "\n"), err
}

// diff shows insertions into a text as git diff would.
func diff(file, text string, added []insertion) string {
	slices.SortFunc(added, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	lines := slices.Collect(strings.Lines(text))
	edited := make(map[int]string) // lines that are others now
	start, next := 0, 0
	for i, line := range lines {
		var b strings.Builder
		from := start
		for next < len(added) && added[next].at < start+len(line) {
			b.WriteString(text[from:added[next].at] + added[next].text)
			from = added[next].at
			next++
		}
		start += len(line)
		if b.Len() > 0 {
			edited[i] = b.String() + text[from:start]
		}
	}
	const context = 3
	var b strings.Builder
	fmt.Fprintf(&b, "--- a/%[1]s\n+++ b/%[1]s\n", file)
	shift := 0
	for i := 0; i < len(lines); {
		if _, ok := edited[i]; !ok {
			i++
			continue
		}
		from, to := max(i-context, 0), i+1
		for j := i; j < len(lines) && j < to+2*context; j++ {
			if _, ok := edited[j]; ok {
				to = j + 1
			}
		}
		end := min(to+context, len(lines))
		var body strings.Builder
		grown := 0
		for j := from; j < end; j++ {
			if now, ok := edited[j]; ok {
				put(&body, "-", lines[j])
				put(&body, "+", now)
				grown += strings.Count(strings.TrimSuffix(now, "\n"), "\n")
			} else {
				put(&body, " ", lines[j])
			}
		}
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n%s", from+1, end-from, from+1+shift, end-from+grown, body.String())
		shift += grown
		i = end
	}
	return b.String()
}

// put writes lines of a diff.
func put(b *strings.Builder, mark, text string) {
	for line := range strings.Lines(text) {
		b.WriteString(mark + line)
		if !strings.HasSuffix(line, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
