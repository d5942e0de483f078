package build

import (
	"homelab/internal/fault"
	"homelab/internal/plan"
)

// Request asks for a build.
type Request struct {
	Services   []string  `json:"services,omitempty" jsonschema_description:"Names or aliases of the services to build. Left out: those that the plan says to rebuild or does not know."`
	PlanID     string    `json:"planId,omitempty" jsonschema_description:"planId of a plan with the same arguments: fail with conflict when that is not what there is to do any more."`
	Base       string    `json:"base,omitempty" jsonschema:"minLength=1" jsonschema_description:"As in plan: revision to compare with."`
	Head       string    `json:"head,omitempty" jsonschema:"minLength=1" jsonschema_description:"As in plan: revision to build (default: the work tree, without untracked files)."`
	MergeBase  bool      `json:"mergeBase,omitempty" jsonschema_description:"As in plan: compare with the merge base of base and head."`
	System     string    `json:"system,omitempty" jsonschema:"minLength=1" jsonschema_description:"Nix system to build for, such as aarch64-linux. Left out: that of each service's host."`
	Mode       plan.Mode `json:"mode,omitempty" jsonschema:"enum=hints,enum=exact,enum=audit,default=hints" jsonschema_description:"As in plan (default hints)."`
	DryRun     bool      `json:"dryRun,omitempty" jsonschema_description:"Evaluate, and say what would be built."`
	KeepGoing  *bool     `json:"keepGoing,omitempty" jsonschema:"default=true" jsonschema_description:"Build the others when one fails (default true)."`
	MaxJobs    int       `json:"maxJobs,omitempty" jsonschema:"minimum=1,maximum=64" jsonschema_description:"Most builders at the same time on this machine (default: max-jobs of nix.conf)."`
	Background bool      `json:"background,omitempty" jsonschema_description:"Return at once with a jobId; the build outlives this call and this server."`
}

// Validate checks what can be checked without a repository.
func (r Request) Validate() error {
	if r.DryRun && r.Background {
		return fault.New(fault.InvalidArgument, "dryRun and background exclude each other: a dry run builds nothing", "leave out one of them")
	}
	return r.Plan().Validate()
}

// Plan is the question that the request follows the answer of.
func (r Request) Plan() plan.Request {
	return plan.Request{Services: r.Services, Base: r.Base, Head: r.Head, MergeBase: r.MergeBase, System: r.System, Mode: r.Mode}
}

func (r Request) keepGoing() bool { return r.KeepGoing == nil || *r.KeepGoing }
