// Package dir keeps files in a folder of this machine, or one that is mounted.
package dir

import (
	"cmp"
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
	root, err := within(context.Background(), path, patience, func() (*os.Root, error) { return os.OpenRoot(path) }, func(root *os.Root, err error) {
		if err == nil {
			_ = root.Close() // it was only opened
		}
	})
	if err != nil {
		return nil, explain(path, err)
	}
	return &Folder{path, root}, nil
}

func (f *Folder) Name() string { return f.path }

func (f *Folder) Close() error { return f.root.Close() }

func (f *Folder) Put(ctx context.Context, name string, content io.Reader) error {
	place, err := within(context.WithoutCancel(ctx), f.path, patience, func() (*upload, error) { return f.begin(name) }, func(u *upload, err error) {
		if err == nil {
			u.drop()
		}
	})
	if err != nil {
		return err
	}
	read := state.NewContent(ctx, content)
	err = f.fill(place.temp, read)
	if err == nil {
		err = f.do(dataPatience, place.publish)
		if isSilent(err) {
			return err // it may be there yet, whole
		}
	}
	if err != nil {
		// Else a later Put does.
		_ = f.do(patience, func() error { place.drop(); return nil })
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

// upload is a file that is being written.
type upload struct {
	at   *os.Root
	file string // its name
	temp *os.File
}

// begin makes a file that is not complete.
func (f *Folder) begin(name string) (u *upload, err error) {
	at, file, err := f.enter(name)
	if err != nil {
		return nil, err
	}
	if _, err := at.Lstat(file); err == nil {
		return nil, errors.Join(taken(f.path, name), at.Close())
	}
	sweep(at)
	temp, err := newTemporary(at)
	if err != nil {
		return nil, errors.Join(explain(f.path, err), at.Close())
	}
	return &upload{at, file, temp}, nil
}

func (u *upload) publish() error {
	err := publish(u.at, path.Base(u.temp.Name()), u.file)
	if err == nil {
		err = errors.Join(u.temp.Close(), u.at.Close())
	}
	return err
}

// drop removes what was not completed, as far as that goes.
func (u *upload) drop() {
	_ = u.at.Remove(path.Base(u.temp.Name()))
	_, _ = u.temp.Close(), u.at.Close()
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

func (f *Folder) fill(temp *os.File, content *state.Content) error {
	part := writerFunc(func(p []byte) (int, error) {
		put, err := within(context.Background(), f.path, dataPatience, func() (counted, error) {
			n, err := temp.Write(p)
			return counted{n, err}, nil
		}, nil)
		return put.n, cmp.Or(err, put.err)
	})
	if _, err := io.CopyBuffer(part, content, make([]byte, 1<<20)); err != nil {
		return err
	}
	return f.do(dataPatience, temp.Sync)
}

type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

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
	file, err := within(ctx, f.path, patience, func() (*os.File, error) { return f.open(name) }, func(file *os.File, err error) {
		if err == nil {
			_ = file.Close() // nothing was read
		}
	})
	if err != nil {
		return nil, err
	}
	return &reader{Folder: f, file: file, ctx: ctx}, nil
}

func (f *Folder) open(name string) (*os.File, error) {
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
	return file, nil
}

// reader has Read and Close only: what else a file has would go past them.
type reader struct {
	*Folder
	file *os.File
	ctx  context.Context
	// own is what the file is read into: a read that was left alone may still write
	// there.
	own    []byte
	failed error
}

// mostRead is what is read at once.
const mostRead = 1 << 20

func (r *reader) Close() error { return r.do(patience, r.file.Close) }

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil || r.failed != nil {
		return 0, errors.Join(err, r.failed)
	}
	p = p[:min(len(p), mostRead)]
	if len(r.own) < len(p) {
		r.own = make([]byte, len(p))
	}
	own := r.own[:len(p)]
	got, err := within(r.ctx, r.path, dataPatience, func() (counted, error) {
		n, err := r.file.Read(own)
		return counted{n, err}, nil
	}, nil)
	if err != nil {
		r.failed = err
		return 0, err
	}
	if got.err != nil && got.err != io.EOF {
		got.err = explain(r.path, got.err)
	}
	return copy(p, own[:got.n]), got.err
}

func (f *Folder) List(ctx context.Context, folder string) ([]state.File, error) {
	return within(ctx, f.path, dataPatience, func() ([]state.File, error) { return f.listAll(ctx, folder) }, nil)
}

func (f *Folder) listAll(ctx context.Context, folder string) ([]state.File, error) {
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
	return f.do(patience, func() error { return f.remove(name) })
}

func (f *Folder) remove(name string) error {
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
