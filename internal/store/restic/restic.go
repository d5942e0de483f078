// Package restic keeps bundles in a restic repository: what did not change since
// the last one costs next to nothing.
//
// A bundle is a snapshot with manifest.json and items/N/NAME, tagged with its
// service and id. The repository proves its own integrity: the id of a snapshot is
// a digest over everything in it. It is always encrypted.
package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"homelab/internal/bundle"
	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/registry"
)

// Repository is a [state.Store].
type Repository struct {
	at registry.Store
	// work has a folder for each service, whose path is the same from bundle to
	// bundle: so restic finds what it can compare with.
	work string
}

// New returns the repository of an address, without asking it anything. Its password
// comes from where restic looks for it.
func New(at registry.Store, work string) (*Repository, error) {
	for _, name := range []string{"RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"} {
		if os.Getenv(name) != "" {
			return &Repository{at, work}, nil
		}
	}
	return nil, fault.Newf(fault.Precondition, "name the file that has it in RESTIC_PASSWORD_FILE", "there is no password for %s", at.Address)
}

func (r *Repository) Name() string { return r.at.Address }

func (r *Repository) Close() error { return nil }

const (
	tagAll     = "homelab"
	tagService = "homelab.service="
	tagID      = "homelab.id="
	tagSize    = "homelab.size="
)

// snapshot is what restic tells of one.
type snapshot struct {
	ID       string   `json:"id"`
	ShortID  string   `json:"short_id"`
	Tags     []string `json:"tags"`
	Excludes []string `json:"excludes"`
}

func (s snapshot) tag(prefix string) string {
	for _, tag := range s.Tags {
		if value, ok := strings.CutPrefix(tag, prefix); ok {
			return value
		}
	}
	return ""
}

func tags(service, id string) string {
	all := tagAll
	if service != "" {
		all += "," + tagService + service
	}
	if id != "" {
		all += "," + tagID + id
	}
	return all
}

// snapshots lists those with all of the tags, oldest first. One that is damaged restic
// leaves out, whosever it was, and says so: that is told as well.
func (r *Repository) snapshots(ctx context.Context, tags string) (found []snapshot, damaged string, err error) {
	result, err := r.runIn(ctx, "", []string{"snapshots", "--no-lock", "--json", "--tag", tags})
	if err != nil {
		return nil, "", err
	}
	if at := bytes.Index(result.Stderr, []byte("could not load snapshot")); at >= 0 {
		damaged, _, _ = strings.Cut(string(result.Stderr[at:]), "\n")
	}
	if err := json.Unmarshal(result.Stdout, &found); err != nil {
		return nil, "", fault.Newf(fault.Precondition, "use restic 0.14 or newer", "restic lists its snapshots in a way that homelab does not know: %w", err)
	}
	return found, damaged, nil
}

func (r *Repository) List(ctx context.Context, service string) ([]state.Kept, error) {
	found, _, err := r.snapshots(ctx, tags(service, ""))
	if err != nil {
		return nil, err
	}
	kept := []state.Kept{}
	for _, s := range found {
		k := state.Kept{ID: s.tag(tagID), Service: s.tag(tagService)}
		if state.CheckBundle(k.Service, k.ID) != nil {
			continue // tagged by somebody else
		}
		k.Created, _ = state.Created(k.ID)
		k.Size, _ = strconv.ParseInt(s.tag(tagSize), 10, 64) // 0: not known
		kept = append(kept, k)
	}
	state.SortKept(kept)
	return slices.CompactFunc(kept, func(a, b state.Kept) bool { return a.Service == b.Service && a.ID == b.ID }), nil
}

// find finds the snapshot of a bundle. Of two with its id, as restic copy and restic
// rewrite make them, nobody knows which it is.
func (r *Repository) find(ctx context.Context, service, id string) (*snapshot, error) {
	if err := state.CheckBundle(service, id); err != nil {
		return nil, err
	}
	found, damaged, err := r.snapshots(ctx, tags(service, id))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && damaged != "" {
		return nil, fault.Newf(fault.BundleCorrupt, "use another bundle; restic check tells what else is damaged", "%s has a snapshot that cannot be read, and no other of bundle %s of %s: %s", r.Name(), id, service, damaged)
	}
	if len(found) == 0 {
		return nil, fault.Newf(fault.NotFound, "see what is there with state_list", "%s has no bundle %s of %s", r.Name(), id, service)
	}
	if len(found) > 1 {
		return nil, fault.Newf(fault.Conflict, "look at both, and remove one by hand: restic forget "+found[1].ShortID, "%s has several snapshots of bundle %s of %s: %s and %s", r.Name(), id, service, found[0].ShortID, found[1].ShortID)
	}
	return &found[0], nil
}

// Remove removes the snapshot, and then from the repository what no other needs.
func (r *Repository) Remove(ctx context.Context, service, id string) error {
	found, err := r.find(ctx, service, id)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, "forget", "--quiet", "--prune", found.ID)
	return err
}

// run runs restic. A lock that a dead process left does not stop it.
func (r *Repository) run(ctx context.Context, args ...string) ([]byte, error) {
	result, err := r.runIn(ctx, "", args)
	return result.Stdout, err
}

func (r *Repository) runIn(ctx context.Context, folder string, args []string) (command.Result, error) {
	result, err := command.Run(ctx, r.command(folder, args))
	if err == nil && isLocked(result) {
		// It removes locks only whose process is dead, or did not renew them for long.
		if _, err := command.Run(ctx, r.command("", []string{"unlock", "--quiet"})); err != nil {
			return result, err
		}
		result, err = command.Run(ctx, r.command(folder, args))
	}
	if err == nil && result.Exit != 0 {
		err = r.explain(result)
	}
	return result, err
}

func (r *Repository) command(folder string, args []string) command.Cmd {
	return command.Cmd{
		Name: "restic", Args: args, Dir: folder,
		Env:           []string{"RESTIC_REPOSITORY=" + r.at.Path, "LC_ALL=C"},
		Unset:         []string{"RESTIC_REPOSITORY_FILE"},
		DieWithParent: syscall.SIGTERM,
		Install:       "install restic 0.14 or newer (on Debian: apt install restic)",
	}
}

// Exit statuses of restic; older ones tell only that something failed.
const (
	exitIncomplete   = 3
	exitNoRepository = 10
	exitLocked       = 11
	exitPassword     = 12
)

func isLocked(result command.Result) bool {
	return result.Exit == exitLocked || result.Exit != 0 && bytes.Contains(result.Stderr, []byte("is already locked"))
}

func (r *Repository) explain(result command.Result) error {
	said := words(result)
	says := func(any ...string) bool {
		for _, text := range any {
			if strings.Contains(said, text) {
				return true
			}
		}
		return false
	}
	line := lastLine(said)
	of := func(code fault.Code, hint, what string) error {
		return fault.Newf(code, hint, "%s %s: %s", r.Name(), what, line)
	}
	switch {
	case isLocked(result):
		return of(fault.Locked, "call again when the other is done; if there is none, restic unlock removes its lock", "is used by another restic")
	case result.Exit == exitPassword, says("wrong password or no key found"):
		return of(fault.Denied, "check RESTIC_PASSWORD_FILE, RESTIC_PASSWORD or RESTIC_PASSWORD_COMMAND", "has another password")
	case says("no space left on device", "disk quota exceeded"):
		return of(fault.Precondition, "make room there, then call again", "is full, no space is left")
	case says("connection refused", "no route to host", "no such host", "i/o timeout", "Could not resolve", "Connection refused", "Connection timed out", "connection reset"):
		return of(fault.HostUnreachable, "see whether the host is up and the address right; try it by hand: restic snapshots", "does not answer")
	case says("Permission denied (", "Access Denied", "403 Forbidden", "401 Unauthorized"):
		return of(fault.Denied, "check the credentials that restic has for it; try it by hand: restic snapshots", "does not let us")
	case result.Exit == exitNoRepository, says("Is there a repository at the following location"):
		return of(fault.Precondition, "make one: restic init, with RESTIC_REPOSITORY="+r.at.Path, "is no restic repository")
	case says("permission denied"):
		return of(fault.Denied, "give yourself the right to write there, or run it as somebody who may", "cannot be used")
	case says("ciphertext verification failed", "invalid data returned", "does not match", "hash is different", "EOF", "not found in index", "not found in repository", "does not exist", "Unmarshal: ", "invalid header", "unpacking",
		"zero size", "ciphertext too small", "slice bounds out of range"): // the last: restic does not look how long its config is
		return of(fault.BundleCorrupt, "use another bundle; restic check tells what else is damaged", "is damaged")
	}
	return of(fault.Precondition, "try it by hand: restic check", "failed")
}

// words are what restic said went wrong, without the frame of newer ones.
func words(result command.Result) string {
	var lines []string
	for line := range strings.Lines(string(result.Stderr)) {
		var framed struct {
			Message string `json:"message"`
			Error   struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if json.Unmarshal([]byte(line), &framed) == nil && framed.Message+framed.Error.Message != "" {
			line = framed.Message + framed.Error.Message
		}
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "exit status " + strconv.Itoa(result.Exit) + " without a message"
	}
	return strings.Join(lines, "\n")
}

// lastLine is where restic says why it gave up.
func lastLine(said string) string {
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(line, "Fatal: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return said[strings.LastIndexByte(said, '\n')+1:]
}

// itemPath is where an item is in a snapshot.
func itemPath(i int, base string) string {
	return filepath.Join("items", strconv.Itoa(i), base)
}

// manifest is manifest.json of a snapshot.
type manifest struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	*bundle.Manifest
	Bases []string `json:"bases"` // what each item is called in its folder
}

const (
	manifestName  = "manifest.json"
	formatName    = "homelab-restic"
	formatVersion = 1
)
