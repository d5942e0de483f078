package harness

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"homelab/internal/gitrepo"
	"homelab/internal/plan"
	"homelab/registry"
)

// newPlanner opens the repository and binds a planner to it.
func (h *Harness) newPlanner(ctx context.Context) (*plan.Planner, error) {
	repo, err := gitrepo.Open(ctx, h.cfg.Repo)
	if err != nil {
		return nil, err
	}
	setting, err := registrySetting(h.cfg.Registry, repo.Root())
	if err != nil {
		return nil, err
	}
	if h.badOptions != nil {
		return nil, h.badOptions
	}
	cache, err := cacheDir()
	if err != nil {
		cache = "" // no home: nothing is kept, doctor says so
	}
	repo.Cache, repo.Resident = cache, h.cfg.Resident
	h.repo = repo
	return &plan.Planner{
		Repo:     repo,
		Source:   &plan.Source{Setting: setting, Root: repo.Root(), Nix: flakes{h.nix}, CacheDir: cache},
		SystemOf: h.systems.of,
		Deployed: h.deployed(repo.Root()),
		Machine:  registry.SystemOf("linux", runtime.GOARCH),
		Getenv:   os.Getenv,
	}, nil
}

// registrySetting makes a path absolute: it is relative to the current folder,
// or to the root of the repository when nothing is there.
func registrySetting(setting, root string) (string, error) {
	if setting == "" || strings.HasPrefix(setting, "flake:") {
		return setting, nil
	}
	absolute, err := filepath.Abs(setting)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(absolute); err != nil && !filepath.IsAbs(setting) {
		return filepath.Join(root, setting), nil
	}
	// The root has its links resolved; so must the folder below it.
	folder, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if err != nil {
		return absolute, nil //nolint:nilerr // not there: reading it says so
	}
	return filepath.Join(folder, filepath.Base(absolute)), nil
}
