package nix

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Source is a store path that derivations are made from and that is none
// itself: a file or folder that was copied to the store.
type Source struct {
	Path    string
	NarHash string // of its content: sha256-… in base64 (SRI)
	NarSize int64  // bytes
}

// maxParallel bounds the questions to the store that one task asks at once.
const maxParallel = 4

// Sources returns, for each of some derivations, the sources of all that it is
// built from, sorted by path. It fails with [fault.NotFound] when one of the
// derivations is not in the store: it was collected as garbage.
func (n Nix) Sources(ctx context.Context, drvs []string) (map[string][]Source, error) {
	drvs = slices.Compact(slices.Sorted(slices.Values(drvs)))
	closures := make([][]string, len(drvs))
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for i, drv := range drvs {
		group.Go(func() (err error) {
			closures[i], err = n.query(inGroup, []string{"--query", "--requisites", drv})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []string
	for i, closure := range closures {
		closures[i] = slices.DeleteFunc(closure, func(path string) bool { return strings.HasSuffix(path, ".drv") })
		all = append(all, closures[i]...)
	}
	slices.Sort(all)
	infos, err := n.Hashes(ctx, slices.Compact(all))
	if err != nil {
		return nil, err
	}
	sources := make(map[string][]Source, len(drvs))
	for i, drv := range drvs {
		slices.Sort(closures[i])
		sources[drv] = make([]Source, 0, len(closures[i]))
		for _, path := range closures[i] {
			sources[drv] = append(sources[drv], Source{path, infos[path].NarHash, infos[path].NarSize})
		}
	}
	return sources, nil
}
