package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// AskForClones has the passes from now on prepare for [Sink.Hold].
func (s *Sink) AskForClones() { s.clones = true }

// Hold asks for the last pass. When it returns without a report nothing of the tree is
// needed any more: it may change, and [Sink.Finish] ends the pass. Else the pass is
// over, and the report says what could not be cloned.
func (s *Sink) Hold(ctx context.Context) (*Report, error) {
	s.holds = true
	defer func() { s.holds = false }()
	return s.ask(ctx, &ask{Final: true, Clones: true})
}

// Finish copies what was cloned.
func (s *Sink) Finish(ctx context.Context) (*Report, error) { return s.ask(ctx, nil) }

// prepare makes room for clones, and in a live pass finds out whether there can be any.
func (p *pass) prepare() {
	clones, err := newClones(int(p.parent.Fd()))
	if err == nil && !p.final {
		if err = clones.try(); err != nil {
			clones.close()
		}
	}
	if err != nil {
		p.report.Uncloned = whyNot("", err)
		return
	}
	p.clones, p.held = clones, p.final
}

// clone clones a file that has to be read, or goes on without holding anything.
func (f *filing) clone() {
	begun := time.Now()
	clone, base, err := -1, int64(0), error(nil)
	if len(f.extents) > 0 {
		clone, base, err = f.clones.add(f.fd, f.before.size)
	}
	f.cloning += time.Since(begun)
	if err != nil {
		f.report.Uncloned = whyNot(f.path, err)
		f.release()
		f.send()
		return
	}
	f.close()
	f.fd, f.base, f.cloned = clone, base, true
	f.queue = append(f.queue, f.send)
}

// rehearse finds out whether a file that was read can be cloned, and how long it takes.
func (f *filing) rehearse() {
	if f.clones == nil || f.final || f.bytes == 0 || f.emitted.uncloned != "" {
		return
	}
	begun := time.Now()
	_, _, err := f.clones.add(f.fd, f.before.size)
	f.emitted.cloning += time.Since(begun)
	if err = errors.Join(err, f.clones.empty()); err != nil {
		f.emitted.uncloned = whyNot(f.path, err)
	}
}

// release has the pass go on as one that is not held.
func (p *pass) release() {
	queue := p.queue
	p.held, p.queue = false, nil
	for _, step := range queue {
		step()
	}
}

// letGo ends a walk that was held: the tree is looked at once more, and is not needed
// from then on.
func (p *pass) letGo() error {
	if err := p.sweep(); err != nil {
		return cut(err)
	}
	p.told = true
	if err := p.out.put(frameHeld); err != nil {
		return err
	}
	if err := cut(p.out.to.Flush()); err != nil {
		return err
	}
	p.release()
	return nil
}

// whyNot says what could not be cloned; no path: nothing can.
func whyNot(path string, err error) string {
	why := err.Error()
	switch {
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EISDIR):
		why = "there are no clones on its file system"
	case errors.Is(err, unix.EXDEV):
		why = "it is on another file system"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		why = "its disk has no room for a clone"
	case errors.Is(err, unix.EROFS):
		why = "it is reached by a sidecar, or mounted to be read"
	}
	if path == "" {
		return why
	}
	return fmt.Sprintf("%.300q: %s", path, why)
}
