package state

import (
	"context"
	"fmt"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/swap"
	"homelab/registry"
)

// MigrateRequest asks to move a service with its state.
type MigrateRequest struct {
	Service    string `json:"service" jsonschema:"minLength=1" jsonschema_description:"Name or alias."`
	ToHost     string `json:"toHost" jsonschema:"minLength=1" jsonschema_description:"Host of the registry; the one that it is on: its state goes to where the registry has it there by now."`
	Confirm    string `json:"confirm,omitempty" jsonschema:"minLength=1" jsonschema_description:"previewId, or its first 12 digits. Left out: only preview."`
	Background bool   `json:"background,omitempty" jsonschema_description:"With confirm: return at once with a jobId."`
}

// Validate says whether background goes with the rest.
func (r MigrateRequest) Validate() error {
	if r.Background && r.Confirm == "" {
		return fault.New(fault.InvalidArgument, "background goes with confirm", "preview it first, without background")
	}
	return nil
}

// MigratePreview is what a migration would do.
type MigratePreview struct {
	PreviewID string        `json:"previewId" jsonschema_description:"Of what would be moved: pass it as confirm to have it done."`
	Container string        `json:"container" jsonschema_description:"Container that would be stopped."`
	Revision  string        `json:"revision,omitempty" jsonschema_description:"Commit that it was built from."`
	Runs      string        `json:"runs" jsonschema_description:"Store path of its artifact."`
	Out       string        `json:"out" jsonschema_description:"Store path of the artifact that would run there."`
	Budget    float64       `json:"budget" jsonschema_description:"Seconds that it may be away: when more is predicted nothing is stopped."`
	Items     []MigrateItem `json:"items" jsonschema_description:"What would be moved."`
	Left      []string      `json:"left" jsonschema_description:"Items that would not be: recomputable ones, and on the same host those that are where they are to be."`
}

// MigrateItem is an item that would be moved.
type MigrateItem struct {
	Name  string      `json:"name" jsonschema_description:"Volume or path."`
	From  string      `json:"from,omitempty" jsonschema_description:"Volume or path that it is now; left out when it goes to another host."`
	Path  string      `json:"path" jsonschema_description:"Where it would be on the host that it goes to."`
	Comes swap.Amount `json:"comes" jsonschema_description:"What is there now, where it comes from, but for what the registry excludes."`
	There swap.Amount `json:"there" jsonschema_description:"What is there before, and would be put aside."`
	Free  int64       `json:"free" jsonschema_description:"Bytes that its disk has left."`
}

// MigrateReport is what a migration would do, or has done.
type MigrateReport struct {
	State    string          `json:"state" jsonschema:"enum=preview,enum=running,enum=succeeded" jsonschema_description:"preview (nothing was changed), running (in the background: see job_get) or succeeded."`
	JobID    string          `json:"jobId,omitempty" jsonschema_description:"Job that does it or did: see job_get."`
	Service  string          `json:"service" jsonschema_description:"Name of the service."`
	From     string          `json:"from" jsonschema_description:"Host that it leaves."`
	To       string          `json:"to" jsonschema_description:"Host that it goes to."`
	Preview  *MigratePreview `json:"preview" jsonschema_description:"What it would do, or did."`
	Image    *deploy.Loaded  `json:"image,omitempty" jsonschema_description:"The image on the other host; left out in previews."`
	Done     *Migrated       `json:"done,omitempty" jsonschema_description:"What it has done."`
	Todo     []string        `json:"todo" jsonschema_description:"What a person has to do then."`
	Warnings []string        `json:"warnings" jsonschema_description:"What to know before."`
}

// Unconfirmed is the id of a preview that has to be confirmed to be carried out.
func (r *MigrateReport) Unconfirmed() string {
	if r.State != "preview" {
		return ""
	}
	return r.Preview.PreviewID
}

// PreviewMigration looks at the state of both ends; from is that of the host that the
// service leaves.
func PreviewMigration(ctx context.Context, x *Migrating, from, to Place) ([]MigrateItem, error) {
	service, all := x.Service, []MigrateItem{}
	for i, item := range x.Items {
		source := (&migration{Migrating: *x}).source(i)
		there, path, err := lookAt(ctx, to, service, item)
		if err != nil {
			return nil, err
		}
		if len(there.Mounts) > 0 {
			return nil, fault.Newf(fault.Precondition, "unmount it, or have the registry name what is in it one by one", "%s is mounted in %s, which is to be swapped", there.Mounts[0], path)
		}
		comes, folder, err := measure(ctx, from, service, source)
		if err != nil {
			return nil, err
		}
		if there.Folder && !folder && comes.Entries > 0 {
			return nil, fault.Newf(fault.Precondition, "move the folder away on that host", "%s is a file, and where it goes %s is a folder", source.Name(), path)
		}
		if there.Folder {
			there.There.Entries-- // it stays
		}
		m := MigrateItem{Name: item.Name(), Path: path, Comes: comes, There: there.There, Free: there.Free}
		if x.Sources != nil {
			m.From = source.Name()
		}
		all = append(all, m)
	}
	return all, nil
}

func lookAt(ctx context.Context, place Place, service string, item registry.StateItem) (*swap.Found, string, error) {
	target, err := place.View(ctx, service, item)
	if err != nil {
		return nil, "", about(item, err)
	}
	defer target.Close()
	found, err := target.Look(ctx, mostCounted)
	return found, target.Path(), about(item, err)
}

// measure says how much an item is that is to come, and whether it is a folder.
func measure(ctx context.Context, place Place, service string, item registry.StateItem) (amount swap.Amount, folder bool, err error) {
	target, err := place.View(ctx, service, item)
	if err != nil {
		return amount, false, about(item, err)
	}
	defer target.Close()
	found, err := target.Look(ctx, 0)
	if err != nil {
		return amount, false, about(item, err)
	}
	amount, err = target.Measure(ctx, mostCounted, item.Exclude)
	return amount, found.Folder, about(item, err)
}

// TellMoved says what a person still has to do, now that a service is on another host.
func (r *MigrateReport) TellMoved(home string, s *registry.State) {
	if home != r.To {
		r.Todo = append(r.Todo, fmt.Sprintf("set services.%s.deploy.host = %q in the registry: until then nothing can be deployed", r.Service, r.To))
	}
	if r.From != r.To {
		r.tellElsewhere(s)
	}
	if r.Done == nil {
		return
	}
	if r.From == r.To {
		was := []string{}
		for _, i := range r.Preview.Items {
			was = append(was, i.From)
		}
		r.Todo = append(r.Todo, fmt.Sprintf("%s is kept, stopped, and the state as it was then in %s: when nothing needs that any more, remove it", r.Done.Kept, strings.Join(was, ", ")))
	} else {
		r.Todo = append(r.Todo, fmt.Sprintf("%s is kept, stopped, on %s, with its state as it was: homelab state migrate %s --to-host %s moves it back with what came since", r.Done.Kept, r.From, r.Service, r.From))
	}
	for _, i := range r.Preview.Items {
		if i.There.Entries > 0 {
			r.Todo = append(r.Todo, fmt.Sprintf("what was on %s before is kept aside: homelab state restore --service %s --host %s --commit %s removes it", r.To, r.Service, r.To, r.Done.ID))
			return
		}
	}
}

// tellElsewhere says what another host asks of a person.
func (r *MigrateReport) tellElsewhere(s *registry.State) {
	for _, a := range s.Reauth {
		if a.Policy == "reissue" {
			r.Todo = append(r.Todo, fmt.Sprintf("%s has to be issued anew: %s", a.Name, a.Instructions))
		}
	}
	if s.Restore != "" {
		r.Todo = append(r.Todo, s.Restore)
	}
}
