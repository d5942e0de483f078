package build

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"homelab/internal/durable"
)

// Artifacts are kept from garbage collection by links, ROOTS/SERVICE/HASH-NAME.
// The last keepRoots different artifacts of a service are kept. Those of a
// service that the registry does not have are kept for keepDeparted after its
// last build: it may be an older revision's registry, or another one.
const (
	keepRoots    = 3
	keepDeparted = 30 * 24 * time.Hour
)

// link is the root of a service's artifact. It makes the folder for it.
func (r *run) link(s *Outcome) (string, error) {
	folder := filepath.Join(r.Roots, s.Name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", durable.Explain(err)
	}
	return filepath.Join(folder, filepath.Base(s.Out)), nil
}

// root makes the root of an artifact that was there, or makes it the newest.
func (r *run) root(ctx context.Context, s *Outcome) error {
	link, err := r.link(s)
	if err != nil {
		return err
	}
	if there, err := os.Readlink(link); err != nil || there != s.Out {
		if err := r.Nix.AddRoot(ctx, s.Out, link); err != nil {
			return err
		}
	}
	s.Root = link
	now := time.Now()
	if err := os.Chtimes(filepath.Dir(link), now, now); err != nil {
		return durable.Explain(err)
	}
	return touch(link)
}

// touch gives a link the time of now.
func touch(link string) error {
	now := unix.NsecToTimeval(time.Now().UnixNano())
	if err := unix.Lutimes(link, []unix.Timeval{now, now}); err != nil {
		return durable.Explain(&os.PathError{Op: "touch", Path: link, Err: err})
	}
	return nil
}

// pruneRoots removes links beyond the rule. What cannot be removed costs disk
// space, and is tried again the next time.
func (r *run) pruneRoots() {
	services, err := os.ReadDir(r.Roots)
	if err != nil {
		return
	}
	for _, service := range services {
		folder := filepath.Join(r.Roots, service.Name())
		info, err := service.Info()
		if err != nil {
			continue
		}
		if !slices.Contains(r.order.Services, service.Name()) {
			if time.Since(info.ModTime()) > keepDeparted {
				_ = os.RemoveAll(folder)
			}
			continue
		}
		for _, old := range oldest(folder) {
			_ = os.Remove(filepath.Join(folder, old))
		}
	}
}

// oldest are the names of the links beyond the newest ones.
func oldest(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	type link struct {
		name string
		made int64
	}
	var links []link
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode()&os.ModeSymlink != 0 && !strings.HasPrefix(entry.Name(), ".") {
			links = append(links, link{entry.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(links, func(a, b link) int { return cmp.Or(cmp.Compare(b.made, a.made), cmp.Compare(a.name, b.name)) })
	names := []string{}
	for _, l := range links[min(len(links), keepRoots):] {
		names = append(names, l.name)
	}
	return names
}
