package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/swap"
	"homelab/registry"
)

// kindOf is the kind of an item in a bundle.
func kindOf(item registry.StateItem) string {
	if item.Volume != "" {
		return "volume"
	}
	return "path"
}

// choose finds the items of the bundle, and where they go.
func (t *restoring) choose() error {
	m := t.Bundle.Manifest()
	if _, err := AboutOf(m, t.Service); err != nil {
		return err
	}
	missing := slices.Clone(t.Only)
	for i, item := range m.Items {
		if len(t.Only) > 0 && !slices.Contains(t.Only, item.Name) {
			continue
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == item.Name })
		at := slices.IndexFunc(t.Items, func(s registry.StateItem) bool { return s.Name() == item.Name && kindOf(s) == item.Kind })
		if at < 0 {
			return fault.Newf(fault.BundleIncompatible, "declare it in state.items of the service, or name the items to restore",
				"the registry has no %s %q of %s", item.Kind, item.Name, t.Service)
		}
		t.chosen = append(t.chosen, chosen{i, item, t.Items[at]})
	}
	if len(missing) > 0 {
		names := []string{}
		for _, item := range m.Items {
			names = append(names, item.Name)
		}
		return fault.Newf(fault.NotFound, fault.DidYouMean(missing[0], names), "bundle %s has no item %q", m.ID, missing[0])
	}
	if len(t.chosen) == 0 {
		return fault.Newf(fault.Precondition, "use another bundle", "bundle %s has no items", m.ID)
	}
	return nil
}

// check looks whether all can be swapped, and whether there is room to stage it.
func (t *restoring) check(ctx context.Context) error {
	_, err := t.look(ctx, 0)
	return err
}

// look is check, and tells what is there.
func (t *restoring) look(ctx context.Context, most int64) ([]*swap.Found, error) {
	all := []*swap.Found{}
	there, here := needs{}, needs{}
	for i, target := range t.targets {
		found, err := target.Look(ctx, most)
		if err != nil {
			return nil, about(t.chosen[i].to, err)
		}
		if len(found.Mounts) > 0 {
			return nil, fault.Newf(fault.Precondition, "unmount it, or have the registry name what is in it one by one",
				"%s is mounted in %s, which is to be restored", found.Mounts[0], target.Path())
		}
		if err := there.fit(t.chosen[i].from, found, target.Path()); err != nil {
			return nil, err
		}
		if work := target.Work(); work != "" {
			found, err := lookAtWork(ctx, work)
			if err != nil {
				return nil, err
			}
			if err := here.fit(t.chosen[i].from, found, work); err != nil {
				return nil, err
			}
		}
		all = append(all, found)
	}
	return all, nil
}

// lookAtWork looks at a folder of this machine that is worked in.
func lookAtWork(ctx context.Context, path string) (*swap.Found, error) {
	folder, err := swap.OpenFolder(path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Look(ctx, 0)
}

// needs are what is needed of the file systems of a machine, by their devices.
type needs map[uint64]bundle.Totals

// fit adds an item, and says whether there is room for all so far, and a tenth more.
func (n needs) fit(item bundle.Item, found *swap.Found, path string) error {
	need := n[found.Device]
	need.Stored += item.Stored
	need.Entries += item.Entries
	n[found.Device] = need
	return enough(need, found, path, "what is restored beside what is there", "make room on that disk, or commit earlier restores")
}

// enough says whether a disk has room for so much, and a tenth more.
func enough(need bundle.Totals, found *swap.Found, path, what, hint string) error {
	if bytes := need.Stored + need.Stored/10; bytes > found.Free {
		return fault.Newf(fault.Precondition, hint, "the disk of %s has %d bytes left, and %s needs %d", path, found.Free, what, bytes)
	}
	if entries := need.Entries + need.Entries/10; found.Entries >= 0 && entries > found.Entries {
		return fault.Newf(fault.Precondition, hint, "the disk of %s can have %d more files, and %s needs %d", path, found.Entries, what, entries)
	}
	return nil
}

// RestorePreview is what a restore would do.
type RestorePreview struct {
	PreviewID string        `json:"previewId" jsonschema_description:"Of what would be restored: pass it as confirm to have it done."`
	Service   string        `json:"service" jsonschema_description:"Name of the service."`
	Bundle    string        `json:"bundle" jsonschema_description:"Id of the bundle."`
	Created   time.Time     `json:"created" jsonschema_description:"When the bundle was made: what came later is put aside."`
	Stops     bool          `json:"stops" jsonschema_description:"The service runs, and would be stopped and started."`
	Items     []RestoreItem `json:"items" jsonschema_description:"What would be restored."`
	Untouched []string      `json:"untouched" jsonschema_description:"Items of the service that would stay as they are."`
}

// RestoreItem is an item that would be restored.
type RestoreItem struct {
	Name  string      `json:"name" jsonschema_description:"Volume or path."`
	Path  string      `json:"path" jsonschema_description:"Where it is on the host."`
	There swap.Amount `json:"there" jsonschema_description:"What is there now, and would be put aside."`
	Comes swap.Amount `json:"comes" jsonschema_description:"What the bundle has."`
	Free  int64       `json:"free" jsonschema_description:"Bytes that its disk has left."`
	Kept  []swap.Kept `json:"kept" jsonschema_description:"What is kept aside of earlier restores."`
}

// mostCounted is how many entries of an item a preview counts.
const mostCounted = 100_000

// Preview tells what a restore would do. It fails with what that would be refused with.
func (r *Restorer) Preview(ctx context.Context, x Restoring) (*RestorePreview, error) {
	if err := r.idle(x); err != nil {
		return nil, err
	}
	t := &restoring{Restorer: r, Restoring: x}
	defer t.close()
	if err := t.choose(); err != nil {
		return nil, err
	}
	if err := t.open(ctx, t.Place.View); err != nil {
		return nil, err
	}
	found, err := t.look(ctx, mostCounted)
	if err != nil {
		return nil, err
	}
	m := x.Bundle.Manifest()
	p := &RestorePreview{
		Service: x.Service, Bundle: m.ID, Created: m.Created, Stops: x.Container != nil && x.Container.Runs(),
		Items: []RestoreItem{}, Untouched: []string{},
	}
	restored := []string{}
	for i, c := range t.chosen {
		restored = append(restored, c.to.Name())
		p.Items = append(p.Items, RestoreItem{
			Name: c.to.Name(), Path: t.targets[i].Path(), There: found[i].There, Free: found[i].Free, Kept: found[i].Kept,
			Comes: swap.Amount{Entries: c.from.Entries, Bytes: c.from.Bytes},
		})
	}
	for _, item := range x.Items {
		if !slices.Contains(restored, item.Name()) {
			p.Untouched = append(p.Untouched, item.Name())
		}
	}
	p.PreviewID, err = deploy.PreviewID(fmt.Sprintf("state_restore 1 %s %s %s %v", x.Service, m.ID, strings.Join(restored, "\n"), x.Privileged))
	return p, err
}
