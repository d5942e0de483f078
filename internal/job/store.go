package job

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

// Store is the jobs of one repository: a folder of them, shared by all processes
// of the user.
//
//	jobs/ID/job.json     the record
//	jobs/ID/input.json   arguments of the call
//	jobs/ID/result.json  what it answered
//	jobs/ID/logs/        what it wrote meanwhile
//	jobs/ID/worker.log   what its own process said, for one in the background
//	jobs/ID/cancel       there once somebody asked it to stop
//	active/ID            locked by the process that does the work
//	claims.lock          held for a moment, by whoever begins, ends or repairs
type Store struct {
	Dir string
	Now func() time.Time // nil: time.Now
}

// keep is how many finished jobs are kept; older ones are removed when a new
// one begins.
const keep = 100

// poll is how often is looked at what another process may change.
const poll = 150 * time.Millisecond

// patience is how long the end of a job waits for the lock, which also a job that
// was canceled needs.
const patience = 30 * time.Second

func (s *Store) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s *Store) folder(id string) string { return filepath.Join(s.Dir, "jobs", id) }
func (s *Store) lock(id string) string   { return filepath.Join(s.Dir, "active", id) }

// WorkerLog is where the process of a detached job writes what it says.
func (s *Store) WorkerLog(id string) string { return filepath.Join(s.folder(id), "worker.log") }

// newID is readable, and sorts by time.
func (s *Store) newID(tool string) string {
	day, second, _ := strings.Cut(s.now().UTC().Format("20060102 150405.000"), " ")
	return fmt.Sprintf("%s-%s-%s-%s", tool, day, strings.Replace(second, ".", "", 1), strings.ToLower(rand.Text()[:4]))
}

// Get returns a job. [fault.NotFound] when there is none of that name.
func (s *Store) Get(ctx context.Context, id string) (*Job, error) {
	j, err := s.read(id)
	if err != nil {
		return nil, err
	}
	if j.State.Over() {
		return j, nil
	}
	unlock, err := s.claims(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// It may have ended meanwhile; repair reads it again.
	if err := s.repair(id); err != nil {
		return nil, err
	}
	return s.read(id)
}

// read reads the record with the progress beside it.
func (s *Store) read(id string) (*Job, error) {
	j := &Job{}
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return nil, s.unknown(id)
	}
	raw, err := os.ReadFile(filepath.Join(s.folder(id), "job.json"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil, s.unknown(id)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, j); err != nil || j.ID != id {
		return nil, &damaged{id, s.folder(id)}
	}
	if !j.State.Over() {
		// Progress is a courtesy: without it the job is there all the same.
		if raw, err := os.ReadFile(filepath.Join(s.folder(id), "progress.json")); err == nil {
			_ = json.Unmarshal(raw, &j.Progress)
		}
	}
	return j, nil
}

// damaged is the error of a record that cannot be read: one that was written by
// hand, or by a disk that failed.
type damaged struct{ id, folder string }

func (d *damaged) Error() string { return d.Unwrap().Error() }
func (d *damaged) Unwrap() error {
	return fault.Newf(fault.Precondition, "look into the folder "+d.folder+", or remove it", "the record of job %s is damaged", d.id)
}

func (s *Store) unknown(id string) error {
	ids, err := s.ids()
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return fault.Newf(fault.NotFound, "jobs begin with build", "there is no job %q, nor any other", id)
	}
	return fault.Newf(fault.NotFound, fault.DidYouMean(id, ids), "there is no job %q", id)
}

// ids are the names of all jobs, newest first.
func (s *Store) ids() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.Dir, "jobs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(began(b), began(a)), cmp.Compare(a, b)) })
	return ids, nil
}

// began is the time in a job's name: what is between the first and the last dash.
func began(id string) string {
	_, rest, _ := strings.Cut(id, "-")
	return rest[:max(strings.LastIndexByte(rest, '-'), 0)]
}

// defaultLimit is how many jobs are listed.
const defaultLimit = 20

// List returns the jobs, newest first.
func (s *Store) List(ctx context.Context, r ListRequest) (*Listing, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	out := &Listing{Count: len(ids), Jobs: []Job{}}
	for _, id := range ids[:min(len(ids), cmp.Or(r.Limit, defaultLimit))] {
		j, err := s.Get(ctx, id)
		bad := (*damaged)(nil)
		switch {
		case fault.CodeOf(err) == fault.NotFound: // removed meanwhile
			continue
		case errors.As(err, &bad):
			j = &Job{ID: id, Services: []string{}, State: Interrupted, Problem: problemOf(err)}
		case err != nil:
			return nil, err
		}
		out.Jobs = append(out.Jobs, *j)
	}
	return out, nil
}

// Result decodes what a job answered; false while it has not.
func (s *Store) Result(id string, into any) (bool, error) {
	return s.decode(id, "result.json", into)
}

// Input decodes the arguments of a job.
func (s *Store) Input(id string, into any) error {
	found, err := s.decode(id, "input.json", into)
	if err == nil && !found {
		err = fault.Newf(fault.Internal, "remove the folder "+s.folder(id), "job %s has no input", id)
	}
	return err
}

func (s *Store) decode(id, name string, into any) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(s.folder(id), name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, fmt.Errorf("read %s of job %s: %w", name, id, err)
	}
	return true, nil
}

// Wait returns the job when it is over, or as it is when the request has waited
// long enough. Meanwhile each is told of progress; it may be nil.
func (s *Store) Wait(ctx context.Context, r GetRequest, each func(Progress)) (*Job, error) {
	late := time.NewTimer(time.Duration(r.Wait) * time.Second)
	defer late.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var told Progress
	for {
		j, err := s.Get(ctx, r.ID)
		if err != nil || j.State.Over() || r.Wait == 0 {
			return j, err
		}
		if each != nil && j.Progress != told {
			told = j.Progress
			each(told)
		}
		select {
		case <-late.C:
			return j, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// cancelGrace is how long a job may take to stop before Cancel answers.
const cancelGrace = 10 // seconds

// Cancel asks a job to stop and returns it, stopped if that went quickly; one
// that is over stays as it is.
func (s *Store) Cancel(ctx context.Context, r CancelRequest) (*Job, error) {
	j, err := s.Get(ctx, r.ID)
	if err != nil || j.State.Over() {
		return j, err
	}
	if err := durable.WriteFile(filepath.Join(s.folder(r.ID), "cancel"), nil); err != nil {
		return nil, err
	}
	return s.Wait(ctx, GetRequest{ID: r.ID, Wait: cancelGrace}, nil)
}
