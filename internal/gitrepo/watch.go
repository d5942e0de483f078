package gitrepo

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watch remembers what a scan found in each folder and lets the kernel say which
// folders changed since, so that the next scan lists only those: a resident
// program answers for a large work tree in less time.
//
// The kernel tells of names that come and go, and of most writes; not of those
// through a memory mapping or through another name of a file. So the stat data
// of every tracked file is looked at all the same, unless that was done within
// trust: a second, in which git itself is blind to a change of equal size.
//
// It is used only on file systems of this machine, not of a network or shared
// with another machine. Anything unexpected drops all that is remembered, and
// everything is looked at.
type watch struct {
	notifier notifier
	index    *index    // what the folders were compared with
	since    time.Time // of the last look at every file
	looks    map[string]*folderLook
}

const trust = time.Second

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
	if w == nil || w.index != ix {
		return nil
	}
	now := time.Now()
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
	if r.distrust || now.Sub(w.since) > trust {
		more, err := s.everyFile()
		if err != nil {
			return nil
		}
		found.add(more)
		w.since = now
	}
	return found.sorted()
}

// everyFile looks at the stat data of every tracked file, without listing
// folders: only what is in them can have changed unseen.
func (s *scanner) everyFile() (*suspects, error) {
	root, err := unix.Open(s.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &pathError{"open", s.root, err}
	}
	defer unix.Close(root)
	workers := runtime.GOMAXPROCS(0)
	found := make([]suspects, workers)
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			lo, hi := len(s.entries)*worker/workers, len(s.entries)*(worker+1)/workers
			for i := lo; i < hi && s.ctx.Err() == nil; i++ {
				if e := &s.entries[i]; !e.assumeValid && !e.skipped {
					s.file(root, e.path, e, true, &found[worker])
				}
			}
		})
	}
	wait.Wait()
	for i := range found[1:] {
		found[0].add(&found[i+1])
	}
	return &found[0], s.ctx.Err()
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
