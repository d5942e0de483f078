package gitrepo

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// watch remembers what a scan found in each folder and lets the kernel say which
// folders changed since, so that the next scan looks only at those: a resident
// program answers for a large work tree in the time of what changed.
//
// It trusts the kernel only where that sees every change: on file systems of
// this machine, not of a network or of another machine, and for files of one
// name. And not for longer than maxTrust, since a write through a memory mapping
// that outlives its descriptor is not told. Anything unexpected drops all that
// is remembered, and everything is looked at.
type watch struct {
	notifier notifier
	index    *index // what the folders were compared with
	since    time.Time
	looks    map[string]*folderLook
}

const maxTrust = time.Minute

// notifier tells which folders changed.
type notifier interface {
	// add begins to tell about the folder open as fd, before it is looked at. It
	// may be called from several goroutines.
	add(fd int, prefix string) error
	// changed lists the folders in which something happened since the last call;
	// false when that cannot be told. Not together with add.
	changed() (prefixes []string, ok bool)
	close()
}

// scan finds what differs from the index by stat data.
func (r *Repo) scan(ctx context.Context, ix *index) (*suspects, error) {
	if !r.Resident || !r.watching.TryLock() { // another call is using it
		s := newScanner(ctx, r.root, ix)
		return s.suspectsAfter(s.all(), ix)
	}
	defer r.watching.Unlock()
	if found := r.scanChanged(ctx, ix); found != nil || ctx.Err() != nil {
		return found, ctx.Err()
	}
	r.unwatch()
	s := newScanner(ctx, r.root, ix)
	if !r.closed {
		s.notifier = newNotifier(r.root)
	}
	since := time.Now()
	found, err := s.suspectsAfter(s.all(), ix)
	switch {
	case s.notifier == nil:
	case err != nil || s.unwatched:
		s.notifier.close()
	default:
		r.watch = &watch{s.notifier, ix, since, s.looks}
	}
	return found, err
}

// scanChanged looks only at the folders that changed since the last scan; nil
// when that is not enough.
func (r *Repo) scanChanged(ctx context.Context, ix *index) *suspects {
	w := r.watch
	if w == nil || w.index != ix || time.Since(w.since) > maxTrust {
		return nil
	}
	prefixes, ok := w.notifier.changed()
	if !ok {
		return nil
	}
	s := newScanner(ctx, r.root, ix)
	s.notifier, s.looks = w.notifier, w.looks
	for _, prefix := range prefixes {
		look := w.looks[prefix]
		if look == nil || s.at(look.span) != nil || s.unwatched {
			w.index = nil // half done: not to be trusted
			return nil
		}
	}
	found := s.suspects(ix)
	found.add(s.again())
	return found.sorted()
}

// again looks once more at the entries that can change unseen.
func (s *scanner) again() *suspects {
	found := &suspects{}
	for _, look := range s.looks {
		for _, at := range look.again {
			e := &s.entries[at]
			var st unix.Stat_t
			present := unix.Lstat(s.root+"/"+e.path, &st) == nil
			s.file(unix.AT_FDCWD, s.root+"/"+e.path, e, present, found)
		}
	}
	return found
}

// unwatch drops what is remembered.
func (r *Repo) unwatch() {
	if r.watch != nil {
		r.watch.notifier.close()
		r.watch = nil
	}
}

// Close lets go of what the repository holds open. Questions that are still
// under way are answered.
func (r *Repo) Close() {
	r.watching.Lock()
	defer r.watching.Unlock()
	r.closed = true
	r.unwatch()
}
