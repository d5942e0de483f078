package job

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

// claims takes the lock under which jobs begin, end and are repaired. It is held
// for a moment, but a process that is stopped in that moment holds it for as
// long as it is: nobody waits for it longer than ctx.
func (s *Store) claims(ctx context.Context) (unlock func(), err error) {
	for _, folder := range []string{s.Dir, filepath.Join(s.Dir, "jobs"), filepath.Join(s.Dir, "active")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, durable.Explain(err)
		}
	}
	return durable.Lock(ctx, filepath.Join(s.Dir, "claims.lock"))
}

// repair settles a job whose process died: whoever can take its lock knows that
// nobody has it. The claims are held.
func (s *Store) repair(id string) error {
	file, err := os.OpenFile(s.lock(id), os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		defer file.Close()
		err := durable.Flock(file, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil // alive
		}
		if err != nil {
			return err
		}
	}
	j, err := s.read(id)
	if bad := (*damaged)(nil); fault.CodeOf(err) == fault.NotFound || errors.As(err, &bad) {
		return s.forget(id)
	}
	if err != nil {
		return err
	}
	if !j.State.Over() {
		j.Finished = stamp(s.now())
		j.State, j.Problem = s.died(j)
		if err := s.write(j); err != nil {
			return err
		}
	}
	return s.forget(id)
}

// forget removes a job from the active ones.
func (s *Store) forget(id string) error {
	if err := os.Remove(s.lock(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return durable.Explain(err)
	}
	return nil
}

func (s *Store) write(j *Job) error {
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.folder(j.ID), "job.json"), append(raw, '\n'))
}

// claim makes the record of a new job and takes its lock, unless an active job
// works on one of its services.
func (s *Store) claim(ctx context.Context, j *Job, input []byte) (*os.File, error) {
	unlock, err := s.claims(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.free(j.Services); err != nil {
		return nil, err
	}
	s.prune()
	if err := os.Mkdir(s.folder(j.ID), 0o700); err != nil {
		return nil, durable.Explain(err)
	}
	held, err := s.hold(j, input)
	if err != nil {
		// Half a record is no job. What cannot be removed says nothing worse.
		_ = os.RemoveAll(s.folder(j.ID))
		_ = s.forget(j.ID)
	}
	return held, err
}

func (s *Store) hold(j *Job, input []byte) (*os.File, error) {
	if err := durable.WriteFile(filepath.Join(s.folder(j.ID), "input.json"), input); err != nil {
		return nil, err
	}
	if err := s.write(j); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(s.lock(j.ID), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, durable.Explain(err)
	}
	if err := durable.Flock(file, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// free says who works on one of the services, if anybody does.
func (s *Store) free(services []string) error {
	active, err := os.ReadDir(filepath.Join(s.Dir, "active"))
	if err != nil {
		return err
	}
	for _, entry := range active {
		id := entry.Name()
		if err := s.repair(id); err != nil {
			return err
		}
		if _, err := os.Lstat(s.lock(id)); err != nil {
			continue // repaired
		}
		other, err := s.read(id)
		if bad := (*damaged)(nil); errors.As(err, &bad) {
			// Alive, and nobody can tell what it works on.
			return fault.Newf(fault.Locked, "wait until it is over, or end its process", "job %s works on what its record does not tell", id)
		}
		if err != nil {
			return err
		}
		common := slices.DeleteFunc(slices.Clone(other.Services), func(name string) bool { return !slices.Contains(services, name) })
		if len(common) > 0 {
			return fault.Newf(fault.Locked, "wait for it with job_get, or stop it with job_cancel",
				"%s: job %s works on it since %s", strings.Join(common[:min(len(common), 5)], ", "), id, other.Created)
		}
	}
	return nil
}

// prune removes the oldest jobs that are over. The claims are held. What cannot
// be removed stays for the next time.
func (s *Store) prune() {
	ids, err := s.ids()
	if err != nil {
		return
	}
	over := 0
	for _, id := range ids {
		if _, err := os.Lstat(s.lock(id)); err == nil {
			continue
		}
		if over++; over >= keep {
			_ = os.RemoveAll(s.folder(id))
		}
	}
}
