package state

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"homelab/internal/bundle"
	"homelab/internal/fault"
)

// fileStore keeps each bundle as one file, SERVICE/ID.bundle. The name tells all
// that a list needs.
type fileStore struct{ Files }

const extension = ".bundle"

// NewStore keeps bundles as files. Close closes files.
func NewStore(files Files) Store { return fileStore{files} }

func bundleName(service, id string) (string, error) {
	return service + "/" + id + extension, CheckBundle(service, id)
}

func (s fileStore) Save(ctx context.Context, service string, order bundle.Order) (*bundle.Written, error) {
	name, err := bundleName(service, order.ID)
	if err != nil {
		return nil, err
	}
	// One that fails ends the other; what Put returns tells of both.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in := io.Pipe()
	written := make(chan *bundle.Written, 1)
	go func() {
		w, err := bundle.Write(ctx, in, order)
		_ = in.CloseWithError(err) // never fails
		written <- w
	}()
	err = s.Put(ctx, name, out)
	_ = out.CloseWithError(cmp.Or(err, errUnwanted)) // never fails
	w := <-written
	if err == nil && w == nil {
		err = fault.Newf(fault.Internal, "", "%s stored a part of %s", s.Name(), name)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

var errUnwanted = errors.New("nobody reads on")

func (s fileStore) List(ctx context.Context, service string) ([]Kept, error) {
	files, err := s.Files.List(ctx, service)
	if err != nil {
		return nil, err
	}
	kept := []Kept{}
	for _, file := range files {
		service, base, err := SplitName(file.Name)
		id, ok := strings.CutSuffix(base, extension)
		at, isID := Created(id)
		if err == nil && ok && isID { // else it belongs to somebody else
			kept = append(kept, Kept{ID: id, Service: service, Created: at, Size: file.Size})
		}
	}
	SortKept(kept)
	return kept, nil
}

// SortKept sorts bundles as [Store.List] gives them.
func SortKept(kept []Kept) {
	slices.SortFunc(kept, func(a, b Kept) int { return cmp.Or(cmp.Compare(b.ID, a.ID), cmp.Compare(a.Service, b.Service)) })
}

func (s fileStore) Open(ctx context.Context, service, id string, trust bundle.Trust) (Bundle, error) {
	name, err := bundleName(service, id)
	if err != nil {
		return nil, err
	}
	file, err := s.Files.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	reader, err := bundle.Open(file, trust)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	b := &openFile{reader, file}
	if err := CheckID(id, &reader.Manifest); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// CheckID fails for a bundle that was put in the place of another.
func CheckID(id string, m *bundle.Manifest) error {
	if m.ID != id {
		return fault.Newf(fault.BundleIncompatible, "find out who renamed it; under its own name it can be used",
			"what the store keeps as bundle %s says that it is %.100q", id, m.ID)
	}
	return nil
}

type openFile struct {
	*bundle.Reader
	file io.Closer
}

func (b *openFile) Manifest() *bundle.Manifest { return &b.Reader.Manifest }

// Close ends a read that is under way by closing what it reads from.
func (b *openFile) Close() error {
	err := b.file.Close()
	b.Reader.Close()
	return err
}

func (s fileStore) Remove(ctx context.Context, service, id string) error {
	name, err := bundleName(service, id)
	if err != nil {
		return err
	}
	return s.Files.Remove(ctx, name)
}
