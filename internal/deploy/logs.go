package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"homelab/internal/fault"
)

// LogsRequest asks for what a service printed last.
type LogsRequest struct {
	Service    string `json:"service" jsonschema:"minLength=1" jsonschema_description:"Name or alias."`
	Tail       int    `json:"tail,omitempty" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Most lines (default 100)."`
	Since      string `json:"since,omitempty" jsonschema:"minLength=1" jsonschema_description:"RFC 3339, or how long ago: 10m."`
	Grep       string `json:"grep,omitempty" jsonschema:"minLength=1" jsonschema_description:"Only lines that match this RE2."`
	Generation int    `json:"generation,omitempty" jsonschema:"minimum=1" jsonschema_description:"One that is kept; left out: the current."`
	Host       string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: that of the service."`
}

// Bounds of an answer, and of what is looked at for it.
const (
	defaultTail = 100
	maxAnswer   = 64 << 10 // bytes of the lines, as JSON
	maxLine     = 8 << 10  // bytes of one line
	maxPattern  = 500      // bytes of a pattern
	searched    = 10_000   // lines that a pattern is applied to
	remembered  = 4 << 20  // bytes of them
)

// Validate checks what can be checked without a repository.
func (r LogsRequest) Validate() error {
	if _, err := r.since(time.Now()); err != nil {
		return err
	}
	_, err := r.pattern()
	return err
}

// since is the time of the first line to show; zero: from the beginning.
func (r LogsRequest) since(now time.Time) (time.Time, error) {
	if r.Since == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(r.Since); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, r.Since)
	if err != nil {
		return at, fault.Newf(fault.InvalidArgument, "write 10m, 24h, or 2026-03-01T09:00:00Z", "since: %.100q is neither a time nor how long ago", r.Since)
	}
	return at, nil
}

// pattern is what lines have to match; nil: any does.
func (r LogsRequest) pattern() (*regexp.Regexp, error) {
	if r.Grep == "" {
		return nil, nil
	}
	if len(r.Grep) > maxPattern {
		return nil, fault.Newf(fault.InvalidArgument, "look for less", "grep: a pattern of %d bytes, and %d are the most", len(r.Grep), maxPattern)
	}
	matching, err := regexp.Compile(r.Grep)
	if err != nil {
		return nil, fault.Newf(fault.InvalidArgument, `see github.com/google/re2/wiki/Syntax; \ before a sign takes it as it is`, "grep: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return matching, nil
}

// LogsReport is what a service printed last.
type LogsReport struct {
	Service    string   `json:"service" jsonschema_description:"Name of the service."`
	Host       string   `json:"host" jsonschema_description:"Name of the host."`
	Container  string   `json:"container" jsonschema_description:"Name of the container."`
	Generation int      `json:"generation" jsonschema_description:"Its generation."`
	State      State    `json:"state" jsonschema_description:"Whether it runs: running, exited and so on."`
	Lines      []string `json:"lines" jsonschema_description:"Each with its time in UTC before it, and cut after 8 KiB; the newest last; at most 64 KiB."`
	Truncated  bool     `json:"truncated,omitempty" jsonschema_description:"True when earlier lines are left out, or were not searched: grep looks at the last 10,000, and at most 4 MiB."`
	LeftOut    int      `json:"leftOut,omitempty" jsonschema_description:"How many, where that is known."`
}

// Logs are the last lines that a container of a host printed, as they are asked for.
func Logs(ctx context.Context, e Containers, host string, c Container, r LogsRequest) (*LogsReport, error) {
	since, err := r.since(time.Now())
	if err != nil {
		return nil, err
	}
	matching, err := r.pattern()
	if err != nil {
		return nil, err
	}
	tail := cmp.Or(r.Tail, defaultTail)
	ask := tail + 1 // one more tells whether there are more
	if matching != nil {
		ask = searched
	}
	var seen window
	if err := e.Logs(ctx, c.ID, Tail{Lines: ask, Since: since, Timestamps: true}, &seen); err != nil {
		return nil, err
	}
	found, whole := seen.lines()
	if whole = whole && len(found) < ask; matching != nil {
		found = slices.DeleteFunc(found, func(line []byte) bool {
			_, text := stamped(line)
			return !matching.Match(text)
		})
	}
	report := &LogsReport{
		Service: c.Labels[LabelService], Host: host, Container: c.Name, Generation: c.Generation(), State: c.State,
		Lines: newest(found, tail), Truncated: !whole,
	}
	if left := len(found) - len(report.Lines); whole && left > 0 {
		report.Truncated, report.LeftOut = true, left
	}
	return report, nil
}

// newest are the last lines, as many as there is room for.
func newest(found [][]byte, most int) []string {
	lines := []string{}
	room := maxAnswer
	for _, raw := range slices.Backward(found) {
		line := printed(raw)
		encoded, err := json.Marshal(line)
		if room -= len(encoded) + 1; err != nil || room < 0 || len(lines) == most {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return lines
}

// stamped splits a line into its time, to the millisecond, and its text.
func stamped(line []byte) (at string, text []byte) {
	stamp, text, _ := bytes.Cut(line, []byte(" "))
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return "", line // its beginning is not remembered
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z "), text
}

// printed is a line as text.
func printed(raw []byte) string {
	at, line := stamped(raw)
	text := strings.ToValidUTF8(strings.TrimSuffix(string(line), "\r"), "\ufffd")
	if len(text) > maxLine {
		end := maxLine - len("…")
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return at + text
}

// window keeps the last bytes of what is written to it.
type window struct {
	bytes []byte
	cut   bool // there was more
}

func (w *window) Write(p []byte) (int, error) {
	w.bytes = append(w.bytes, p...)
	if over := len(w.bytes) - remembered; over > remembered { // not for every line
		w.bytes, w.cut = append(w.bytes[:0], w.bytes[over:]...), true
	}
	return len(p), nil
}

// lines are those that it has, and whether that is all that was written.
func (w *window) lines() ([][]byte, bool) {
	kept := w.bytes
	if over := len(kept) - remembered; over > 0 {
		kept, w.cut = kept[over:], true
	}
	if len(kept) == 0 {
		return nil, true
	}
	lines := bytes.Split(bytes.TrimSuffix(kept, []byte("\n")), []byte("\n"))
	if w.cut && len(lines) > 1 {
		lines = lines[1:] // which begins somewhere in a line
	}
	return lines, !w.cut
}
