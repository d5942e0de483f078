package plan

import "homelab/registry"

// Listing is the registry in brief.
type Listing struct {
	Source      string        `json:"source" jsonschema_description:"Where the registry was read from."`
	Count       int           `json:"count" jsonschema_description:"Number of services."`
	Services    []ListedEntry `json:"services" jsonschema_description:"The services, by name; at most limit."`
	Hosts       []ListedHost  `json:"hosts" jsonschema_description:"The hosts, by name; at most limit."`
	HostCount   int           `json:"hostCount" jsonschema_description:"Number of hosts."`
	Globals     []string      `json:"globalHints" jsonschema_description:"Paths that touch many services; at most limit."`
	GlobalCount int           `json:"globalHintCount" jsonschema_description:"Number of global hints."`
}

// ListedEntry is one service in brief.
type ListedEntry struct {
	Name        string   `json:"name" jsonschema_description:"Name."`
	Aliases     []string `json:"aliases" jsonschema_description:"Short names."`
	Description string   `json:"description,omitempty" jsonschema_description:"For people."`
	Host        string   `json:"host" jsonschema_description:"Host it runs on."`
	Image       string   `json:"image,omitempty" jsonschema_description:"Repository name of its image."`
	Systems     []string `json:"systems" jsonschema_description:"Systems it can be built for."`
	DependsOn   []string `json:"dependsOn" jsonschema_description:"Services it is built on or needs."`
	State       string   `json:"state" jsonschema:"enum=none,enum=recomputable,enum=durable,enum=secret" jsonschema_description:"The most precious class of state it keeps."`
}

// ListedHost is one host in brief.
type ListedHost struct {
	Name     string `json:"name" jsonschema_description:"Name."`
	Docker   string `json:"docker,omitempty" jsonschema_description:"Docker engine; empty: the default of this machine."`
	System   string `json:"system,omitempty" jsonschema_description:"Nix system, where the registry sets it."`
	Services int    `json:"services" jsonschema_description:"Number of services on it."`
}

// ListRequest asks for a [Listing].
type ListRequest struct {
	Limit int `json:"limit,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"Most services, hosts and global hints to list (default 100); counts are always complete."`
}

// GetRequest asks for one service.
type GetRequest struct {
	Name   string `json:"name" jsonschema_description:"Name or alias of the service."`
	System string `json:"system,omitempty" jsonschema:"minLength=1" jsonschema_description:"Nix system to choose the target for. Left out: that of its host."`
}

// Resolved is one service, whole.
type Resolved struct {
	Name       string           `json:"name" jsonschema_description:"Name."`
	Source     string           `json:"source" jsonschema_description:"Where the registry was read from."`
	Host       string           `json:"host" jsonschema_description:"Host it runs on."`
	Target     Target           `json:"target" jsonschema_description:"What would be built for it."`
	Service    registry.Service `json:"service" jsonschema_description:"The entry of the registry."`
	Dependents []string         `json:"dependents" jsonschema_description:"Services that depend on it, directly or not."`
	Warnings   []Warning        `json:"warnings" jsonschema_description:"What to know before relying on it."`
}

// CheckRequest asks for an audit of the registry.
type CheckRequest struct {
	Evaluate bool `json:"evaluate,omitempty" jsonschema_description:"Have Nix evaluate every target, for every system: finds attributes that do not exist, and services built from the flake's whole source. Takes seconds the first time."`
	Limit    int  `json:"limit,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"Most entries in each list (default 100); counts are always complete."`
}

// Check is the audit: is the registry valid, and do its hints say what is so?
type Check struct {
	Source            string             `json:"source" jsonschema_description:"Where the registry was read from."`
	Valid             bool               `json:"valid" jsonschema_description:"True when problems is empty."`
	Problems          []registry.Problem `json:"problems" jsonschema_description:"What is wrong in the registry; while there is any, hints are not audited."`
	StaleHints        []StaleHint        `json:"staleHints" jsonschema_description:"Hints that match nothing."`
	Uncovered         FolderList         `json:"uncovered" jsonschema_description:"Tracked files that no hint covers, by folder."`
	Shared            SharedList         `json:"shared" jsonschema_description:"Hints that many services share: candidates for globalHints or dependsOn."`
	Untracked         FileList           `json:"untracked" jsonschema_description:"Untracked files under a hint: Nix cannot see them until git add."`
	Evaluated         bool               `json:"evaluated" jsonschema_description:"True when Nix evaluated the targets: only then the next two lists say something."`
	MissingAttributes []MissingAttribute `json:"missingAttributes" jsonschema_description:"Targets whose flake attribute does not exist; at most limit."`
	WholeFlake        []WholeFlake       `json:"wholeFlake" jsonschema_description:"Targets built from the flake's whole source, so that every commit rebuilds them; at most limit."`
	Warnings          []Warning          `json:"warnings" jsonschema_description:"What to know before trusting the answer."`
}

// FolderList is a bounded list of folders.
type FolderList struct {
	Count   int      `json:"count" jsonschema_description:"Number of files."`
	Folders []Folder `json:"folders" jsonschema_description:"Folders with such files, most files first; at most limit."`
}

// Folder counts files directly in one folder.
type Folder struct {
	Path  string `json:"path" jsonschema_description:"Folder, relative to the repository root; . is the root itself."`
	Files int    `json:"files" jsonschema_description:"Number of files directly in it."`
}

// SharedList is a bounded list of shared hints.
type SharedList struct {
	Count int          `json:"count" jsonschema_description:"How many there are."`
	Hints []SharedHint `json:"hints" jsonschema_description:"The most shared first; at most limit."`
}

// SharedHint is a hint that several services name.
type SharedHint struct {
	Hint     string   `json:"hint" jsonschema_description:"The hint."`
	Count    int      `json:"count" jsonschema_description:"Number of services."`
	Services []string `json:"services" jsonschema_description:"The first ten of them."`
}
