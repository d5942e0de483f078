package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/state"
	"homelab/registry"
)

// Stores opens a place for bundles. Work is a folder of this user that is the same
// every time. Only the program that links the clients of all of them has one.
type Stores func(at registry.Store, work string) (state.Store, error)

// Sites reaches the state of services on the host of an engine.
type Sites func(engine deploy.Containers) (state.Site, error)

// openStore opens a store of the registry.
func (h *Harness) openStore(jobs *job.Store, address string) (state.Store, error) {
	at, err := registry.ParseStore(address)
	if err != nil {
		return nil, err
	}
	return h.stores(at, filepath.Join(jobs.Dir, "restic"))
}

// evidence is which bundles were verified.
func evidence(jobs *job.Store) state.Evidence {
	return state.Evidence{Dir: filepath.Join(jobs.Dir, "verified")}
}

// Files with private keys are named by the environment: an agent passes no paths, and
// the registry has no secrets.
const (
	identityVariable = "HOMELAB_IDENTITY"    // files of age or ssh keys that open bundles, with colons between
	signerVariable   = "HOMELAB_SIGNING_KEY" // file of the ssh key that signs bundles
)

// readKeys reads the keys that bundles are written and read with.
func readKeys(public *registry.Bundles) (*bundle.Keyring, error) {
	if public == nil {
		public = &registry.Bundles{}
	}
	var identities [][]byte
	for _, path := range filepath.SplitList(os.Getenv(identityVariable)) {
		content, err := readKey(identityVariable, path)
		if err != nil {
			return nil, err
		}
		identities = append(identities, content)
	}
	var signer []byte
	if path := os.Getenv(signerVariable); path != "" {
		var err error
		if signer, err = readKey(signerVariable, path); err != nil {
			return nil, err
		}
	}
	return bundle.ParseKeyring(public.Recipients, public.Authors, identities, signer)
}

func readKey(variable, path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Newf(fault.Precondition, "correct "+variable+", or unset it", "the key cannot be read: %w", err)
	}
	return content, nil
}

// storesOf are the stores that services of the registry have, those of one service or
// of all, or one that is named.
func storesOf(reg *registry.Registry, service, named string) ([]string, error) {
	all := []string{}
	for name, s := range reg.Services {
		if s.State != nil && (service == "" || name == service) {
			all = append(all, s.State.Stores...)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	switch {
	case named == "":
		return all, nil
	case !slices.Contains(all, named):
		return nil, fault.Newf(fault.InvalidArgument, "see state.stores in the registry", "%.200q is no store of the registry", named)
	}
	return []string{named}, nil
}

// listIn says which bundles of a service a store has, in the time that this may take.
func listIn(ctx context.Context, store state.Store, service string) ([]state.Kept, error) {
	limited, stop := context.WithTimeoutCause(ctx, storePatience, errStorePatience)
	defer stop()
	kept, err := store.List(limited, service)
	if err != nil && ctx.Err() == nil && context.Cause(limited) == errStorePatience && fault.CodeOf(err) != fault.HostUnreachable {
		err = fault.Newf(fault.HostUnreachable, "see whether it is up, and the way to it", "%s does not say within %s which bundles it has: %w", store.Name(), storePatience, err)
	}
	return kept, err
}

var errStorePatience = errors.New("a store took too long")

// findBundle opens a bundle by its id, in the store that is named or in whichever has it.
func (h *Harness) findBundle(ctx context.Context, jobs *job.Store, reg *registry.Registry, id, named string) (state.Store, state.Kept, error) {
	none := state.Kept{}
	all, err := storesOf(reg, "", named)
	if err != nil {
		return nil, none, err
	}
	var silent error
	for _, address := range all {
		store, err := h.openStore(jobs, address)
		if err != nil {
			silent = err
			continue
		}
		kept, err := listIn(ctx, store, "")
		if at := slices.IndexFunc(kept, func(k state.Kept) bool { return k.ID == id }); err == nil && at >= 0 {
			return store, kept[at], nil
		}
		if err != nil {
			silent = err
		}
		_ = store.Close() // it was only read
	}
	if silent != nil {
		return nil, none, silent
	}
	return nil, none, fault.Newf(fault.NotFound, "see which there are: state_list", "no store of the registry has a bundle %.100q", id)
}
