package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"homelab/internal/tree"
)

// A sink whose place has a memory takes up the copy that is there, if the source
// remembers it, and otherwise removes it and begins anew.

// recalled is whether a source remembers what it was told.
type recalled struct {
	Known bool `json:"known"`
}

// resume tells the source what an earlier one remembered of the copy. The file goes
// before anything is changed: what is broken off is not taken up.
func (s *Sink) resume() error {
	memory, err := s.place.Root.ReadFile(s.place.Memory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return applyFailed(s.place.Memory, err)
	}
	if err == nil {
		if err := s.place.Root.Remove(s.place.Memory); err != nil {
			return applyFailed(s.place.Memory, err)
		}
	}
	f := &fields{rest: memory}
	boot, _, bootErr := tree.Boot()
	_, gone := tree.Stat(int(s.parent.Fd()), s.place.Name)
	if bootErr == nil && f.text() == boot && !f.bad && gone == nil {
		known, err := s.remind(f.rest)
		if err != nil || known {
			return err
		}
	}
	if err := remove(int(s.parent.Fd()), s.place.Name, 0); err != nil && err != unix.ENOENT {
		return applyFailed(s.path(s.place.Name), err)
	}
	return nil
}

// remind has the source recall.
func (s *Sink) remind(memory []byte) (bool, error) {
	if err := s.out.chunks(frameRecall, memory); err != nil {
		return false, err
	}
	kind, payload, err := s.in.next()
	if err == nil {
		err = s.greet(kind, payload)
	}
	var answer recalled
	if err == nil {
		err = s.in.hear(frameRecalled, &answer)
	}
	return answer.Known, cut(err)
}

// Keep has the source tell what it remembers, so that the next sink of this place
// takes up the copy. No pass may follow.
func (s *Sink) Keep(ctx context.Context) error {
	if s.failed != nil {
		return s.failed
	}
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	err := s.keep()
	if err != nil {
		s.failed = cmp.Or(ctx.Err(), cut(err))
		return s.failed
	}
	return nil
}

func (s *Sink) keep() error {
	boot, _, err := tree.Boot()
	if err != nil {
		return nil // where there is no telling, nothing is kept
	}
	if err := s.out.say(frameRemember, struct{}{}); err != nil {
		return err
	}
	memory := appendText(nil, boot)
	for {
		kind, payload, err := s.in.next()
		switch {
		case err != nil:
			return err
		case kind == frameFailed:
			return retell(payload)
		case kind != frameMemory:
			return garbled("a message of it, of type %d, is not expected", kind)
		case len(payload) == 0:
			return s.write(memory)
		}
		memory = append(memory, payload...)
	}
}

func (s *Sink) write(memory []byte) error {
	fresh := s.place.Memory + ".new"
	err := s.place.Root.WriteFile(fresh, memory, 0o600)
	if err == nil {
		err = s.place.Root.Rename(fresh, s.place.Memory)
	}
	if err != nil {
		return applyFailed(s.path(s.place.Memory), err)
	}
	return nil
}

// chunks writes something long, and sends it.
func (w *frameWriter) chunks(kind frame, rest []byte) error {
	for len(rest) > 0 {
		n := min(len(rest), blockSize)
		if err := w.put(kind, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if err := w.put(kind); err != nil {
		return err
	}
	return cut(w.to.Flush())
}

// answer does what the sink asks for.
func (s *Source) answer(ctx context.Context, kind frame, payload []byte) error {
	switch kind {
	case frameAsk:
		var a ask
		if json.Unmarshal(payload, &a) != nil {
			break
		}
		_, err := s.do(ctx, a)
		return err
	case frameRecall:
		if len(payload) > 0 {
			s.told = append(s.told, payload...)
			return nil
		}
		known := s.recall(s.told)
		s.told = nil
		return s.out.say(frameRecalled, recalled{known})
	case frameRemember:
		return s.out.chunks(frameMemory, s.memorise())
	}
	return garbled("a message of it, of type %d, is not expected", kind)
}
