package gitrepo

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sys/unix"
)

// suspects is what a look at the work tree could not clear: the paths git has
// to decide about. Everything else is certainly as the index has it.
type suspects struct {
	tracked    []string // may differ from the index
	unknown    []string // not in the index; folders as a whole, ending in a slash
	unreadable []string // folders and files that could not be looked at
}

// scanner compares the work tree with the index by stat data alone. It opens
// folders, never files, and follows no links.
type scanner struct {
	ctx       context.Context
	root      string
	entries   []indexEntry
	indexTime int64
	known     map[string]bool // paths outside entries that are in the index all the same
	notifier  notifier        // told of every folder before it is looked at; may be nil
	slots     chan struct{}   // free workers beyond the first
	wait      sync.WaitGroup

	mu        sync.Mutex
	looks     map[string]*folderLook
	unwatched bool // the notifier could not take some folder
}

func newScanner(ctx context.Context, root string, ix *index) *scanner {
	s := &scanner{
		ctx: ctx, root: root, entries: ix.entries, indexTime: ix.stamp.Mtime[0],
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		known: map[string]bool{}, looks: map[string]*folderLook{},
	}
	for _, path := range slices.Concat(ix.intents, ix.unmerged) {
		s.known[path] = true
	}
	return s
}

// all looks at the whole work tree.
func (s *scanner) all() error { return s.at(span{"", 0, len(s.entries)}) }

// at looks at one folder, and at those below it that have not been looked at.
func (s *scanner) at(where span) error {
	path := filepath.Join(s.root, where.prefix)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &pathError{"open", path, err}
	}
	s.folder(fd, where)
	s.wait.Wait()
	return s.ctx.Err()
}

// suspects gathers what was found in all folders. The paths that are in the
// index without an entry are always suspected.
func (s *scanner) suspects(ix *index) *suspects {
	all := &suspects{tracked: slices.Concat(ix.intents, ix.unmerged)}
	for _, look := range s.looks {
		all.add(&look.found)
	}
	return all.sorted()
}

func (all *suspects) sorted() *suspects {
	for _, list := range []*[]string{&all.tracked, &all.unknown, &all.unreadable} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return all
}

// suspectsAfter is suspects, unless the scan failed.
func (s *scanner) suspectsAfter(err error, ix *index) (*suspects, error) {
	if err != nil {
		return nil, err
	}
	return s.suspects(ix), nil
}

func (all *suspects) add(more *suspects) {
	all.tracked = append(all.tracked, more.tracked...)
	all.unknown = append(all.unknown, more.unknown...)
	all.unreadable = append(all.unreadable, more.unreadable...)
}

// span is a tracked folder with the run of the index below it. The prefix is
// empty or ends in a slash.
type span struct {
	prefix string
	lo, hi int
}

// folderLook is what a look at one folder found, without the folders below.
type folderLook struct {
	span
	found suspects
}

// folder looks at the folder open as fd; it closes fd.
func (s *scanner) folder(fd int, where span) {
	defer unix.Close(fd)
	if s.ctx.Err() != nil {
		return
	}
	prefix, lo, hi := where.prefix, where.lo, where.hi
	look := &folderLook{span: where}
	unwatched := s.notifier != nil && s.notifier.add(fd, prefix) != nil
	present := make([]bool, hi-lo) // by the first entry that a name stands for
	err := readNames(fd, func(name []byte) {
		if at := s.locate(len(prefix), lo, hi, name); at >= 0 {
			present[at-lo] = true
		} else if string(name) != ".git" { // git never looks at one
			s.stranger(fd, prefix, string(name), &look.found)
		}
	})
	if err != nil {
		look.found.unreadable = append(look.found.unreadable, folderName(prefix))
	}
	for at := lo; at < hi; {
		name, isDir := cutComponent(s.entries[at].path[len(prefix):])
		if !isDir {
			s.file(fd, name, &s.entries[at], present[at-lo], &look.found)
			at++
			continue
		}
		below := span{prefix + name + "/", at, below(s.entries, at, hi, prefix+name+"/")}
		s.subfolder(fd, name, below, present[at-lo], &look.found)
		at = below.hi
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks[prefix] = look
	s.unwatched = s.unwatched || unwatched
}

// file clears a tracked file, or suspects it.
func (s *scanner) file(fd int, name string, e *indexEntry, present bool, found *suspects) {
	var st unix.Stat_t
	if present && (e.assumeValid || e.skipped) && e.mode != filemode.Submodule &&
		unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && isFolder(&st) {
		found.unknown = append(found.unknown, e.path+"/") // nobody vouches for what is in it
	}
	switch {
	case e.assumeValid || (e.skipped && !present):
		return // git takes the index's word
	case e.mode == filemode.Submodule:
		if !present || unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			break
		}
		if isFolder(&st) && unix.Faccessat(fd, name+"/.git", unix.F_OK, 0) != nil {
			return // not checked out: nothing can differ until it is
		}
	case present && !e.skipped:
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && e.unchanged(&st, s.indexTime) {
			return
		}
		if errors.Is(err, unix.EACCES) {
			found.unreadable = append(found.unreadable, e.path)
			return
		}
		if err == nil && isFolder(&st) {
			found.unknown = append(found.unknown, e.path+"/")
		}
	}
	found.tracked = append(found.tracked, e.path)
}

// subfolder descends into a tracked folder, in another worker when one is free.
func (s *scanner) subfolder(fd int, name string, where span, present bool, found *suspects) {
	if !present {
		for i := where.lo; i < where.hi; i++ {
			if e := &s.entries[i]; !e.assumeValid && !e.skipped {
				found.tracked = append(found.tracked, where.prefix)
				break
			}
		}
		return
	}
	if s.looked(where.prefix) {
		return
	}
	child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EACCES):
		found.unreadable = append(found.unreadable, where.prefix)
		return
	case err != nil:
		// A file, a link or worse where a folder was.
		var st unix.Stat_t
		if errors.Is(unix.Fstatat(fd, name, &st, 0), unix.ELOOP) {
			// Git has no answer for what is below a link to itself: see decide.
			for i := where.lo; i < where.hi; i++ {
				found.tracked = append(found.tracked, s.entries[i].path)
			}
		} else {
			found.tracked = append(found.tracked, where.prefix)
		}
		s.stranger(fd, strings.TrimSuffix(where.prefix, name+"/"), name, found)
		return
	}
	select {
	case s.slots <- struct{}{}:
		s.wait.Go(func() {
			defer func() { <-s.slots }()
			s.folder(child, where)
		})
	default:
		s.folder(child, where)
	}
}

func (s *scanner) looked(prefix string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks[prefix] != nil
}

// stranger is a name the index does not have.
func (s *scanner) stranger(fd int, prefix, name string, local *suspects) {
	path := prefix + name
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return // gone again
	}
	isDir := isFolder(&st)
	switch {
	case s.known[path] && !isDir:
		return // already suspected
	case !isDir && modeOf(&st) == 0:
		return // a socket, a pipe, a device: git does not track those
	case isDir:
		if unix.Faccessat(fd, name, unix.R_OK|unix.X_OK, unix.AT_EACCESS) != nil {
			local.unreadable = append(local.unreadable, path+"/")
			return
		}
		path += "/"
	}
	local.unknown = append(local.unknown, path)
}

func folderName(prefix string) string {
	if prefix == "" {
		return "./"
	}
	return prefix
}

// locate finds a name of the folder whose path has length bytes among
// entries[lo:hi]: the tracked file, or the first one below the tracked folder; -1
// when the index has neither.
func (s *scanner) locate(length, lo, hi int, name []byte) int {
	search := func(isDir bool) (int, bool) {
		return sort.Find(hi-lo, func(i int) int {
			return compareName(name, isDir, s.entries[lo+i].path[length:])
		})
	}
	if at, found := search(false); found {
		return lo + at
	}
	if at, found := search(true); found {
		return lo + at
	}
	return -1
}

// compareName compares a name with a path of the index: as a whole, or, for a
// folder, the name and a slash with its beginning. Zero for a folder means the
// path is below it; of several the search finds the first.
func compareName(name []byte, isDir bool, path string) int {
	n := min(len(name), len(path))
	for i := range n {
		if name[i] != path[i] {
			return int(name[i]) - int(path[i])
		}
	}
	switch {
	case len(path) == n && len(name) == n && !isDir:
		return 0
	case len(path) == n: // the path is the shorter, or the name with its slash is longer
		return 1
	case isDir:
		return '/' - int(path[n])
	}
	return -1
}

// readNames visits the names in an open folder. A name is valid during the
// visit only.
func readNames(fd int, visit func(name []byte)) error {
	buffer, _ := direntBuffers.Get().(*[direntBuffer]byte)
	defer direntBuffers.Put(buffer)
	for {
		n, err := unix.ReadDirent(fd, buffer[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		eachName(buffer[:n], visit)
	}
}

const direntBuffer = 32 << 10

var direntBuffers = sync.Pool{New: func() any { return new([direntBuffer]byte) }}

// pathError is fs.PathError for the calls the standard library has no form of.
type pathError struct {
	op, path string
	err      error
}

func (e *pathError) Error() string { return e.op + " " + e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }
