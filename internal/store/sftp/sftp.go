// Package sftp keeps files on another machine, through its SFTP server and the
// user's ssh.
package sftp

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
	"sync"
	"time"

	"github.com/pkg/sftp"

	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// temporary begins the names of files that are not complete.
const temporary = ".new-"

// abandoned is how long nobody wrote to a file of a writer that is no more. It is
// measured by the clock of the server alone.
const abandoned = 24 * time.Hour

// inFlight is how many packets of 32 KiB are under way at once.
const inFlight = 64

// Server is a [state.Files]. It connects when there is something to do, and keeps
// one connection: there are firewalls that count them.
type Server struct {
	at registry.Store

	mu   sync.Mutex
	idle *link
}

// New returns the server of an address, without asking it anything.
func New(at registry.Store) *Server { return &Server{at: at} }

func (s *Server) Name() string { return s.at.Address }

func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil {
		s.idle.close()
		s.idle = nil
	}
	return nil
}

// take takes the idle connection if it is alive, or makes one.
func (s *Server) take(ctx context.Context) (*link, error) {
	s.mu.Lock()
	l := s.idle
	s.idle = nil
	s.mu.Unlock()
	if l != nil && l.alive() {
		return l, nil
	}
	if l != nil {
		l.close()
	}
	return s.connect(ctx)
}

func (s *Server) give(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil || !l.alive() {
		l.close()
		return
	}
	s.idle = l
}

// do does something on a connection, which is cut when ctx is done and it does not
// come to an end.
func (s *Server) do(ctx context.Context, what func(*link) error) error {
	l, err := s.take(ctx)
	if err != nil {
		return err
	}
	release := l.guard(ctx)
	err = what(l)
	release()
	if err != nil {
		err = s.explain(ctx, l, err)
	}
	s.give(l)
	return err
}

func (s *Server) path(name string) string { return path.Join(s.at.Path, name) }

func (s *Server) Put(ctx context.Context, name string, content io.Reader) error {
	folder, _, err := state.SplitName(name)
	if err != nil {
		return err
	}
	read := state.NewContent(ctx, content)
	err = s.do(ctx, func(l *link) error {
		if err := s.enter(l, folder); err != nil {
			return err
		}
		if _, err := l.Lstat(s.path(name)); err == nil {
			return s.taken(name)
		}
		temp := s.path(folder + "/" + temporary + rand.Text())
		file, err := l.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return err
		}
		s.sweep(l, folder, file)
		err = s.fill(file, read)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = s.publish(l, temp, name, read.Size)
		}
		if err == nil {
			return nil
		}
		if read.Err == nil && s.isFull(l, err) {
			err = fault.Newf(fault.Precondition, "make room there, then call again", "no space is left in %s: %w", s.Name(), err)
		}
		_ = l.Remove(temp) // else a later Put does
		if read.Err != nil {
			return nil // the connection is well
		}
		return err
	})
	return cmp.Or(read.Err, err)
}

// enter makes the folder of a file if it is not there. Where bundles go must be
// there: its place could be one where something is to be mounted.
func (s *Server) enter(l *link, folder string) error {
	if _, err := l.Lstat(s.path(folder)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := l.Stat(s.at.Path); err != nil {
		return err
	}
	if err := l.Mkdir(s.path(folder)); err != nil {
		if _, other := l.Lstat(s.path(folder)); other == nil { // made by another meanwhile
			return nil
		}
		return err
	}
	return l.Chmod(s.path(folder), 0o700)
}

func (s *Server) fill(file *sftp.File, content *state.Content) error {
	if err := file.Chmod(0o600); err != nil {
		return err
	}
	if _, err := file.ReadFromWithConcurrency(content, inFlight); err != nil {
		return err
	}
	var status *sftp.StatusError
	if err := file.Sync(); err != nil && !(errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxOpUnsupported) {
		return err
	}
	return nil
}

// publish gives a temporary file its name. SFTP renames to no name that is taken.
func (s *Server) publish(l *link, temp, name string, size int64) error {
	info, err := l.Lstat(temp)
	if err != nil {
		return err
	}
	if info.Size() != size {
		return fault.Newf(fault.Precondition, "check the disk of that host", "%s stored %d of %d bytes", s.Name(), info.Size(), size)
	}
	err = l.Rename(temp, s.path(name))
	if err != nil {
		if _, other := l.Lstat(s.path(name)); other == nil {
			return s.taken(name)
		}
	}
	return err
}

// sweep removes what nobody wrote to for long before the file was made. What cannot
// be removed stays: it takes room and is in nobody's way.
func (s *Server) sweep(l *link, folder string, made *sftp.File) {
	now, err := made.Stat()
	if err != nil {
		return
	}
	entries, err := l.ReadDir(s.path(folder))
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporary) && now.ModTime().Sub(entry.ModTime()) > abandoned {
			_ = l.Remove(s.path(folder + "/" + entry.Name()))
		}
	}
}

func (s *Server) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if _, _, err := state.SplitName(name); err != nil {
		return nil, err
	}
	l, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	release := l.guard(ctx)
	file, err := l.openRegular(s.path(name))
	if err != nil {
		release()
		err = s.missing(ctx, l, name, err)
		s.give(l)
		return nil, err
	}
	return &reader{file, s, l, ctx, release}, nil
}

// openRegular opens a file: what waits for a writer would have the server wait.
func (l *link) openRegular(path string) (*sftp.File, error) {
	info, err := l.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fault.Newf(fault.Precondition, "find out who put it there", "%s is no file", path)
	}
	if err != nil {
		return nil, err
	}
	return l.OpenFile(path, os.O_RDONLY)
}

type reader struct {
	file    *sftp.File
	server  *Server
	link    *link
	ctx     context.Context
	release func()
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	if err != nil && err != io.EOF {
		err = r.server.explain(r.ctx, r.link, err)
	}
	return n, err
}

func (r *reader) Close() error {
	r.release()
	err := r.file.Close()
	if err != nil {
		err = r.server.explain(r.ctx, r.link, err)
	}
	r.server.give(r.link)
	return err
}

func (s *Server) List(ctx context.Context, folder string) ([]state.File, error) {
	files := []state.File{}
	err := s.do(ctx, func(l *link) error {
		folders := []string{folder}
		if folder == "" {
			folders = nil
			entries, err := l.ReadDirContext(ctx, s.at.Path)
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
					folders = append(folders, entry.Name())
				}
			}
		}
		for _, folder := range folders {
			entries, err := l.ReadDirContext(ctx, s.path(folder))
			if errors.Is(err, fs.ErrNotExist) {
				// None of that service, or nothing at all.
				if _, err := l.Stat(s.at.Path); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if entry.Mode().IsRegular() && !strings.HasPrefix(entry.Name(), ".") {
					files = append(files, state.File{Name: folder + "/" + entry.Name(), Size: entry.Size()})
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

func (s *Server) Remove(ctx context.Context, name string) error {
	if _, _, err := state.SplitName(name); err != nil {
		return err
	}
	return s.do(ctx, func(l *link) error {
		if err := l.Remove(s.path(name)); err != nil {
			return s.missing(ctx, l, name, err)
		}
		return nil
	})
}
