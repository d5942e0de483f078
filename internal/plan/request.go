package plan

import "homelab/internal/fault"

// Mode is what a plan is told by.
type Mode string

const (
	Hints Mode = "hints" // the registry's hints; in milliseconds
	Exact Mode = "exact" // the outputs of both sides, as Nix evaluates them
	Audit Mode = "audit" // both, and where they disagree
)

// Bounds of Request.Limit.
const (
	DefaultLimit = 100
	MaxLimit     = 10000
)

// MaxServices is how many services an answer lists. Beyond it, untouched ones
// are only counted and the touched ones come in pages.
const MaxServices = 1000

// Request is the question.
type Request struct {
	Services  []string `json:"services,omitempty" jsonschema_description:"Names or aliases of the services to plan; each counts as touched. Left out: all services, touched or not by what changed."`
	Base      string   `json:"base,omitempty" jsonschema:"minLength=1" jsonschema_description:"Revision to compare with, such as main or HEAD~1. Left out: for each service the revision that its host runs, where that is on record; else the merge base with the upstream branch, else HEAD."`
	Head      string   `json:"head,omitempty" jsonschema:"minLength=1" jsonschema_description:"Revision to look at. Left out: the work tree, with uncommitted and untracked files."`
	MergeBase bool     `json:"mergeBase,omitempty" jsonschema_description:"Compare with the merge base of base and head instead of base: the pull request question. Needs base, or an upstream branch."`
	System    string   `json:"system,omitempty" jsonschema:"minLength=1" jsonschema_description:"Nix system to build for, such as aarch64-linux. Left out: that of each service's host."`
	Mode      Mode     `json:"mode,omitempty" jsonschema:"enum=hints,enum=exact,enum=audit,default=hints" jsonschema_description:"hints (default): by the registry's hints, in milliseconds. exact: Nix evaluates base and head, and a service is touched when its output differs. audit: exact, and where the hints disagree."`
	Limit     int      `json:"limit,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"Most files and paths to list (default 100); counts are always complete."`
	Cursor    string   `json:"cursor,omitempty" jsonschema_description:"nextCursor of an earlier answer to the same question: lists the next changed files and services."`
}

// Validate checks what can be checked without a repository.
func (r Request) Validate() error {
	if _, err := checkLimit(r.Limit); err != nil {
		return err
	}
	switch r.Mode {
	case "", Hints, Exact, Audit:
	default:
		return fault.Newf(fault.InvalidArgument, "valid: hints, exact, audit", "mode: %.100q is not one", r.Mode)
	}
	if r.System != "" {
		return checkSystem("system", r.System)
	}
	return nil
}

// evaluates says whether Nix is asked for outputs.
func (r Request) evaluates() bool { return r.Mode == Exact || r.Mode == Audit }
