package restic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/bundle"
	"homelab/internal/durable"
	"homelab/internal/fault"
	"homelab/internal/state"
)

// tidying is how long taking back a snapshot may take.
const tidying = time.Minute

// Save has restic capture the sources where they are: what it finds unchanged it
// does not read. The Index is the snapshot's id, as much of it as restic tells.
//
// Recipients and Signer mean nothing here: the repository is encrypted, and who has
// its password is its author. Whether the id is taken is not asked, as each question
// to restic derives its key anew, which takes half a second: see [Repository.find].
func (r *Repository) Save(ctx context.Context, service string, order bundle.Order) (*bundle.Written, error) {
	if err := state.CheckBundle(service, order.ID); err != nil {
		return nil, err
	}
	stage, err := r.stage(service)
	if err != nil {
		return nil, err
	}
	defer stage.close()
	c, err := newCapture(ctx, order, stage.path)
	if err != nil {
		return nil, err
	}
	if err := stage.write(c); err != nil {
		return nil, err
	}
	saved, err := r.backup(ctx, service, stage.path, c)
	if err == nil {
		err = c.check(ctx)
	}
	if err != nil {
		if saved != nil {
			err = r.undo(ctx, saved, err)
		}
		return nil, err
	}
	return &bundle.Written{Manifest: *c.manifest.Manifest, Index: saved.ID, Size: saved.Added, Skipped: c.skipped}, nil
}

// undo takes a snapshot back that is not what it should be. What it brought stays
// in the repository until something is removed, and the next one uses it.
func (r *Repository) undo(ctx context.Context, saved *saved, because error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	if _, err := r.run(ctx, "forget", "--quiet", saved.ID); err != nil {
		return fault.Newf(fault.CodeOf(because), "remove it by hand: restic forget "+saved.ID, "%w; and the snapshot %s of it is left: %w", because, saved.ID, err)
	}
	return because
}

// saved is what restic says at the end of a backup.
type saved struct {
	ID    string `json:"snapshot_id"`
	Added int64  `json:"data_added"`
}

func (r *Repository) backup(ctx context.Context, service, stage string, c *capture) (*saved, error) {
	args := []string{"backup", "--json", "--quiet", "--tag", tags(service, c.manifest.ID) + "," + tagSize + strconv.FormatInt(c.manifest.Totals().Stored, 10)}
	for _, pattern := range c.exclude {
		args = append(args, "--exclude="+pattern)
	}
	args = append(args, "--", manifestName)
	for i, base := range c.manifest.Bases {
		args = append(args, itemPath(i, base))
	}
	result, err := r.runIn(ctx, stage, args)
	if err != nil && result.Exit != exitIncomplete {
		return nil, err
	}
	var done saved
	for line := range bytes.Lines(result.Stdout) {
		var message struct {
			Type string `json:"message_type"`
			saved
		}
		if json.Unmarshal(line, &message) == nil && message.Type == "summary" {
			done = message.saved
		}
	}
	if done.ID == "" {
		return nil, cmp.Or(err, error(fault.New(fault.Precondition, "use restic 0.14 or newer", "restic does not tell which snapshot it made")))
	}
	if err != nil {
		return &done, fault.Newf(fault.Conflict, "freeze what writes there, or capture a copy, then call again", "something could not be captured: %w", err)
	}
	return &done, nil
}

// stage is the folder that restic is started in: the manifest, and a link to the
// folder of each item.
type stage struct {
	path string
	lock *os.File
}

func (r *Repository) stage(service string) (*stage, error) {
	folder := filepath.Join(r.work, service)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, durable.Explain(err)
	}
	lock, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, durable.Explain(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close() // nothing was written
		return nil, fault.Newf(fault.Locked, "call again when it is done", "another bundle of %s is being made for a restic repository", service)
	}
	path, err := filepath.Abs(filepath.Join(folder, "bundle"))
	return &stage{path, lock}, err
}

func (s *stage) close() { _ = s.lock.Close() } // nothing is written to it

func (s *stage) write(c *capture) error {
	if err := os.RemoveAll(s.path); err != nil {
		return durable.Explain(err)
	}
	if err := os.MkdirAll(filepath.Join(s.path, "items"), 0o700); err != nil {
		return durable.Explain(err)
	}
	for i, path := range c.paths {
		if err := os.Symlink(filepath.Dir(path), filepath.Join(s.path, itemPath(i, ""))); err != nil {
			return durable.Explain(err)
		}
	}
	text, err := json.MarshalIndent(c.manifest, "", "  ")
	if err != nil {
		return fault.Newf(fault.InvalidArgument, "", "about is not JSON: %w", err)
	}
	return durable.WriteFile(filepath.Join(s.path, manifestName), text)
}
