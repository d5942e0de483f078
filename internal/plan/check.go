package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"homelab/internal/fault"
	"homelab/internal/hint"
	"homelab/registry"
)

// sharedBy is how many services must name a hint before it is worth telling.
const sharedBy = 3

// Check audits the registry: is it valid, and do its hints say what is so?
func (p *Planner) Check(ctx context.Context, r CheckRequest) (*Check, error) {
	limit, err := checkLimit(r.Limit)
	if err != nil {
		return nil, err
	}
	out := &Check{
		Problems: []registry.Problem{}, StaleHints: []StaleHint{}, Warnings: []Warning{},
		Uncovered: FolderList{Folders: []Folder{}}, Shared: SharedList{Hints: []SharedHint{}},
		Untracked:         FileList{Files: []File{}},
		MissingAttributes: []MissingAttribute{}, WholeFlake: []WholeFlake{},
	}
	v, err := p.look(ctx, "")
	var problems registry.Problems
	if errors.As(err, &problems) {
		out.Source, out.Problems = "registry", cut(problems, limit)
		var found *invalid
		if errors.As(err, &found) {
			out.Source = found.where
		}
		if more := len(problems) - limit; more > 0 {
			out.Warnings = append(out.Warnings, Warning{"truncated", fmt.Sprintf("%d more problems are not listed", more), "raise limit"})
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Source, out.Valid = v.loaded.Where, true
	a := newAnalysis(v)
	all := &comparison{changes: v.edits, sameEntries: true}
	if err := a.match(ctx, all); err != nil {
		return nil, err
	}
	if err := a.audit(ctx, out, limit); err != nil {
		return nil, err
	}
	if r.Evaluate {
		if err := a.auditTargets(ctx, out, limit); err != nil {
			return nil, err
		}
	}
	inputs, err := a.auditInputs(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range append(v.warnings, inputs...) {
		if !slices.Contains(out.Warnings, w) { // the lock file is read twice
			out.Warnings = append(out.Warnings, w)
		}
	}
	out.Warnings = capWarnings(out.Warnings)
	return out, nil
}

// audit fills in what the hints match, and what they do not.
func (a *analysis) audit(ctx context.Context, out *Check, limit int) error {
	stale, err := a.stale(ctx)
	if err != nil {
		return err
	}
	out.StaleHints = cut(stale, limit)
	if more := len(stale) - limit; more > 0 {
		out.Warnings = append(out.Warnings, Warning{"truncated", fmt.Sprintf("%d more stale hints are not listed", more), "raise limit"})
	}
	var untracked []File
	for _, c := range a.covered {
		if c.Status == Untracked {
			untracked = append(untracked, fileOf(c))
		}
	}
	out.Untracked = FileList{Count: len(untracked), Files: cut(untracked, limit)}
	out.Uncovered = a.uncovered(limit)
	out.Shared = a.shared(limit)
	return nil
}

// uncovered counts the tracked files that no hint covers, by folder.
func (a *analysis) uncovered(limit int) FolderList {
	m := a.index.set.Matcher()
	// An exclusion is a pattern too, but it covers nothing.
	covers := func(name string) bool {
		return slices.ContainsFunc(m.Match(name), func(at int32) bool {
			return slices.ContainsFunc(a.index.owners[at], func(o owner) bool { return o.hint >= 0 })
		})
	}
	known := map[string]bool{a.view.loaded.File: true}
	if a.view.loaded.Flake {
		known[path.Join(a.view.loaded.FlakeDir, "flake.nix")] = true
	}
	if len(a.servicesWithInputs()) > 0 {
		known[a.view.loaded.lockPath()] = true
	}
	count, folders := 0, map[string]int{}
	for _, entry := range a.entries {
		if !known[entry.Path] && !covers(entry.Path) {
			count++
			folders[showPath(path.Dir(entry.Path))]++
		}
	}
	list := make([]Folder, 0, len(folders))
	for name, files := range folders {
		list = append(list, Folder{name, files})
	}
	slices.SortFunc(list, func(a, b Folder) int { return cmp.Or(b.Files-a.Files, cmp.Compare(a.Path, b.Path)) })
	return FolderList{Count: count, Folders: cut(list, limit)}
}

// shared finds the hints that several services name.
func (a *analysis) shared(limit int) SharedList {
	by := map[string][]string{}
	for _, h := range a.index.hints {
		if h.service != global {
			text := hint.Clean(h.text)
			by[text] = append(by[text], a.index.names[h.service])
		}
	}
	list := []SharedHint{}
	for text, services := range by {
		if len(services) >= sharedBy {
			list = append(list, SharedHint{text, len(services), services[:min(len(services), 10)]})
		}
	}
	slices.SortFunc(list, func(a, b SharedHint) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Hint, b.Hint)) })
	return SharedList{Count: len(list), Hints: cut(list, limit)}
}

// auditInputs finds names of inputs that the flake does not have.
func (a *analysis) auditInputs(ctx context.Context) ([]Warning, error) {
	if len(a.servicesWithInputs()) == 0 {
		return nil, nil
	}
	moves := inputMoves{}
	var err error
	if moves.new, err = a.view.readLock(ctx, a.view.snapshot, a.view.loaded.lockPath()); err != nil {
		return nil, err
	}
	return a.unknownInputs(moves, a.view.names), nil
}

// auditTargets evaluates every target of every service.
func (a *analysis) auditTargets(ctx context.Context, out *Check, limit int) error {
	v := a.view
	if err := v.planner.Source.Nix.Available(ctx); err != nil {
		return err
	}
	head := &evaluatedState{flake: v.flake(v.state())}
	var targets []WholeFlake
	for _, name := range v.names {
		all := v.registry().Services[name].Build.Targets
		for _, system := range slices.Sorted(maps.Keys(all)) {
			targets = append(targets, WholeFlake{Service: name, System: system, Attr: all[system]})
			head.attrs = append(head.attrs, all[system])
		}
	}
	if err := head.evaluate(ctx, false); err != nil {
		return err
	}
	out.Evaluated = true
	sources, err := head.sources(ctx, head.attrs)
	if err != nil {
		return err
	}
	whole, told, err := a.wholeFlake(ctx, sources)
	if err != nil {
		return err
	}
	if !told {
		out.Warnings = append(out.Warnings, wholeFlakeUnknown)
	}
	var failed []string
	var first *Warning
	for _, t := range targets {
		e := head.found[t.Attr]
		switch {
		case fault.CodeOf(e.Err) == fault.NotFound:
			out.MissingAttributes = append(out.MissingAttributes, MissingAttribute{t.Service, t.System, t.Attr, fault.Of(e.Err).Hint})
		case e.Err != nil:
			if failed = append(failed, t.Attr); first == nil {
				first = notEvaluated(t.Attr, e.Err)
			}
		default:
			if t.Source = whole.in(sources[t.Attr]); t.Source != "" {
				out.WholeFlake = append(out.WholeFlake, t)
			}
		}
	}
	if more := max(len(out.MissingAttributes), len(out.WholeFlake)) - limit; more > 0 {
		out.Warnings = append(out.Warnings, Warning{"truncated", fmt.Sprintf("%d more targets are not listed", more), "raise limit"})
	}
	out.MissingAttributes, out.WholeFlake = cut(out.MissingAttributes, limit), cut(out.WholeFlake, limit)
	if len(failed) > 1 {
		first.Message = fmt.Sprintf("%d targets do not evaluate: %s; %s", len(failed), some(failed), first.Message)
	}
	if first != nil {
		out.Warnings = append(out.Warnings, *first)
	}
	return nil
}
