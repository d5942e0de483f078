package plan

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"homelab/registry"
)

// view is the head side of a question: a state of the files, with the registry
// as of that state.
type view struct {
	planner  *Planner
	snapshot Snapshot
	commit   Commit   // of the tree, or that the work tree is based on
	work     bool     // the work tree
	edits    []Change // what the work tree has on top of commit
	side     Side
	loaded   *Loaded
	names    []string // of all services, sorted
	warnings []Warning
}

// look opens the head side: the work tree, or a revision.
func (p *Planner) look(ctx context.Context, head string) (*view, error) {
	v := &view{planner: p, work: head == ""}
	var err error
	if v.work {
		err = v.openWorkTree(ctx)
	} else {
		err = v.openTree(ctx, head)
	}
	if err != nil {
		return nil, err
	}
	if v.loaded, err = p.Source.Read(ctx, v.state()); err != nil {
		return nil, err
	}
	v.names = v.registry().Names()
	v.warnings = slices.Concat(v.snapshot.Warnings(), v.loaded.Warnings)
	return v, nil
}

// state is what the registry, or a target, is evaluated as of.
func (v *view) state() state {
	at := state{snapshot: v.snapshot, commit: v.commit, work: v.work, edits: v.edits}
	if v.work {
		at.again = func(ctx context.Context) (state, error) {
			now := &view{planner: v.planner, work: true}
			err := now.openWorkTree(ctx)
			return now.state(), err
		}
	}
	return at
}

func (v *view) openWorkTree(ctx context.Context) error {
	group, inGroup := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		v.commit, err = v.planner.Repo.Head(inGroup)
		return err
	})
	group.Go(func() (err error) {
		v.snapshot, err = v.planner.Repo.WorkTree(inGroup)
		return err
	})
	group.Go(func() error {
		if v.planner.Source.plain() {
			// Parsed meanwhile, and found in memory below; errors are told there.
			_, _ = v.planner.Source.readPlain(inGroup)
		}
		return nil
	})
	err := group.Wait()
	if err != nil {
		return err
	}
	if v.edits, err = v.snapshot.Changes(ctx, v.commit); err != nil {
		return err
	}
	v.side = Side{Commit: v.commit.ID, State: StateClean, Why: "the work tree"}
	if len(v.edits) > 0 {
		v.side.State = StateDirty
		v.side.Why = "the work tree, with what is not committed"
	}
	return nil
}

func (v *view) openTree(ctx context.Context, head string) error {
	var err error
	if v.commit, err = v.planner.Repo.Resolve(ctx, head); err != nil {
		return err
	}
	if v.commit.Missing {
		return missingHead(head, v.planner.Repo.Shallow())
	}
	v.side = Side{Ref: head, Commit: v.commit.ID, State: StateCommit, Why: "asked for"}
	if v.commit.Empty() {
		v.side.State = StateEmpty
	}
	v.snapshot, err = v.planner.Repo.Tree(ctx, v.commit)
	return err
}

func (v *view) registry() *registry.Registry { return v.loaded.Registry }

// changes lists what differs from a base, asking only once for the commit the
// work tree is based on.
func (v *view) changes(ctx context.Context, base Commit) ([]Change, error) {
	if v.work && base.ID == v.commit.ID {
		return v.edits, nil
	}
	return v.snapshot.Changes(ctx, base)
}

// selectServices turns names and aliases into sorted names; none means all.
func (v *view) selectServices(asked []string) ([]string, error) {
	if len(asked) == 0 {
		return v.names, nil
	}
	selected := []string{}
	for _, name := range asked {
		found, err := v.registry().Lookup(name)
		if err != nil {
			return nil, err
		}
		selected = append(selected, found)
	}
	slices.Sort(selected)
	return slices.Compact(selected), nil
}
