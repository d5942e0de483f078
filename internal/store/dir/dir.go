// Package dir keeps files in a folder of this machine, or one that is mounted.
package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/fault"
	"homelab/internal/state"
)

// temporary begins the names of files that are not complete.
const temporary = ".new-"

// Folder is a [state.Files]. Everybody else's links in it lead nowhere outside.
type Folder struct {
	path string
	root *os.Root
}

// Open opens a folder, which must be there: one that is missing may be a disk that
// is not mounted, whose place is no place for bundles.
func Open(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, explain(path, err)
	}
	return &Folder{path, root}, nil
}

func (f *Folder) Name() string { return f.path }

func (f *Folder) Close() error { return f.root.Close() }

func (f *Folder) Put(ctx context.Context, name string, content io.Reader) error {
	at, file, err := f.enter(name)
	if err != nil {
		return err
	}
	defer at.Close()
	if _, err := at.Lstat(file); err == nil {
		return taken(f.path, name)
	}
	sweep(at)
	temp, err := newTemporary(at)
	if err != nil {
		return explain(f.path, err)
	}
	read := state.NewContent(ctx, content)
	err = fill(temp, read)
	if err == nil {
		err = publish(at, path.Base(temp.Name()), file)
	}
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = at.Remove(path.Base(temp.Name())) // else a later Put does
		switch {
		case read.Err != nil:
			return read.Err
		case errors.Is(err, fs.ErrExist):
			return taken(f.path, name)
		}
		return explain(f.path, err)
	}
	return nil
}

// enter opens the folder of a file, and makes it if it is not there.
func (f *Folder) enter(name string) (at *os.Root, file string, err error) {
	folder, file, err := state.SplitName(name)
	if err != nil {
		return nil, "", err
	}
	if err = f.root.Mkdir(folder, 0o700); err == nil {
		err = syncFolder(f.root)
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil {
		at, err = f.root.OpenRoot(folder)
	}
	if err != nil {
		return nil, "", explain(f.path, err)
	}
	return at, file, nil
}

// newTemporary makes a file that is locked as long as it is open, so that nobody
// takes it for a leftover.
func newTemporary(at *os.Root) (*os.File, error) {
	for {
		temp, err := at.OpenFile(temporary+rand.Text(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		// Where there are no locks, nothing is swept either.
		_ = unix.Flock(int(temp.Fd()), unix.LOCK_EX)
		if isStill(at, temp) {
			return temp, nil
		}
		_ = temp.Close() // swept before it was locked
	}
}

// sweep removes what killed writers left. What cannot be removed stays: it is in
// the way of nothing but a person, who wonders about the room it takes.
func sweep(at *os.Root) {
	names, err := readNames(at)
	if err != nil {
		return
	}
	for _, name := range names {
		if !strings.HasPrefix(name, temporary) {
			continue
		}
		left, err := at.OpenFile(name, os.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(left.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && isStill(at, left) {
			_ = at.Remove(name)
		}
		_ = left.Close()
	}
}

// isStill says whether an open file has its name still.
func isStill(at *os.Root, file *os.File) bool {
	open, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := at.Lstat(path.Base(file.Name()))
	return err == nil && os.SameFile(open, named)
}

func fill(temp *os.File, content *state.Content) error {
	if _, err := io.CopyBuffer(onlyWriter{temp}, content, make([]byte, 1<<20)); err != nil {
		return err
	}
	return temp.Sync()
}

// onlyWriter keeps a file from choosing a smaller buffer.
type onlyWriter struct{ io.Writer }

// publish gives a temporary file its name, which must be free, and waits until
// that lasts.
func publish(at *os.Root, temp, name string) error {
	folder, err := at.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	err = renameNew(folder, temp, name)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EINVAL) {
		if err = at.Link(temp, name); err == nil {
			err = at.Remove(temp)
		}
	}
	if err != nil {
		return err
	}
	return folder.Sync()
}

func syncFolder(at *os.Root) error {
	folder, err := at.Open(".")
	if err != nil {
		return err
	}
	err = folder.Sync()
	if closed := folder.Close(); err == nil {
		err = closed
	}
	return err
}

func (f *Folder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if _, _, err := state.SplitName(name); err != nil {
		return nil, err
	}
	// Opening a pipe that somebody put there waits for nobody.
	file, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, f.missing(name, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.Newf(fault.Precondition, "find out who put it there", "%s in %s is no file", name, f.path)
	}
	if err != nil {
		return nil, errors.Join(explain(f.path, err), file.Close())
	}
	return &reader{file, ctx, f.path}, nil
}

// reader has Read and Close only: what else a file has would go past them.
type reader struct {
	file *os.File
	ctx  context.Context
	path string
}

func (r *reader) Close() error { return r.file.Close() }

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	if err != nil && err != io.EOF {
		err = explain(r.path, err)
	}
	return n, err
}

func (f *Folder) List(ctx context.Context, folder string) ([]state.File, error) {
	if folder != "" {
		return f.list(ctx, folder)
	}
	names, err := readNames(f.root)
	if err != nil {
		return nil, explain(f.path, err)
	}
	all := []state.File{}
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if info, err := f.root.Lstat(name); err != nil || !info.IsDir() {
			continue
		}
		files, err := f.list(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

func (f *Folder) list(ctx context.Context, folder string) ([]state.File, error) {
	at, err := f.root.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return []state.File{}, nil
	}
	if err != nil {
		return nil, explain(f.path, err)
	}
	defer at.Close()
	names, err := readNames(at)
	if err != nil {
		return nil, explain(f.path, err)
	}
	files := []state.File{}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, ".") {
			continue
		}
		info, err := at.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return nil, explain(f.path, err)
		case info.Mode().IsRegular():
			files = append(files, state.File{Name: folder + "/" + name, Size: info.Size()})
		}
	}
	return files, nil
}

func readNames(at *os.Root) ([]string, error) {
	folder, err := at.Open(".")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Readdirnames(-1)
}

func (f *Folder) Remove(_ context.Context, name string) error {
	folder, file, err := state.SplitName(name)
	if err != nil {
		return err
	}
	at, err := f.root.OpenRoot(folder)
	if err != nil {
		return f.missing(name, err)
	}
	defer at.Close()
	if err := at.Remove(file); err != nil {
		return f.missing(name, err)
	}
	if err := syncFolder(at); err != nil {
		return explain(f.path, err)
	}
	return nil
}
