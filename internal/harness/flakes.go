package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"homelab/internal/build"
	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/nix"
	"homelab/internal/plan"
	"homelab/registry"
)

// flakes is the [plan.Evaluator] on the nix command.
type flakes struct{ nix nix.Nix }

func (flakes) Available(context.Context) error {
	if command.Look("nix") == "" {
		return fault.New(fault.Precondition, "nix is not installed", nix.InstallHint)
	}
	return nil
}

// Identity is the file of the nix command: asking it for its version would cost
// as much as a plan.
func (flakes) Identity() string {
	path := command.Look("nix")
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
}

func (f flakes) EvalJSON(ctx context.Context, flakeRef, attr string) ([]byte, error) {
	return f.nix.EvalJSON(ctx, nix.Installable{Flake: flakeRef, Attr: attr}, registry.MaxSize)
}

func (f flakes) Targets(ctx context.Context, flakeRef string, attrs []string) (map[string]plan.Evaluated, error) {
	found, err := f.nix.Targets(ctx, flakeRef, attrs)
	if err != nil {
		return nil, err
	}
	all := make(map[string]plan.Evaluated, len(found))
	for attr, e := range found {
		all[attr] = plan.Evaluated{
			Drv: e.Target.Drv, Out: e.Target.Out, Output: e.Target.OutputName, System: e.Target.System,
			ImageName: e.Target.ImageName, ImageTag: e.Target.ImageTag, Executable: e.Target.Executable, Err: e.Err,
		}
	}
	return all, nil
}

func (f flakes) Sources(ctx context.Context, drvs []string) (map[string][]plan.StoreSource, error) {
	found, err := f.nix.Sources(ctx, drvs)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]plan.StoreSource, len(found))
	for drv, sources := range found {
		for _, source := range sources {
			all[drv] = append(all[drv], plan.StoreSource(source))
		}
	}
	return all, nil
}

func (flakes) GitRef(root, commit, dir string) string { return nix.GitRef(root, commit, dir) }

// builders is the [build.Nix] on the nix command.
type builders struct{ nix.Nix }

func (b builders) Realise(ctx context.Context, asked []build.Realisation, how build.How) ([]build.Realised, error) {
	each := make([]nix.Realisation, len(asked))
	for i, r := range asked {
		each[i] = nix.Realisation(r)
	}
	done, err := b.Nix.Realise(ctx, each, nix.How{MaxJobs: how.MaxJobs, FailFast: how.FailFast, Event: func(e nix.Event) { tell(how, e) }})
	all := make([]build.Realised, len(done))
	for i, d := range done {
		all[i] = build.Realised{Built: d.Built, Fetched: d.Substituted, Rooted: d.Rooted, Err: d.Err, Skipped: d.Skipped}
		if failure := (*nix.Failure)(nil); errors.As(d.Err, &failure) {
			all[i].Err = &build.Failure{Err: d.Err, Kind: string(failure.Kind), Drv: failure.Drv, Exit: failure.Exit, Tail: failure.Tail}
		}
	}
	return all, err
}

// tell tells an event of Nix to whoever builds.
func tell(how build.How, e nix.Event) {
	switch e.Kind {
	case nix.BuildStarted, nix.BuildFinished:
		how.Step(build.Step{Drv: e.Drv, Name: nix.ShortName(e.Drv), Ended: e.Kind == nix.BuildFinished, Failed: e.Failed})
	case nix.FetchStarted, nix.FetchFinished, nix.DownloadedBytes:
		how.Step(build.Step{Path: e.Path, Name: nix.ShortName(e.Path), Done: e.Done, Expected: e.Expected, Ended: e.Kind == nix.FetchFinished})
	case nix.Message:
		// What is tried again is not worth a word yet.
		if e.Level == 1 && !strings.Contains(e.Text, "; retrying in") {
			how.Warn(e.Text)
		}
	}
}

func (b builders) Hashes(ctx context.Context, paths []string) (map[string]build.PathInfo, error) {
	found, err := b.Nix.Hashes(ctx, paths)
	all := make(map[string]build.PathInfo, len(found))
	for path, info := range found {
		all[path] = build.PathInfo{NarHash: info.NarHash, NarSize: info.NarSize}
	}
	return all, err
}
