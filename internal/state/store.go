// Package state is what a service must not lose: where it is kept, and for how long.
package state

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"path"
	"strings"
	"time"

	"homelab/internal/bundle"
	"homelab/internal/fault"
	"homelab/internal/lazy"
)

// Store is where bundles are kept. All of it may be called by several at once.
//
// Faults: [fault.HostUnreachable] when the store does not answer, [fault.Denied]
// when it does not let us, [fault.NotFound] for a bundle that is not there,
// [fault.Precondition] for a store that is not there or full, [fault.Locked] while
// somebody else holds it. None shows a secret.
type Store interface {
	// Name is the store's address, without anything secret.
	Name() string
	// Save captures what the order tells and keeps it. A bundle is listed only when
	// it is complete: whatever Save fails with, and when it is killed, nothing is
	// listed, and the same order can be saved again. An id that is taken is
	// [fault.Conflict], and what is there stays. What capturing fails with comes back
	// as it is. The id is one of [NewID].
	Save(ctx context.Context, service string, order bundle.Order) (*bundle.Written, error)
	// List tells the complete bundles of a service, or with "" of all, newest first.
	// It reads none of them.
	List(ctx context.Context, service string) ([]Kept, error)
	// Open finds a bundle and reads what it says of itself: that it is there, can be
	// opened, and is the one that was asked for. ctx lasts until Close.
	Open(ctx context.Context, service, id string, trust bundle.Trust) (Bundle, error)
	// Remove removes a bundle for good. One that the store holds locked is
	// [fault.Denied], and stays.
	Remove(ctx context.Context, service, id string) error
	Close() error
}

// Bundle is a bundle that is open. It is verified or extracted, once.
type Bundle interface {
	Manifest() *bundle.Manifest
	// Verify reads every byte of the bundle, and fails unless it is all that was
	// saved.
	Verify(ctx context.Context) (*bundle.Report, error)
	// Extract verifies what it extracts, as [bundle.Reader.Extract] does.
	Extract(ctx context.Context, x bundle.Extraction) (*bundle.Extracted, error)
	Close() error
}

// Kept is a bundle in a store.
type Kept struct {
	ID      string
	Service string
	Created time.Time
	Size    int64 // bytes of its file; of one in restic, of what it holds
}

const idTime = "20060102T150405Z"

var idSyntax = lazy.Regexp(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$`)

// NewID makes an id for a bundle: when it is made, so that a list of names tells,
// and something that no other has.
func NewID(now time.Time) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return now.UTC().Format(idTime) + "-" + hex.EncodeToString(random[:])
}

// Created is the time that an id tells; ok is false when it is none.
func Created(id string) (at time.Time, ok bool) {
	if !idSyntax().MatchString(id) {
		return time.Time{}, false
	}
	at, err := time.Parse(idTime, id[:strings.IndexByte(id, '-')])
	return at, err == nil
}

// CheckBundle says whether a bundle can have this service and id.
func CheckBundle(service, id string) error {
	if !isComponent(service) {
		return fault.Newf(fault.InvalidArgument, "name a service of the registry", "%q cannot be the service of a bundle", service)
	}
	if _, ok := Created(id); !ok {
		return fault.Newf(fault.InvalidArgument, "name a bundle as state_list does, such as 20260314T120000Z-1f2e3d4c", "%q is not the id of a bundle", id)
	}
	return nil
}

// Files is a place for files: what [NewStore] needs to keep bundles there. A name
// is FOLDER/FILE; neither begins with a dot. Faults are those of [Store].
type Files interface {
	Name() string
	// Put stores what it reads from content, to the end, whole or not at all: until
	// it returns nil the file is neither listed nor opened, and then it lasts. It
	// makes the folder. A name that is taken is [fault.Conflict], also when another
	// takes it meanwhile; what is there stays. An error of content is returned and
	// nothing is stored. What a failure or a kill leaves is invisible, and removed by
	// a later Put, which touches nothing of a Put that is still under way. A Read of
	// content is waited for, also when ctx is done.
	Put(ctx context.Context, name string, content io.Reader) error
	// Open reads a file from its start; ctx lasts until it is closed. What Read fails
	// with is a fault.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List tells the files of a folder, or with "" of all folders; a folder that is
	// not there has none. The order is none.
	List(ctx context.Context, folder string) ([]File, error)
	Remove(ctx context.Context, name string) error
	Close() error
}

// File is a complete file.
type File struct {
	Name string
	Size int64
}

// SplitName takes the name of a file apart.
func SplitName(name string) (folder, file string, err error) {
	folder, file = path.Split(name)
	folder = strings.TrimSuffix(folder, "/")
	if !isComponent(folder) || !isComponent(file) {
		return "", "", fault.Newf(fault.InvalidArgument, "", "%q is not FOLDER/FILE", name)
	}
	return folder, file, nil
}

func isComponent(s string) bool {
	return s != "" && s[0] != '.' && len(s) <= 200 && !strings.ContainsAny(s, "/\x00\n")
}
