package build_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"homelab/internal/build"
	"homelab/internal/fault"
	"homelab/internal/plan"
)

// fakeNix evaluates NAME to NAME.drv, with an output in a folder of its own, and
// builds it by writing a program there. It plays both parts of Nix.
type fakeNix struct {
	plan.Evaluator // what is not asked here

	dir       string
	version   int           // of everything
	hang      chan struct{} // closed when a builder hangs
	remote    bool          // the store is on another machine
	edit      func()        // what somebody does while it evaluates
	fail      error         // of every evaluation
	tail      []string      // of every builder that fails; nil: one line
	hash      string        // of everything; empty: its name
	vanishing string        // collected as garbage when a root is made for it

	mu          sync.Mutex
	evaluated   []string
	evaluations int
	built       []string
	collected   map[string]bool // derivations that garbage collection took
}

func (n *fakeNix) Available(context.Context) error { return nil }
func (n *fakeNix) Identity() string                { return "fake" }
func (n *fakeNix) GitRef(_, commit, _ string) string {
	return "flake?" + commit
}

func (n *fakeNix) out(attr string) string {
	return filepath.Join(n.dir, fmt.Sprintf("%s-v%d", attr, n.version))
}

func (n *fakeNix) Targets(_ context.Context, _ string, attrs []string) (map[string]plan.Evaluated, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.evaluated = append(n.evaluated, attrs...)
	n.evaluations++
	if n.edit != nil {
		n.edit()
	}
	n.collected = map[string]bool{}
	if n.fail != nil {
		return nil, n.fail
	}
	found := map[string]plan.Evaluated{}
	for _, attr := range attrs {
		if strings.HasPrefix(attr, "throws") {
			found[attr] = plan.Evaluated{Err: fault.New(fault.EvalFailed, "it throws (at flake.nix:3:1)", "mend it")}
			continue
		}
		found[attr] = plan.Evaluated{Drv: attr + ".drv", Out: n.out(attr), Output: "out", System: "x86_64-linux", ImageName: "homelab/" + attr, ImageTag: "v1", Executable: true}
	}
	return found, nil
}

func (n *fakeNix) Valid(_ context.Context, paths []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Stat(path)
		return err == nil || strings.HasSuffix(path, ".drv") && !n.collected[path]
	}), nil
}

func (n *fakeNix) File(storePath string) string {
	if n.remote {
		return ""
	}
	return storePath
}

func (n *fakeNix) Hashes(_ context.Context, paths []string) (map[string]build.PathInfo, error) {
	infos := map[string]build.PathInfo{}
	for _, path := range paths {
		infos[path] = build.PathInfo{NarHash: "sha256-" + cmp.Or(n.hash, filepath.Base(path)), NarSize: 120}
	}
	return infos, nil
}

func (n *fakeNix) AddRoot(_ context.Context, path, link string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if filepath.Base(path) == n.vanishing {
		n.vanishing = ""
		return errors.Join(os.Remove(path), fault.New(fault.NotFound, "it is not there", "build it first"))
	}
	_ = os.Remove(link)
	return os.Symlink(path, link)
}

func (n *fakeNix) Realise(ctx context.Context, asked []build.Realisation, how build.How) ([]build.Realised, error) {
	done := make([]build.Realised, len(asked))
	for i, r := range asked {
		if done[i] = n.realise(ctx, r, how); done[i].Err == nil && ctx.Err() == nil {
			continue
		}
		if ctx.Err() != nil || how.FailFast {
			for rest := i + 1; rest < len(asked); rest++ {
				done[rest].Skipped = true
			}
			done[i].Skipped = ctx.Err() != nil
			return done, ctx.Err()
		}
	}
	return done, nil
}

func (n *fakeNix) realise(ctx context.Context, r build.Realisation, how build.How) build.Realised {
	attr := strings.TrimSuffix(r.Drv, ".drv")
	n.built = append(n.built, attr)
	how.Step(build.Step{Drv: r.Drv, Name: attr})
	defer how.Step(build.Step{Drv: r.Drv, Name: attr, Ended: true})
	how.Warn("the cache is down")
	fmt.Fprintf(r.Log, "this is %s\n", attr)
	content, tail := "#!/bin/sh\n", n.tail
	if tail == nil {
		tail = []string{"this is " + attr}
	}
	switch {
	case n.collected[r.Drv]:
		return build.Realised{Err: fault.New(fault.Precondition, "no such derivation", "build again")}
	case strings.HasPrefix(attr, "fails"):
		return build.Realised{Err: &build.Failure{
			Err: fault.New(fault.BuildFailed, "the builder failed", "read the log"), Kind: "builderFailed", Drv: "dependency.drv", Exit: 3, Tail: tail,
		}}
	case strings.HasPrefix(attr, "hangs"):
		close(n.hang)
		<-ctx.Done()
		return build.Realised{}
	case strings.HasPrefix(attr, "odd"):
		content = "no image"
	}
	err := os.WriteFile(n.out(attr), []byte(content), 0o755)
	if err == nil {
		err = n.AddRoot(ctx, n.out(attr), r.Root)
	}
	fetched := strings.HasPrefix(attr, "fetched")
	return build.Realised{Built: !fetched, Fetched: fetched, Rooted: err == nil, Err: err}
}
