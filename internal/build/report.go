// Package build turns a plan into images: it evaluates the targets, has Nix
// build what is not there, and says of each service what came of it.
package build

import (
	"slices"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/image"
	"homelab/internal/plan"
)

// Report is what came of a build.
type Report struct {
	JobID    string         `json:"jobId,omitempty" jsonschema_description:"Job that does it or did: see job_get. None when there was nothing to build."`
	State    string         `json:"state" jsonschema:"enum=running,enum=succeeded,enum=failed,enum=canceled" jsonschema_description:"running (in the background: see job_get), succeeded, failed (some services at least) or canceled."`
	PlanID   string         `json:"planId" jsonschema_description:"The plan that was carried out."`
	Head     plan.Side      `json:"head" jsonschema_description:"What it was built from."`
	DryRun   bool           `json:"dryRun" jsonschema_description:"True when nothing was built."`
	Counts   Counts         `json:"counts" jsonschema_description:"Number of services by status."`
	Services []Outcome      `json:"services" jsonschema_description:"What came of each service, by name: at most 100, failures before others."`
	More     int            `json:"more,omitempty" jsonschema_description:"Services that are left out of the list: name them to see them."`
	Warnings []plan.Warning `json:"warnings" jsonschema_description:"What to know before trusting the answer."`
}

// Status is what came of one service.
type Status string

const (
	Built   Status = "built"   // by its builder
	Fetched Status = "fetched" // taken from a binary cache
	Cached  Status = "cached"  // it was in the store already
	Failed  Status = "failed"  // see problem
	Skipped Status = "skipped" // not reached, because of another failure or a cancel
	Pending Status = "pending" // a dry run: to be built or fetched
)

// Counts has the number of services by status.
type Counts struct {
	Total   int `json:"total" jsonschema_description:"Services to build."`
	Built   int `json:"built" jsonschema_description:"Built now."`
	Fetched int `json:"fetched" jsonschema_description:"Taken from a binary cache."`
	Cached  int `json:"cached" jsonschema_description:"In the store already."`
	Failed  int `json:"failed" jsonschema_description:"Failed: see problem."`
	Skipped int `json:"skipped" jsonschema_description:"Not reached."`
	Pending int `json:"pending" jsonschema_description:"Of a dry run: to be built or fetched."`
}

// Outcome is what came of one service.
type Outcome struct {
	Name     string      `json:"name" jsonschema_description:"Name of the service."`
	Status   Status      `json:"status" jsonschema:"enum=built,enum=fetched,enum=cached,enum=failed,enum=skipped,enum=pending" jsonschema_description:"built, fetched (from a binary cache), cached (in the store already), failed (see problem), skipped (not reached) or pending (of a dry run)."`
	Target   plan.Target `json:"target" jsonschema_description:"What was built."`
	Drv      string      `json:"drv,omitempty" jsonschema_description:"Store path of the derivation."`
	Out      string      `json:"out,omitempty" jsonschema_description:"Store path of the artifact."`
	Artifact *Artifact   `json:"artifact,omitempty" jsonschema_description:"The image in it."`
	Edits    string      `json:"edits,omitempty" jsonschema_description:"Fingerprint of what was not committed and touched it; left out when all was."`
	Seconds  float64     `json:"seconds,omitempty" jsonschema_description:"How long building or fetching took."`
	Root     string      `json:"root,omitempty" jsonschema_description:"Link that keeps the artifact from garbage collection."`
	Log      string      `json:"log,omitempty" jsonschema_description:"File with all that its builders printed."`
	Problem  *Problem    `json:"problem,omitempty" jsonschema_description:"Why it failed or was skipped."`
}

// Artifact is an image in the store.
type Artifact struct {
	Kind         image.Kind        `json:"kind" jsonschema:"enum=docker-archive,enum=oci-archive,enum=stream,enum=nix2container" jsonschema_description:"docker-archive, oci-archive, stream (a script that writes a docker-archive) or nix2container (JSON that an image is assembled from)."`
	Compression  image.Compression `json:"compression,omitempty" jsonschema:"enum=gzip,enum=zstd" jsonschema_description:"What the archive is compressed with."`
	Name         string            `json:"name,omitempty" jsonschema_description:"Repository name of the image, without the tag."`
	Tag          string            `json:"tag,omitempty" jsonschema_description:"Tag of the image."`
	Digest       string            `json:"digest,omitempty" jsonschema_description:"Digest of the image's config: its ID in a Docker engine with a graph driver. Empty for stream."`
	Architecture string            `json:"architecture,omitempty" jsonschema_description:"As the image says it, such as amd64."`
	OS           string            `json:"os,omitempty" jsonschema_description:"As the image says it, such as linux."`
	Layers       int               `json:"layers" jsonschema_description:"Number of layers; 0 where it is not known."`
	Size         int64             `json:"size" jsonschema_description:"Size of the file in bytes."`
	NarHash      string            `json:"narHash" jsonschema_description:"Hash of the store path, as Nix writes it (SRI)."`
	NarSize      int64             `json:"narSize" jsonschema_description:"Size of the store path in bytes."`
}

// Problem is a failure of one service.
type Problem struct {
	Code    fault.Code `json:"code" jsonschema_description:"Class of the failure."`
	Kind    string     `json:"kind,omitempty" jsonschema_description:"What kind of failure of a build it is, such as builderFailed, platformMismatch or hashMismatch."`
	Message string     `json:"message" jsonschema_description:"What happened."`
	Hint    string     `json:"hint,omitempty" jsonschema_description:"What to do next."`
	Drv     string     `json:"drv,omitempty" jsonschema_description:"Derivation that failed, where it is another one than the service's."`
	Exit    int        `json:"exit,omitempty" jsonschema_description:"Exit status of the builder."`
	Tail    []string   `json:"tail,omitempty" jsonschema_description:"Last lines that the builder printed."`
}

// ProblemOf is an error as an answer tells it.
func ProblemOf(err error) *Problem {
	e := fault.Of(err)
	return &Problem{Code: e.Code, Message: e.Error(), Hint: e.Hint}
}

func (c *Counts) add(s Status) {
	c.Total++
	switch s {
	case Built:
		c.Built++
	case Fetched:
		c.Fetched++
	case Cached:
		c.Cached++
	case Failed:
		c.Failed++
	case Skipped:
		c.Skipped++
	case Pending:
		c.Pending++
	}
}

// Code classifies a report: empty when all went well, else the most telling
// failure.
func (r *Report) Code() fault.Code {
	if r.State == "canceled" {
		return fault.Canceled
	}
	var code fault.Code
	for _, s := range r.Services {
		if s.Status == Failed && (code == "" || s.Problem.Code == fault.BuildFailed) {
			code = s.Problem.Code
		}
	}
	return code
}

// maxOutcomes bounds the list of services in an answer.
const maxOutcomes = 100

// Bounded is the report as it is answered and kept: with the services that matter
// most, where there are many.
func (r *Report) Bounded() *Report {
	if r == nil || len(r.Services) <= maxOutcomes {
		return r
	}
	bounded := *r
	weight := []Status{Failed, Skipped, Pending, Built, Fetched, Cached}
	byWeight := slices.Clone(r.Services)
	slices.SortStableFunc(byWeight, func(a, b Outcome) int { return slices.Index(weight, a.Status) - slices.Index(weight, b.Status) })
	bounded.Services = byWeight[:maxOutcomes]
	slices.SortFunc(bounded.Services, func(a, b Outcome) int { return strings.Compare(a.Name, b.Name) })
	bounded.More = len(r.Services) - maxOutcomes
	return &bounded
}

// maxTails bounds the last lines of all failures together, in bytes. Those of the
// first ones are whole; the logs have the rest.
const maxTails = 64 << 10

func (r *Report) boundTails() {
	room := maxTails
	for _, s := range r.Services {
		if s.Problem == nil || len(s.Problem.Tail) == 0 {
			continue
		}
		tail := s.Problem.Tail
		for first := range tail {
			size := 0
			for _, line := range tail[first:] {
				size += len(line)
			}
			if s.Problem.Tail = tail[first:]; size <= room || first == len(tail)-1 {
				room = max(room-size, 0)
				break
			}
		}
	}
}

// Services are the names of those that an order builds.
func Services(o *plan.Order) []string {
	names := []string{}
	for _, s := range o.Plan.Services {
		if builds(s.Decision) {
			names = append(names, s.Name)
		}
	}
	return names
}

// builds says whether a decision leaves something to build: to deploy again as it
// is leaves nothing.
func builds(d plan.Decision) bool { return d != plan.None && d != plan.Redeploy }

// Started is the report of a build that has begun in the background.
func Started(o *plan.Order, jobID string) *Report {
	return &Report{
		JobID: jobID, State: "running", PlanID: o.Plan.PlanID, Head: o.Plan.Head,
		Counts: Counts{Total: len(Services(o))}, Services: []Outcome{}, Warnings: o.Plan.Warnings,
	}
}
