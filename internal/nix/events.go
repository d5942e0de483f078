package nix

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Numbers of activities and results, from Nix's logging.hh; there are more.
const (
	copyPath   = 100
	builds     = 104
	build      = 105
	substitute = 108
	waiting    = 111

	logLine  = 101
	progress = 105
)

// EventWriter reads the events that Nix writes to standard error with
// --log-format internal-json, and calls a function for each, in order. Lines
// that are no events are messages of level 3. What it does not know it leaves
// out.
type EventWriter struct {
	each       func(Event)
	line       line
	activities map[uint64]activity
	counted    Event // the last BuildsCounted
}

// activity is something that Nix does for a while.
type activity struct {
	kind    int
	subject string // store path
}

// NewEventWriter makes an EventWriter. Close it after the last Write.
func NewEventWriter(each func(Event)) *EventWriter {
	return &EventWriter{each: each, activities: map[uint64]activity{}}
}

var _ io.WriteCloser = (*EventWriter)(nil)

// Write takes bytes as they come. It never fails.
func (w *EventWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		w.line.add(part)
		if ended {
			w.read(w.line.take())
		}
		rest = after
	}
	return len(p), nil
}

// Close reads the last line if it has no end. It never fails.
func (w *EventWriter) Close() error {
	w.read(w.line.take())
	return nil
}

// said is a line of Nix's internal-json format.
type said struct {
	Action string
	ID     uint64
	Type   int
	Level  int
	Text   string
	Msg    string
	RawMsg string `json:"raw_msg"`
	Fields []json.RawMessage
}

func (w *EventWriter) read(text []byte) {
	encoded, ok := bytes.CutPrefix(text, []byte("@nix "))
	var s said
	if ok {
		err := json.Unmarshal(encoded, &s)
		var odd *json.UnmarshalTypeError // the other fields are read
		ok = err == nil || errors.As(err, &odd)
	}
	switch {
	case !ok:
		if plain := clean(string(text), false); strings.TrimSpace(plain) != "" {
			w.each(Event{Kind: Message, Level: 3, Text: plain})
		}
	case s.Action == "msg":
		w.message(s)
	case s.Action == "start":
		w.start(s)
	case s.Action == "stop":
		w.stop(s)
	case s.Action == "result":
		w.result(s, w.activities[s.ID])
	}
}

func (w *EventWriter) message(s said) {
	text := s.RawMsg
	if text == "" {
		text = s.Msg
	}
	text = strings.TrimSpace(clean(text, true))
	// Some warnings are told at the level of errors.
	if plain, warning := strings.CutPrefix(text, "warning:"); warning {
		text, s.Level = strings.TrimSpace(plain), max(s.Level, 1)
	}
	text = strings.TrimSpace(strings.TrimPrefix(text, "error:"))
	if text != "" {
		w.each(Event{Kind: Message, Level: s.Level, Text: text})
	}
}

func (w *EventWriter) start(s said) {
	a := activity{kind: s.Type, subject: s.field(0)}
	switch a.kind {
	case build:
		w.each(Event{Kind: BuildStarted, Drv: a.subject, Text: s.field(1)})
	case substitute:
		w.each(Event{Kind: FetchStarted, Path: a.subject, Text: s.field(1)})
	case waiting:
		if text := clean(s.Text, false); text != "" {
			w.each(Event{Kind: Message, Level: 3, Text: text})
		}
		return
	case builds, copyPath:
	default:
		return
	}
	w.activities[s.ID] = a
}

func (w *EventWriter) stop(s said) {
	switch a := w.activities[s.ID]; a.kind {
	case build:
		w.each(Event{Kind: BuildFinished, Drv: a.subject})
	case substitute:
		w.each(Event{Kind: FetchFinished, Path: a.subject})
	}
	delete(w.activities, s.ID)
}

func (w *EventWriter) result(s said, of activity) {
	switch {
	case of.kind == build && s.Type == logLine:
		w.each(Event{Kind: LogLine, Drv: of.subject, Text: s.field(0)})
	case of.kind == builds && s.Type == progress:
		e := Event{Kind: BuildsCounted, Done: s.number(0), Expected: s.number(1)}
		if e != w.counted {
			w.counted = e
			w.each(e)
		}
	case of.kind == copyPath && s.Type == progress:
		w.each(Event{Kind: DownloadedBytes, Path: of.subject, Done: s.number(0), Expected: s.number(1)})
	}
}

// field is the text of a field; empty when there is none.
func (s said) field(i int) string {
	var text string
	if i < len(s.Fields) && json.Unmarshal(s.Fields[i], &text) == nil {
		return clean(text, false)
	}
	return ""
}

// number is that of a field, at least 0.
func (s said) number(i int) int64 {
	var n int64
	if i < len(s.Fields) && json.Unmarshal(s.Fields[i], &n) == nil {
		return max(n, 0)
	}
	return 0
}

// clean takes out colours, other sequences for terminals, and control
// characters: builders print what they like.
func clean(text string, lines bool) string {
	keep := func(r rune) bool {
		return r == '\t' || lines && r == '\n' || r != utf8.RuneError && !unicode.IsControl(r)
	}
	odd := func(r rune) bool { return !keep(r) }
	if strings.ContainsFunc(text, odd) {
		text = escapeCodes().ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), "")
		text = strings.Map(func(r rune) rune {
			if r == utf8.RuneError || keep(r) {
				return r
			}
			return -1
		}, text)
	}
	return cut(text, maxLine-len("…"))
}
