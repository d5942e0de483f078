package build

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"homelab/internal/durable"
	"homelab/internal/plan"
)

// How much of what a service's builders print is kept, in bytes: the beginning,
// and the end, where the error is.
const (
	maxHead = 63 << 20
	maxTail = 1 << 20
)

// log is the file for what the builders of a service print. It is made when they
// print something. What cannot be written is left out: a disk that is full does
// not end a build.
type log struct {
	path string // empty: nothing is kept
	file *os.File
	room int    // bytes of the beginning that are still to come
	tail []byte // the end, at most twice maxTail
	cut  int64  // bytes between the beginning and the end
	err  error
}

func (r *run) log(s *Outcome) *log {
	if r.watch.Logs == "" {
		return &log{}
	}
	return &log{path: filepath.Join(r.watch.Logs, s.Name+".log"), room: maxHead}
}

// Write never fails.
func (l *log) Write(p []byte) (int, error) {
	if l.path == "" || l.err != nil {
		return len(p), nil
	}
	if l.file == nil {
		if l.file, l.err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); l.err != nil {
			return len(p), nil
		}
	}
	head := p[:min(len(p), l.room)]
	l.room -= len(head)
	if len(head) > 0 {
		_, l.err = l.file.Write(head)
	}
	l.tail = append(l.tail, p[len(head):]...)
	if over := len(l.tail) - maxTail; over > maxTail {
		l.cut += int64(over)
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	return len(p), nil
}

// finish writes the end.
func (l *log) finish() error {
	if l.file == nil {
		return l.err
	}
	if over := len(l.tail) - maxTail; over > 0 {
		l.cut += int64(over)
		l.tail = l.tail[over:]
	}
	if l.err == nil && l.cut > 0 {
		_, l.err = fmt.Fprintf(l.file, "\n… %d bytes are left out …\n", l.cut)
	}
	if l.err == nil {
		_, l.err = l.file.Write(l.tail)
	}
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}

var _ io.Writer = (*log)(nil)

// close ends the log of a service.
func (r *run) close(s *Outcome, l *log) {
	if err := l.finish(); err != nil {
		r.report.Warnings = append(r.report.Warnings, plan.Warning{
			Code: "logIncomplete", Message: "the log of " + s.Name + " is not whole: " + durable.Explain(err).Error(),
			Hint: "what was built is whole",
		})
	}
	if l.file != nil {
		s.Log = l.path
	}
}
