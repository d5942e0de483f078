// Package rollout brings the services that a plan touches onto their hosts. It says
// first exactly what would happen, and then does that, or nothing when something
// has moved since.
package rollout

import (
	"strings"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
)

// Request asks for services to be deployed.
type Request struct {
	Services   []string `json:"services,omitempty" jsonschema_description:"Names or aliases of services. Left out: those that a plan touches, that their host does not have, or that drifted."`
	PlanID     string   `json:"planId,omitempty" jsonschema:"minLength=1" jsonschema_description:"planId of a plan with the same services: fail with conflict when that is not what there is to do any more."`
	Confirm    string   `json:"confirm,omitempty" jsonschema:"minLength=1" jsonschema_description:"previewId of a preview, or its first 12 digits: do what it said. Left out: only preview."`
	DryRun     bool     `json:"dryRun,omitempty" jsonschema_description:"Only preview, also with confirm: conflict when it does not hold any more."`
	Background bool     `json:"background,omitempty" jsonschema_description:"Return at once with a jobId; what is done outlives this call and this server."`
}

// Validate checks what can be checked without a repository.
func (r Request) Validate() error {
	switch {
	case r.Background && r.Confirm == "":
		return fault.New(fault.InvalidArgument, "background without confirm: a preview is answered at once", "preview first, and pass its previewId as confirm")
	case r.Background && r.DryRun:
		return fault.New(fault.InvalidArgument, "dryRun and background exclude each other: a dry run changes nothing", "leave out one of them")
	}
	return nil
}

// Report is what would happen, or what came of it.
type Report struct {
	State     State          `json:"state" jsonschema:"enum=preview,enum=running,enum=succeeded,enum=failed,enum=canceled" jsonschema_description:"preview (nothing was changed), running (in the background: see job_get), succeeded, failed (some services at least) or canceled."`
	PreviewID string         `json:"previewId" jsonschema_description:"Of what would happen: pass it as confirm to have it done."`
	PlanID    string         `json:"planId,omitempty" jsonschema_description:"The plan that it follows; left out by rollback."`
	JobID     string         `json:"jobId,omitempty" jsonschema_description:"Job that does it or did: see job_get."`
	Head      plan.Side      `json:"head" jsonschema_description:"What it is built from."`
	Counts    Counts         `json:"counts" jsonschema_description:"Number of services by action and by status."`
	Services  []Service      `json:"services" jsonschema_description:"Each service, those before that others depend on; at most 100."`
	More      int            `json:"more,omitempty" jsonschema_description:"Services that are left out of the list: name them to see them."`
	Warnings  []plan.Warning `json:"warnings" jsonschema_description:"What to know before going on."`
}

// State is how far a rollout has come.
type State string

const (
	Previewed State = "preview"
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Canceled  State = "canceled"
)

// Counts has the number of services by action and, once it was carried out, by status.
type Counts struct {
	Total     int `json:"total" jsonschema_description:"Services that were looked at."`
	Create    int `json:"create" jsonschema_description:"Not there yet."`
	Replace   int `json:"replace" jsonschema_description:"With another image."`
	Configure int `json:"configure" jsonschema_description:"With the same image, and other settings."`
	Start     int `json:"start" jsonschema_description:"As they are to be, and not running."`
	Repair    int `json:"repair" jsonschema_description:"As they are to be, after a switch that was broken off."`
	None      int `json:"none" jsonschema_description:"Nothing to do."`
	Rollback  int `json:"rollback" jsonschema_description:"Back to an earlier generation."`
	Blocked   int `json:"blocked" jsonschema_description:"Something is in the way."`
	Deployed  int `json:"deployed,omitempty" jsonschema_description:"Carried out: running as they are to be, and did not before."`
	Unchanged int `json:"unchanged,omitempty" jsonschema_description:"Carried out: ran so before."`
	Failed    int `json:"failed,omitempty" jsonschema_description:"Carried out: see problem."`
	Skipped   int `json:"skipped,omitempty" jsonschema_description:"Carried out: not reached."`
}

// Action is what there is to do for a service.
type Action string

const (
	Create    Action = "create"    // its host does not have it
	Replace   Action = "replace"   // it runs another image
	Configure Action = "configure" // it runs the image with other settings
	Start     Action = "start"     // it is as it is to be, and does not run
	Rollback  Action = "rollback"  // an earlier generation is to run again
	Repair    Action = "repair"    // it runs as it is to be, but a switch was broken off
	Nothing   Action = "none"      // it runs as it is to be
	Blocked   Action = "blocked"   // see problem
)

// Status is what came of a service.
type Status string

const (
	Pending   Status = "pending"   // of a preview
	Done      Status = "deployed"  // it runs as it is to be, and did not before
	Unchanged Status = "unchanged" // it ran so before
	Broken    Status = "failed"    // see problem
	Skipped   Status = "skipped"   // not reached
)

// Service is what happens to one service.
type Service struct {
	Name       string              `json:"name" jsonschema_description:"Name of the service."`
	Host       string              `json:"host" jsonschema_description:"Name of its host."`
	Action     Action              `json:"action" jsonschema:"enum=create,enum=replace,enum=configure,enum=start,enum=repair,enum=rollback,enum=none,enum=blocked" jsonschema_description:"create (the host does not have it), replace (another image), configure (the same image, other settings), start (it does not run), repair (an earlier switch was broken off), rollback (an earlier generation), none or blocked (see problem)."`
	Status     Status              `json:"status" jsonschema:"enum=pending,enum=deployed,enum=unchanged,enum=failed,enum=skipped" jsonschema_description:"pending (of a preview), deployed, unchanged, failed (see problem; what ran before runs) or skipped (not reached)."`
	From       *Version            `json:"from,omitempty" jsonschema_description:"What runs now, or ran before."`
	To         *Version            `json:"to,omitempty" jsonschema_description:"What is to run."`
	Build      build.Status        `json:"build,omitempty" jsonschema:"enum=built,enum=fetched,enum=cached,enum=failed,enum=skipped,enum=pending" jsonschema_description:"Of its image: cached (there already), pending (to be built or fetched), or what came of that."`
	Config     []deploy.Difference `json:"config,omitempty" jsonschema_description:"Settings that change; values that look secret are left out."`
	Downtime   Downtime            `json:"downtime" jsonschema:"enum=none,enum=restart" jsonschema_description:"none, or restart: from the stop of the old one until the new one is healthy."`
	Impact     []Impact            `json:"impact,omitempty" jsonschema_description:"What becomes of its data."`
	Privileges []string            `json:"privileges,omitempty" jsonschema_description:"What the registry lets it do beyond the defaults."`
	After      []string            `json:"after,omitempty" jsonschema_description:"Services of this rollout that it waits for."`
	BrokenOff  string              `json:"brokenOff,omitempty" jsonschema_description:"Step before which an earlier switch was broken off: that is repaired first."`
	Image      *deploy.Loaded      `json:"image,omitempty" jsonschema_description:"The image on the host."`
	Run        *deploy.Switched    `json:"run,omitempty" jsonschema_description:"What runs now."`
	Problem    *build.Problem      `json:"problem,omitempty" jsonschema_description:"What is in the way, or what went wrong."`
}

// Version is one version of a service.
type Version struct {
	Generation int    `json:"generation,omitempty" jsonschema_description:"Its generation on the host."`
	Revision   string `json:"revision,omitempty" jsonschema_description:"Commit that it was built from."`
	WorkTree   string `json:"workTree,omitempty" jsonschema_description:"dirty when it was built from edits on top of that."`
	Out        string `json:"out,omitempty" jsonschema_description:"Store path of the artifact."`
	Running    bool   `json:"running,omitempty" jsonschema_description:"True when it runs."`
}

// Downtime is how long nothing serves.
type Downtime string

const (
	NoDowntime Downtime = "none"
	Restart    Downtime = "restart" // stop, start, and the time to the first good probe
)

// Impact is what becomes of one volume or path of the host.
type Impact struct {
	Item   string `json:"item" jsonschema_description:"Volume or path of the host."`
	Class  string `json:"class,omitempty" jsonschema_description:"durable, recomputable or secret; left out: the registry does not say."`
	Effect Effect `json:"effect" jsonschema:"enum=kept,enum=attached,enum=detached,enum=moved" jsonschema_description:"kept (as it is, where it is), attached (the service gets it, with what is in it), detached (it stays on the host, and the service does not see it any more) or moved (to another path in the container)."`
}

// Effect is what becomes of data.
type Effect string

const (
	Kept     Effect = "kept"
	Attached Effect = "attached"
	Detached Effect = "detached"
	Moved    Effect = "moved"
)

func (c *Counts) add(a Action) {
	c.Total++
	switch a {
	case Create:
		c.Create++
	case Replace:
		c.Replace++
	case Configure:
		c.Configure++
	case Start:
		c.Start++
	case Rollback:
		c.Rollback++
	case Repair:
		c.Repair++
	case Nothing:
		c.None++
	case Blocked:
		c.Blocked++
	}
}

// Todo is how many services a rollout would change.
func (c Counts) Todo() int { return c.Total - c.None - c.Blocked }

// Settle says what came of the services that nothing was to be done for, and of all
// together.
func (r *Report) Settle() {
	for i := range r.Services {
		s := &r.Services[i]
		switch s.Action {
		case Blocked:
			s.Status = Broken
		case Nothing:
			s.Status = Unchanged
		}
		switch s.Status {
		case Done:
			r.Counts.Deployed++
		case Unchanged:
			r.Counts.Unchanged++
		case Broken:
			r.Counts.Failed++
		case Skipped:
			r.Counts.Skipped++
		}
	}
	if r.State = Succeeded; r.Counts.Failed > 0 || r.Counts.Skipped > 0 {
		r.State = Failed
	}
}

// Todo are the services that a rollout would change, in its order.
func (r *Report) Todo() []string {
	names := []string{}
	for _, s := range r.Services {
		if s.Action != Nothing && s.Action != Blocked {
			names = append(names, s.Name)
		}
	}
	return names
}

// Code classifies a report: empty when all went well, and for a preview of what can
// be done.
func (r *Report) Code() fault.Code {
	if r.State == Canceled {
		return fault.Canceled
	}
	if r.State != Failed && (r.State != Previewed || r.Counts.Blocked == 0 || r.Counts.Todo() > 0) {
		return ""
	}
	for _, s := range r.Services {
		if s.Problem != nil {
			return s.Problem.Code
		}
	}
	return fault.Internal
}

// Unconfirmed is the previewId of a preview that has something to do.
func (r *Report) Unconfirmed() string {
	if r.State != Previewed || r.Counts.Todo() == 0 {
		return ""
	}
	return r.PreviewID
}

// Confirmed is [deploy.Confirms] for an id that may be that of the plan by mistake.
func (r *Report) Confirmed(id string) error {
	if strings.HasPrefix(r.PlanID, id) && !strings.HasPrefix(r.PreviewID, id) {
		return fault.New(fault.InvalidArgument, "confirm is the planId", "pass the previewId that a call without confirm answers")
	}
	return deploy.Confirms(id, r.PreviewID)
}

// maxServices bounds the list of services in an answer.
const maxServices = 100

// Bounded is the report as it is answered and kept: where there are many services,
// without those that there is nothing to tell of.
func (r *Report) Bounded() *Report {
	if r == nil || len(r.Services) <= maxServices {
		return r
	}
	bounded := *r
	bounded.Services = []Service{}
	for _, told := range []func(Service) bool{
		func(s Service) bool { return s.Problem != nil },
		func(s Service) bool { return s.Problem == nil && s.Action != Nothing },
		func(s Service) bool { return s.Problem == nil && s.Action == Nothing },
	} {
		for _, s := range r.Services {
			if told(s) && len(bounded.Services) < maxServices {
				bounded.Services = append(bounded.Services, s)
			}
		}
	}
	bounded.More = len(r.Services) - maxServices
	return &bounded
}
