package state

import (
	"homelab/internal/build"
	"homelab/internal/fault"
)

// BundleRequest asks for a bundle of the state of a service.
type BundleRequest struct {
	Service    string `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias of the service. Left out with all."`
	All        bool   `json:"all,omitempty" jsonschema_description:"Of each service with state, one after another."`
	Due        bool   `json:"due,omitempty" jsonschema_description:"With all: only where the newest is older than state.every."`
	Store      string `json:"store,omitempty" jsonschema:"minLength=1" jsonschema_description:"Where it is kept: one of state.stores of the service. Left out: the first of them."`
	Host       string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name of the host whose state it is. Left out: the host of the service."`
	Background bool   `json:"background,omitempty" jsonschema_description:"Return at once with a jobId; the work outlives this call and this server."`
}

// BundleReport is what came of a bundle, or of those of all services.
type BundleReport struct {
	State    string         `json:"state" jsonschema:"enum=running,enum=succeeded,enum=failed,enum=canceled" jsonschema_description:"running (in the background: see job_get) or succeeded; with all also failed (some did) or canceled."`
	JobID    string         `json:"jobId,omitempty" jsonschema_description:"Job that makes it or did: see job_get. Left out with all, where each has one, unless in the background."`
	Service  string         `json:"service,omitempty" jsonschema_description:"Name of the service. Left out with all, as are the fields of one bundle."`
	Host     string         `json:"host,omitempty" jsonschema_description:"Name of the host."`
	Store    string         `json:"store,omitempty" jsonschema_description:"Where it is kept."`
	Bundle   string         `json:"bundle,omitempty" jsonschema_description:"Its id."`
	Index    string         `json:"index,omitempty" jsonschema_description:"SHA-256 of its index: stands for all of its content."`
	Size     int64          `json:"size,omitempty" jsonschema_description:"Bytes of it in the store."`
	Entries  int64          `json:"entries,omitempty" jsonschema_description:"Files, folders and links in it."`
	Bytes    int64          `json:"bytes,omitempty" jsonschema_description:"Bytes of its files."`
	Outage   float64        `json:"outageSeconds,omitempty" jsonschema_description:"How long the service was not there, in seconds, until it was healthy again; left out: all the time."`
	Parts    *Outage        `json:"outage,omitempty" jsonschema_description:"That, part by part."`
	Passes   int            `json:"passes,omitempty" jsonschema_description:"How often its state was gone through, the last time at rest."`
	Skipped  int64          `json:"skipped,omitempty" jsonschema_description:"FIFOs, sockets and devices, which are not captured."`
	Author   string         `json:"author,omitempty" jsonschema_description:"Fingerprint of the key that signed it; left out: nobody did."`
	Sealed   bool           `json:"encrypted" jsonschema_description:"Whether it is encrypted, by homelab or by restic; with all: whether each that was made is."`
	About    *About         `json:"about,omitempty" jsonschema_description:"What it says of the service."`
	Warnings []string       `json:"warnings" jsonschema_description:"What to know of it."`
	Problem  *build.Problem `json:"problem,omitempty" jsonschema_description:"Why the service could not be put to rest, where the registry tolerates that."`
	All      *AllBundles    `json:"all,omitempty" jsonschema_description:"With all: what came of each service."`
}

// ListRequest asks which bundles there are.
type ListRequest struct {
	Service string `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias of a service. Left out: all."`
	Store   string `json:"store,omitempty" jsonschema:"minLength=1" jsonschema_description:"One of the stores of the registry. Left out: all."`
	Limit   int    `json:"limit,omitempty" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Most bundles to list (default 50), the newest; count is always complete."`
}

// DefaultLimit is how many bundles are listed.
const DefaultLimit = 50

// Listing is which bundles there are.
type Listing struct {
	Count   int          `json:"count" jsonschema_description:"Number of bundles."`
	Bundles []Listed     `json:"bundles" jsonschema_description:"The newest first; at most limit."`
	Stores  []StoreState `json:"stores" jsonschema_description:"Who was asked, by name."`
}

// Listed is a bundle in a store.
type Listed struct {
	ID       string `json:"id" jsonschema_description:"Its id; begins with the time it was made."`
	Service  string `json:"service" jsonschema_description:"Name of the service that it is of."`
	Store    string `json:"store" jsonschema_description:"Where it is."`
	Created  string `json:"created" jsonschema_description:"When it was made, RFC 3339 UTC."`
	Size     int64  `json:"size" jsonschema_description:"Bytes of it."`
	Verified string `json:"verified,omitempty" jsonschema_description:"When this machine last read all of it and found it right, RFC 3339 UTC; left out: never."`
	Author   string `json:"author,omitempty" jsonschema_description:"Fingerprint of the key that signed it, as verified."`
}

// StoreState is whether a store answers.
type StoreState struct {
	Name    string         `json:"name" jsonschema_description:"Its address."`
	Answers bool           `json:"answers" jsonschema_description:"Whether it does."`
	Bundles int            `json:"bundles" jsonschema_description:"Bundles in it, of those that were asked for."`
	Problem *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it does not."`
}

// Code classifies a listing: that of a store which does not answer, when none does.
func (l *Listing) Code() fault.Code {
	var first fault.Code
	for _, s := range l.Stores {
		if s.Answers {
			return ""
		}
		if first == "" {
			first = s.Problem.Code
		}
	}
	return first
}

// VerifyRequest asks whether a bundle is what was written.
type VerifyRequest struct {
	Bundle string `json:"bundle" jsonschema:"minLength=1" jsonschema_description:"Its id, as state_list says it."`
	Store  string `json:"store,omitempty" jsonschema:"minLength=1" jsonschema_description:"Where it is. Left out: wherever it is found."`
	Deep   bool   `json:"deep,omitempty" jsonschema_description:"Read all of it. Left out: only what it says of itself, that it can be opened, and its size."`
}

// VerifyReport is what was found in a bundle.
type VerifyReport struct {
	Bundle  string   `json:"bundle" jsonschema_description:"Its id."`
	Service string   `json:"service" jsonschema_description:"Name of the service that it is of."`
	Store   string   `json:"store" jsonschema_description:"Where it is."`
	Created string   `json:"created" jsonschema_description:"When it was made, RFC 3339 UTC."`
	Size    int64    `json:"size" jsonschema_description:"Bytes of it."`
	Deep    bool     `json:"deep" jsonschema_description:"True when every byte was read, and is right."`
	Index   string   `json:"index,omitempty" jsonschema_description:"SHA-256 of its index, when all was read."`
	Author  string   `json:"author,omitempty" jsonschema_description:"Fingerprint of the key that signed it, when all was read; left out: nobody did."`
	Entries int64    `json:"entries" jsonschema_description:"Files, folders and links in it."`
	Bytes   int64    `json:"bytes" jsonschema_description:"Bytes of its files."`
	Items   []string `json:"items" jsonschema_description:"Volumes and paths in it."`
	About   About    `json:"about" jsonschema_description:"What it says of the service."`
}
