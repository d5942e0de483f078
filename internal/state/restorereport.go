package state

import (
	"fmt"

	"homelab/internal/fault"
)

// RestoreRequest asks to bring state back, or to end an earlier restore.
type RestoreRequest struct {
	Bundle     string   `json:"bundle,omitempty" jsonschema:"minLength=1" jsonschema_description:"Its id: see state_list."`
	Service    string   `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias; for undo and commit."`
	Items      []string `json:"items,omitempty" jsonschema:"minItems=1" jsonschema_description:"Volumes and paths. Left out: all of the bundle."`
	Store      string   `json:"store,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: where it is found."`
	Host       string   `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: the host of the service."`
	Undo       string   `json:"undo,omitempty" jsonschema:"minLength=1" jsonschema_description:"Restore id: put back what was there before."`
	Commit     string   `json:"commit,omitempty" jsonschema:"minLength=1" jsonschema_description:"Restore id: remove what is kept aside."`
	Confirm    string   `json:"confirm,omitempty" jsonschema:"minLength=1" jsonschema_description:"previewId, or its first 12 digits. Left out: only preview."`
	Background bool     `json:"background,omitempty" jsonschema_description:"With confirm: return at once with a jobId."`
}

// What a restore request is for.
const (
	ActionRestore = "restore"
	ActionUndo    = "undo"
	ActionCommit  = "commit"
)

// Action is what is asked for.
func (r *RestoreRequest) Action() string {
	switch {
	case r.Undo != "":
		return ActionUndo
	case r.Commit != "":
		return ActionCommit
	}
	return ActionRestore
}

// Validate says whether it is asked for one thing.
func (r *RestoreRequest) Validate() error {
	wrong := func(message, hint string) error { return fault.New(fault.InvalidArgument, message, hint) }
	said := 0
	for _, one := range []string{r.Bundle, r.Undo, r.Commit} {
		if one != "" {
			said++
		}
	}
	switch {
	case said == 0:
		return wrong("bundle is missing", "name a bundle: see state_list")
	case said > 1:
		return wrong("of bundle, undo and commit only one can be passed", "call it once for each")
	case r.Bundle == "" && r.Service == "":
		return wrong("service is missing", "name the service whose restore that was")
	case r.Bundle == "" && (len(r.Items) > 0 || r.Store != ""):
		return wrong(r.Action()+" is of all that was restored", "leave out items and store")
	case r.Background && r.Confirm == "":
		return wrong("background goes with confirm", "preview it first, without background")
	}
	return nil
}

// RestoreReport is what a restore would do, or has done.
type RestoreReport struct {
	State    string          `json:"state" jsonschema:"enum=preview,enum=running,enum=succeeded" jsonschema_description:"preview (nothing was changed), running (in the background: see job_get) or succeeded."`
	Action   string          `json:"action" jsonschema:"enum=restore,enum=undo,enum=commit" jsonschema_description:"What was asked for."`
	JobID    string          `json:"jobId,omitempty" jsonschema_description:"Job that does it or did: see job_get."`
	Service  string          `json:"service" jsonschema_description:"Name of the service."`
	Host     string          `json:"host" jsonschema_description:"Name of the host."`
	Store    string          `json:"store,omitempty" jsonschema_description:"Where the bundle is."`
	Preview  *RestorePreview `json:"preview,omitempty" jsonschema_description:"What it would do, or did; left out while it runs."`
	Done     *Restored       `json:"done,omitempty" jsonschema_description:"What it has done; left out with commit."`
	About    *About          `json:"about,omitempty" jsonschema_description:"What the bundle says of the service."`
	Todo     []string        `json:"todo" jsonschema_description:"What a person has to do then."`
	Warnings []string        `json:"warnings" jsonschema_description:"What to know before."`
}

// Unconfirmed is the id of a preview that has to be confirmed to be carried out.
func (r *RestoreReport) Unconfirmed() string {
	if r.State != "preview" {
		return ""
	}
	return r.Preview.PreviewID
}

// Tell says what a person still has to do, now that a restore is over.
func (r *RestoreReport) Tell(runs bool) {
	r.Todo = []string{}
	if r.About != nil {
		for _, a := range r.About.Reauth {
			what := "is restored with it: see that it is still valid"
			if a.Policy == "reissue" {
				what = "has to be issued anew"
			}
			r.Todo = append(r.Todo, fmt.Sprintf("%s %s: %s", a.Name, what, a.Instructions))
		}
		if r.About.Restore != "" {
			r.Todo = append(r.Todo, r.About.Restore)
		}
	}
	if r.Done == nil {
		return
	}
	if !runs {
		r.Todo = append(r.Todo, fmt.Sprintf("%s does not run: homelab deploy %s", r.Service, r.Service))
	}
	end := fmt.Sprintf("homelab state restore --service %s --host %s", r.Service, r.Host)
	if r.Action == ActionRestore {
		r.Todo = append(r.Todo, fmt.Sprintf("what was there before is kept aside: %s --undo %s puts it back, with --commit %s it is removed", end, r.Done.ID, r.Done.ID))
	} else {
		r.Todo = append(r.Todo, fmt.Sprintf("what the restore had brought is kept aside: %s --commit %s removes it", end, r.Done.ID))
	}
}
