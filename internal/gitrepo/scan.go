package gitrepo

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sys/unix"
)

// suspects is what a look at the work tree could not clear: the paths git has
// to decide about. Everything else is certainly as the index has it.
type suspects struct {
	tracked    []string // may differ from the index
	relinked   []string // submodules with a symbolic link in their place: git refuses to look at them
	unknown    []string // not in the index; folders as a whole, ending in a slash
	unreadable []string // folders and files that could not be looked at
}

// scan compares the work tree with the index by stat data alone. It opens
// folders, never files, and follows no links.
func scan(ctx context.Context, root string, ix *index) (*suspects, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &pathError{"open", root, err}
	}
	s := &scanner{
		ctx: ctx, entries: ix.entries, indexTime: ix.stamp.Mtime[0],
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		known: map[string]bool{},
	}
	for _, path := range slices.Concat(ix.intents, ix.unmerged) {
		s.known[path] = true
		s.found.tracked = append(s.found.tracked, path)
		for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
			s.known[dir] = true
		}
	}
	s.folder(fd, "", 0, len(s.entries))
	s.wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, list := range [][]string{s.found.tracked, s.found.unknown, s.found.unreadable} {
		slices.Sort(list)
	}
	return &s.found, nil
}

type scanner struct {
	ctx       context.Context
	entries   []indexEntry
	indexTime int64
	known     map[string]bool // paths outside entries that are in the index all the same, and their folders
	slots     chan struct{}   // free workers beyond the first
	wait      sync.WaitGroup

	mu    sync.Mutex
	found suspects
}

// folder looks at the folder open as fd, whose tracked files are
// entries[lo:hi]; it closes fd. The prefix is empty or ends in a slash.
func (s *scanner) folder(fd int, prefix string, lo, hi int) {
	defer unix.Close(fd)
	if s.ctx.Err() != nil {
		return
	}
	var local suspects
	present := make([]bool, hi-lo) // by the first entry that a name stands for
	err := readNames(fd, func(name []byte) {
		if at := s.locate(len(prefix), lo, hi, name); at >= 0 {
			present[at-lo] = true
		} else if prefix != "" || string(name) != ".git" {
			s.stranger(fd, prefix, string(name), &local)
		}
	})
	if err != nil {
		local.unreadable = append(local.unreadable, folderName(prefix))
	}
	for at := lo; at < hi; {
		name, isDir := cutComponent(s.entries[at].path[len(prefix):])
		if !isDir {
			s.file(fd, name, &s.entries[at], present[at-lo], &local)
			at++
			continue
		}
		end := below(s.entries, at, hi, prefix+name+"/")
		s.subfolder(fd, prefix, name, at, end, present[at-lo], &local)
		at = end
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.tracked = append(s.found.tracked, local.tracked...)
	s.found.relinked = append(s.found.relinked, local.relinked...)
	s.found.unknown = append(s.found.unknown, local.unknown...)
	s.found.unreadable = append(s.found.unreadable, local.unreadable...)
}

// file clears a tracked file, or suspects it.
func (s *scanner) file(fd int, name string, e *indexEntry, present bool, local *suspects) {
	switch {
	case e.assumeValid || (e.skipped && !present):
		return // git takes the index's word
	case e.mode == filemode.Submodule:
		var st unix.Stat_t
		if !present || unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			break
		}
		if modeOf(&st) == filemode.Symlink {
			local.relinked = append(local.relinked, e.path)
			return
		}
		if isFolder(&st) && unix.Faccessat(fd, name+"/.git", unix.F_OK, 0) != nil {
			return // not checked out: nothing can differ
		}
	case present && !e.skipped:
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && e.unchanged(&st, s.indexTime) {
			return
		}
		if errors.Is(err, unix.EACCES) {
			local.unreadable = append(local.unreadable, e.path)
			return
		}
		if err == nil && isFolder(&st) {
			local.unknown = append(local.unknown, e.path+"/")
		}
	}
	local.tracked = append(local.tracked, e.path)
}

// subfolder descends into a tracked folder, in another worker when one is free.
func (s *scanner) subfolder(fd int, prefix, name string, lo, hi int, present bool, local *suspects) {
	path := prefix + name
	if !present {
		for i := lo; i < hi; i++ {
			if e := &s.entries[i]; !e.assumeValid && !e.skipped {
				local.tracked = append(local.tracked, path+"/")
				break
			}
		}
		return
	}
	child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EACCES):
		local.unreadable = append(local.unreadable, path+"/")
		return
	case err != nil:
		// A file, a link or worse where a folder was.
		local.tracked = append(local.tracked, path+"/")
		local.unknown = append(local.unknown, path)
		return
	}
	select {
	case s.slots <- struct{}{}:
		s.wait.Go(func() {
			defer func() { <-s.slots }()
			s.folder(child, path+"/", lo, hi)
		})
	default:
		s.folder(child, path+"/", lo, hi)
	}
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
