package state

import (
	"slices"
	"time"

	"homelab/internal/build"
	"homelab/internal/fault"
)

// Validate says what does not go together.
func (r *BundleRequest) Validate() error {
	wrong := func(message, hint string) error { return fault.New(fault.InvalidArgument, message, hint) }
	switch {
	case !r.All && r.Service == "":
		return wrong("service is missing", "name a service, or pass all")
	case !r.All && r.Due:
		return wrong("due goes with all", "pass all as well, and no service")
	case r.All && r.Service != "":
		return wrong("service and all were passed", "pass one of them")
	case r.All && r.Host != "":
		return wrong("host and all were passed", "leave out host: each service is captured where it is")
	}
	return nil
}

// AllBundles is what came of each service.
type AllBundles struct {
	Made     int             `json:"made" jsonschema_description:"Number of bundles that were made."`
	NotDue   int             `json:"notDue" jsonschema_description:"Number of services that are not due."`
	Failed   int             `json:"failed" jsonschema_description:"Number of services that it failed for."`
	Services []ServiceBundle `json:"services" jsonschema_description:"Those with state, by name."`
}

// ServiceBundle is what came of one service of all. Its job tells all of it.
type ServiceBundle struct {
	Service  string         `json:"service" jsonschema_description:"Name of the service."`
	Status   BundleStatus   `json:"status" jsonschema:"enum=made,enum=notDue,enum=noStore,enum=failed,enum=pending" jsonschema_description:"made, notDue, noStore (the registry names none), failed (see problem) or pending (not reached)."`
	JobID    string         `json:"jobId,omitempty" jsonschema_description:"Its job: job_get tells all of it."`
	Store    string         `json:"store,omitempty" jsonschema_description:"Where it is kept."`
	Newest   string         `json:"newest,omitempty" jsonschema_description:"With due: when the newest one before was made, RFC 3339 UTC; left out: there is none."`
	Bundle   string         `json:"bundle,omitempty" jsonschema_description:"Id of the one that was made."`
	Size     int64          `json:"size,omitempty" jsonschema_description:"Bytes of it in the store."`
	Outage   float64        `json:"outageSeconds,omitempty" jsonschema_description:"How long the service was not there."`
	Sealed   bool           `json:"encrypted,omitempty" jsonschema_description:"Whether it is encrypted."`
	Warnings []string       `json:"warnings,omitempty" jsonschema_description:"What to know of it."`
	Problem  *build.Problem `json:"problem,omitempty" jsonschema_description:"Why there is none; or, of one that was made, why the service could not be put to rest."`
}

// BundleStatus is what came of a service.
type BundleStatus string

const (
	BundleMade    BundleStatus = "made"
	BundleNotDue  BundleStatus = "notDue"
	BundleNoStore BundleStatus = "noStore"
	BundleFailed  BundleStatus = "failed"
	BundlePending BundleStatus = "pending"
)

// Tell says what a bundle is that was made of the service.
func (s *ServiceBundle) Tell(r *BundleReport) {
	s.Status, s.Bundle, s.Size, s.Outage, s.Sealed, s.Problem = BundleMade, r.Bundle, r.Size, r.Outage, r.Sealed, r.Problem
	s.Warnings = r.Warnings
}

// Fail says why there is none of the service.
func (s *ServiceBundle) Fail(err error) { s.Status, s.Problem = BundleFailed, build.ProblemOf(err) }

// SumBundles makes a report of what came of each service.
func SumBundles(services []ServiceBundle) *BundleReport {
	all := &AllBundles{Services: services}
	r := &BundleReport{State: "succeeded", Warnings: []string{}, All: all}
	sealed := 0
	for _, s := range services {
		switch s.Status {
		case BundleMade:
			all.Made++
		case BundleNotDue:
			all.NotDue++
		case BundleFailed:
			all.Failed++
			r.State = "failed"
		}
		if s.Sealed {
			sealed++
		}
	}
	r.Sealed = sealed > 0 && sealed == all.Made
	return r
}

// Code classifies a report of all services: that of the first that failed.
func (r *BundleReport) Code() fault.Code {
	switch {
	case r.All == nil:
		return ""
	case r.State == "canceled":
		return fault.Canceled
	}
	if at := slices.IndexFunc(r.All.Services, func(s ServiceBundle) bool { return s.Status == BundleFailed }); at >= 0 {
		return r.All.Services[at].Problem.Code
	}
	return ""
}

// defaultEvery is how often a bundle is due when the registry does not say.
const defaultEvery = 24 * time.Hour

// Due says whether another bundle is due, and when the newest one was made. A tenth of
// the interval is not waited for: a timer comes now sooner, now later, and what it made
// the last time took its time. A bundle from the future tells of a wrong clock, and
// of nothing else.
func Due(every string, kept []Kept, now time.Time) (newest time.Time, due bool) {
	for _, k := range kept {
		if k.Created.After(newest) && !k.Created.After(now) {
			newest = k.Created
		}
	}
	interval, err := time.ParseDuration(every)
	if err != nil {
		interval = defaultEvery
	}
	return newest, now.Sub(newest) >= interval-interval/10
}
