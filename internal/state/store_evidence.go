package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"homelab/internal/durable"
	"homelab/internal/fault"
)

// Evidence remembers which bundles were verified, in a folder of this user. It is
// not kept in the store: whoever writes there could say of a bundle of his that it
// is verified, and have the last good one pruned.
//
//	STORE/SERVICE/ID.json   STORE is a digest of the store's name
type Evidence struct{ Dir string }

// Verified tells of a bundle that all of it was read and was right.
type Verified struct {
	Store   string    `json:"store"`
	Service string    `json:"service"`
	ID      string    `json:"id"`
	Size    int64     `json:"size"`  // as the store lists it: one of another size is another
	Index   string    `json:"index"` // as in [homelab/internal/bundle.Report]
	Author  string    `json:"author,omitempty"`
	At      time.Time `json:"at"`
}

func (e Evidence) folder(store, service string) string {
	digest := sha256.Sum256([]byte(store))
	return filepath.Join(e.Dir, hex.EncodeToString(digest[:8]), service)
}

func (e Evidence) path(store, service, id string) (string, error) {
	return filepath.Join(e.folder(store, service), id+".json"), CheckBundle(service, id)
}

// Note remembers that a bundle was verified.
func (e Evidence) Note(v Verified) error {
	path, err := e.path(v.Store, v.Service, v.ID)
	if err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return durable.Explain(err)
	}
	return durable.WriteFile(path, text)
}

// Withdraw forgets a bundle: it is gone, or was found damaged.
func (e Evidence) Withdraw(store, service, id string) error {
	path, err := e.path(store, service, id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return durable.Explain(err)
	}
	return nil
}

// Of tells when a bundle was verified. A record that cannot be read is an error:
// taking it for none could cost the bundle.
func (e Evidence) Of(store string, kept Kept) (v Verified, known bool, err error) {
	path, err := e.path(store, kept.Service, kept.ID)
	if err != nil {
		return v, false, err
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, false, nil
	case err == nil:
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		return v, false, fault.Newf(fault.Precondition, "remove it and verify the bundle again", "%s cannot be read: %w", path, err)
	}
	return v, v.Store == store && v.Size == kept.Size, nil
}
