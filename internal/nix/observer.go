package nix

import (
	"io"
	"regexp"
)

const (
	maxTail     = 25  // lines
	maxTailLine = 500 // bytes
	maxTails    = 200 // builders
	maxErrors   = 100
)

// observer looks at the events of one realisation.
type observer struct {
	Realisation
	built     map[string]bool // derivations whose builders started
	fetched   map[string]bool // store paths
	lastBuild string          // derivation whose builder ended last
	errors    []string        // that Nix told, in order
	tails     map[string]*logTail
	order     []string // of the tails, oldest first
	logFailed bool
}

// logTail is the last lines of a builder.
type logTail struct{ lines []string }

func observe(r Realisation) *observer {
	return &observer{Realisation: r, built: map[string]bool{}, fetched: map[string]bool{}, tails: map[string]*logTail{}}
}

func (o *observer) see(e Event) {
	switch e.Kind {
	case BuildStarted:
		o.built[e.Drv] = true
	case BuildFinished:
		o.lastBuild = e.Drv
	case FetchStarted:
		o.fetched[e.Path] = true
	case LogLine:
		o.keep(e)
		prefix := ""
		if e.Drv != o.Drv {
			prefix = ShortName(e.Drv) + "> "
		}
		o.log(prefix + e.Text)
	case Message:
		if e.Level == 0 && len(o.errors) < maxErrors {
			o.errors = append(o.errors, cut(e.Text, 4*maxMessage))
		}
		if e.Level <= 1 {
			o.log("nix> " + e.Text)
		}
	}
	if o.Event != nil {
		o.Event(e)
	}
}

// keep remembers the last lines of each builder, and of the last builders.
func (o *observer) keep(e Event) {
	tail := o.tails[e.Drv]
	if tail == nil {
		if len(o.order) == maxTails {
			delete(o.tails, o.order[0])
			o.order = o.order[1:]
		}
		tail = &logTail{}
		o.tails[e.Drv], o.order = tail, append(o.order, e.Drv)
	}
	if len(tail.lines) == maxTail {
		tail.lines = append(tail.lines[:0], tail.lines[1:]...)
	}
	tail.lines = append(tail.lines, cut(e.Text, maxTailLine-len("…")))
}

func (o *observer) log(text string) {
	if o.Log == nil || o.logFailed {
		return
	}
	_, err := io.WriteString(o.Log, text+"\n")
	o.logFailed = err != nil // the build matters more
}

// firstError is the first error that Nix told of that matches; empty: none.
func (o *observer) firstError(pattern *regexp.Regexp) string {
	for _, text := range o.errors {
		if pattern.MatchString(text) {
			return text
		}
	}
	return ""
}
