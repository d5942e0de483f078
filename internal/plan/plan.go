// Package plan answers one question: which services does this change touch,
// and why?
//
// [Planner.Plan] compares a base tree with a head tree, or with the work tree,
// matches what changed against the hints of the registry, and follows
// dependsOn; or has Nix evaluate both trees, and compares what comes out, which
// is the truth and takes seconds ([Exact]). It errs on the side of a rebuild: where the truth cannot be had
// the service is unknown, never unchanged.
package plan

// Plan is the answer. Lists are never null and are sorted; nothing in it
// depends on the clock, the name of the machine or chance.
type Plan struct {
	PlanID            string         `json:"planId" jsonschema_description:"Digest of everything the answer depends on: same inputs, same id."`
	Base              Side           `json:"base" jsonschema_description:"What was compared with."`
	Head              Side           `json:"head" jsonschema_description:"What was looked at."`
	Engine            string         `json:"engine" jsonschema:"enum=go-git,enum=git" jsonschema_description:"What read the repository: go-git (in process, doubtful paths settled by the git command) or git (the command alone)."`
	Mode              Mode           `json:"mode,omitempty" jsonschema:"enum=exact,enum=audit" jsonschema_description:"What it was told by; left out: hints."`
	Complete          bool           `json:"complete" jsonschema_description:"False when something could not be read or compared, so that some decision is unknown."`
	Counts            Counts         `json:"counts" jsonschema_description:"Number of services by decision."`
	Services          []Service      `json:"services" jsonschema_description:"Decisions, sorted by name; at most 1000. Above 1000 services those with decision none are left out; counts has their number."`
	GlobalChanges     []GlobalChange `json:"globalChanges" jsonschema_description:"Changes under the registry's globalHints, said once here and referred to by hint in the services' reasons; at most limit."`
	GlobalChangeCount int            `json:"globalChangeCount" jsonschema_description:"How many global hints have changes under them."`
	InputChanges      []InputChange  `json:"inputChanges" jsonschema_description:"Flake inputs that moved in flake.lock."`
	Changes           FileList       `json:"changes" jsonschema_description:"Files that differ between base and head."`
	StaleHints        []StaleHint    `json:"staleHints" jsonschema_description:"Hints that match nothing in base, head or work tree."`
	StaleHintCount    int            `json:"staleHintCount" jsonschema_description:"How many stale hints there are; staleHints lists at most limit."`
	Unmatched         PathList       `json:"unmatched" jsonschema_description:"Changed files that no hint covers."`
	Audit             *Findings      `json:"audit,omitempty" jsonschema_description:"Where hints and outputs disagree; only in mode audit."`
	Warnings          []Warning      `json:"warnings" jsonschema_description:"What to know before trusting the answer; at most 50, the last of which says how many more there are."`
	NextCursor        string         `json:"nextCursor,omitempty" jsonschema_description:"Pass as cursor to get the next page of changes and services."`
}

// Side is one end of the comparison.
type Side struct {
	Ref      string `json:"ref,omitempty" jsonschema_description:"The revision as it was asked for, or as it was chosen."`
	Commit   string `json:"commit,omitempty" jsonschema_description:"Full commit id; for the work tree the commit it is based on."`
	State    string `json:"state" jsonschema:"enum=commit,enum=clean,enum=dirty,enum=empty,enum=missing" jsonschema_description:"commit; clean or dirty (the work tree); empty (nothing committed: the empty tree); missing (the objects are not here)."`
	Relation string `json:"relation,omitempty" jsonschema:"enum=same,enum=ancestor,enum=descendant,enum=diverged,enum=unrelated,enum=unknown" jsonschema_description:"Of the base: what it is to the head commit."`
	Why      string `json:"why,omitempty" jsonschema_description:"Why this one was taken."`
}

// Values of Side.State.
const (
	StateCommit  = "commit"
	StateClean   = "clean"
	StateDirty   = "dirty"
	StateEmpty   = "empty"
	StateMissing = "missing"
)

// Decision is what should happen to a service.
type Decision string

const (
	Rebuild  Decision = "rebuild"  // touched: build it
	Redeploy Decision = "redeploy" // only its configuration changed: deploy what is built
	None     Decision = "none"     // not touched
	Unknown  Decision = "unknown"  // cannot be told: build it to be sure
	Blocked  Decision = "blocked"  // touched, but cannot be built as things are
)

// Counts has the number of services by decision.
type Counts struct {
	Total    int `json:"total" jsonschema_description:"Services asked about."`
	Rebuild  int `json:"rebuild" jsonschema_description:"Touched: to build."`
	Redeploy int `json:"redeploy" jsonschema_description:"Only their configuration changed: nothing to build, but to deploy."`
	None     int `json:"none" jsonschema_description:"Not touched."`
	Unknown  int `json:"unknown" jsonschema_description:"Cannot be told: build to be sure."`
	Blocked  int `json:"blocked" jsonschema_description:"Touched, but cannot be built as things are."`
}

// Service is the decision about one service.
type Service struct {
	Name        string   `json:"name" jsonschema_description:"Name of the service."`
	Decision    Decision `json:"decision" jsonschema:"enum=rebuild,enum=redeploy,enum=none,enum=unknown,enum=blocked" jsonschema_description:"rebuild; redeploy (only its configuration changed: the image stays); none; unknown (build it to be sure); blocked (see problem)."`
	Target      Target   `json:"target" jsonschema_description:"What would be built."`
	Host        string   `json:"host" jsonschema_description:"Host it runs on."`
	Out         *Outputs `json:"out,omitempty" jsonschema_description:"Outputs of its target, in modes exact and audit, where Nix was asked."`
	Base        *Side    `json:"base,omitempty" jsonschema_description:"Its own base, where that differs from the plan's."`
	Reasons     []Reason `json:"reasons" jsonschema_description:"Why, most direct first; capped, see reasonCount."`
	ReasonCount int      `json:"reasonCount" jsonschema_description:"Number of reasons before capping."`
	Problem     *Warning `json:"problem,omitempty" jsonschema_description:"For blocked and unknown: what is in the way and what to do."`
}

// Outputs are store paths of one target, built or not.
type Outputs struct {
	Old string `json:"old,omitempty" jsonschema_description:"Of what is deployed, where that is on record, else at the base; left out when the flake did not have it there, or does not evaluate there."`
	New string `json:"new,omitempty" jsonschema_description:"At the head; left out when it does not evaluate."`
}

// Target is what Nix would build for a service.
type Target struct {
	System    string `json:"system" jsonschema_description:"Nix system, such as aarch64-linux; empty when a target override names an attribute of no known system."`
	Attr      string `json:"attr" jsonschema_description:"Flake attribute; empty when the service has no target for the system."`
	DecidedBy string `json:"decidedBy" jsonschema_description:"What chose the system: argument, the name of an environment variable, host, daemon or machine."`
}

// ReasonKind says what connects a change to a service.
type ReasonKind string

const (
	ByHint          ReasonKind = "hint"
	ByGlobal        ReasonKind = "global"
	ByInput         ReasonKind = "input"
	ByDependency    ReasonKind = "dependency"
	ByRegistry      ReasonKind = "registry"
	ByExplicit      ReasonKind = "explicit"
	ByNeverDeployed ReasonKind = "neverDeployed"
	ByBaseMissing   ReasonKind = "baseMissing"
	BySubmodule     ReasonKind = "submodule"
	ByOutput        ReasonKind = "output"
	ByDrift         ReasonKind = "drift"
	ByEdits         ReasonKind = "edits"
)

// Reason is one connection between a change and a service.
type Reason struct {
	Kind       ReasonKind `json:"kind" jsonschema:"enum=hint,enum=global,enum=input,enum=dependency,enum=registry,enum=explicit,enum=neverDeployed,enum=baseMissing,enum=submodule,enum=output,enum=drift,enum=edits" jsonschema_description:"hint, global, input (a flake input moved), dependency (see via), registry (its entry changed), explicit (asked for), neverDeployed (its host does not have it), baseMissing, submodule, output (what Nix would build differs, see out), drift (its container is configured otherwise than the registry says) or edits (it was deployed with edits that are not there any more)."`
	Path       string     `json:"path,omitempty" jsonschema_description:"The changed path."`
	PathBase64 string     `json:"pathBase64,omitempty" jsonschema_description:"The path's bytes, when they are not UTF-8."`
	Status     Status     `json:"status,omitempty" jsonschema:"enum=A,enum=M,enum=D,enum=T,enum=?,enum=U,enum=X" jsonschema_description:"A added, M modified, D deleted, T type changed, ? untracked, U unmerged, X unreadable."`
	Hint       string     `json:"hint,omitempty" jsonschema_description:"The hint, global hint or input that matched."`
	Via        []string   `json:"via,omitempty" jsonschema_description:"Chain of services from the direct dependency to the one that changed."`
}

// Status is the letter of a change, as git writes it.
type Status string

const (
	Added       Status = "A"
	Modified    Status = "M"
	Deleted     Status = "D"
	TypeChanged Status = "T"
	Untracked   Status = "?"
	Unmerged    Status = "U"
	Unreadable  Status = "X"
)

// File is a changed path, relative to the root of the repository.
type File struct {
	Path       string `json:"path" jsonschema_description:"Relative to the repository root; bytes that are not UTF-8 shown as U+FFFD."`
	PathBase64 string `json:"pathBase64,omitempty" jsonschema_description:"The path's bytes, when they are not UTF-8."`
	Status     Status `json:"status" jsonschema:"enum=A,enum=M,enum=D,enum=T,enum=?,enum=U,enum=X" jsonschema_description:"A added, M modified, D deleted, T type changed, ? untracked, U unmerged, X unreadable."`
}

// FileList is a bounded list of changed files.
type FileList struct {
	Count int    `json:"count" jsonschema_description:"How many there are."`
	Files []File `json:"files" jsonschema_description:"The first of them, by path; at most limit."`
}

// PathList is a bounded list of paths.
type PathList struct {
	Count int    `json:"count" jsonschema_description:"How many there are."`
	Paths []Path `json:"paths" jsonschema_description:"The first of them; at most limit."`
}

// Path is a path in an answer: JSON shows it as a string, with bytes that are
// not UTF-8 as U+FFFD. Where the bytes matter, changes.files has them.
type Path = string

// GlobalChange is a global hint with what changed under it.
type GlobalChange struct {
	Hint         string   `json:"hint" jsonschema_description:"The global hint's path."`
	Services     []string `json:"services" jsonschema_description:"The first 20 of the services it is limited to; empty: every service."`
	ServiceCount int      `json:"serviceCount" jsonschema_description:"How many services it is limited to; 0: every service."`
	Count        int      `json:"count" jsonschema_description:"Changed files under it."`
	Files        []File   `json:"files" jsonschema_description:"The first of them; at most 20."`
}

// InputChange is a flake input that moved.
type InputChange struct {
	Name   string `json:"name" jsonschema_description:"Name of the root input."`
	Status Status `json:"status" jsonschema:"enum=A,enum=M,enum=D" jsonschema_description:"A added, M moved (itself or an input of its own), D removed."`
}

// StaleHint is a hint that matches nothing.
type StaleHint struct {
	Service string `json:"service,omitempty" jsonschema_description:"The service; empty for a global hint."`
	Hint    string `json:"hint" jsonschema_description:"The hint."`
	Ignored bool   `json:"ignored,omitempty" jsonschema_description:"It names a path that exists, but git ignores it: Nix cannot see it."`
}

// Warning is something to know before trusting the answer.
type Warning struct {
	Code    string `json:"code" jsonschema_description:"Stable name of the warning."`
	Message string `json:"message" jsonschema_description:"What was found."`
	Hint    string `json:"hint,omitempty" jsonschema_description:"What to do about it."`
}
