package gitrepo

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
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
	names, err := readNames(fd)
	if err != nil {
		local.unreadable = append(local.unreadable, folderName(prefix))
	}
	// What the index expects here, in its order.
	for lo < hi {
		name, isDir := cutComponent(s.entries[lo].path[len(prefix):])
		_, present := names[name]
		delete(names, name)
		if !isDir {
			s.file(fd, name, &s.entries[lo], present, &local)
			lo++
			continue
		}
		end := below(s.entries, lo, hi, prefix+name+"/")
		s.subfolder(fd, prefix, name, lo, end, present, &local)
		lo = end
	}
	for name := range names {
		if prefix == "" && name == ".git" {
			continue
		}
		s.stranger(fd, prefix, name, &local)
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

// readNames lists an open folder.
func readNames(fd int) (map[string]struct{}, error) {
	names := map[string]struct{}{}
	buffer := make([]byte, 32<<10)
	var batch []string
	for {
		n, err := unix.ReadDirent(fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return names, err
		}
		_, _, batch = unix.ParseDirent(buffer[:n], -1, batch[:0])
		for _, name := range batch {
			names[name] = struct{}{}
		}
	}
}

// pathError is fs.PathError for the calls the standard library has no form of.
type pathError struct {
	op, path string
	err      error
}

func (e *pathError) Error() string { return e.op + " " + e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }
