package state

import (
	"cmp"
	"slices"
	"time"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

// PruneRequest asks for bundles to go that a policy does not keep.
type PruneRequest struct {
	Service string `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias. Left out: all with state.retention."`
	Store   string `json:"store,omitempty" jsonschema:"minLength=1" jsonschema_description:"One of state.stores. Left out: all of the service."`
	Last    int    `json:"last,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"Keep so many of the newest. None of these four: state.retention."`
	Daily   int    `json:"daily,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"So many days, one each."`
	Weekly  int    `json:"weekly,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"So many weeks."`
	Monthly int    `json:"monthly,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"So many months."`
	Confirm string `json:"confirm,omitempty" jsonschema:"minLength=1" jsonschema_description:"previewId, or its first 12 digits. Left out: only preview."`
}

// Policy is what the request says is kept; the zero value: nothing is said.
func (r *PruneRequest) Policy() registry.Retention {
	return registry.Retention{Last: r.Last, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly}
}

// PruneReport is which bundles would go, or have gone.
type PruneReport struct {
	State     string       `json:"state" jsonschema:"enum=preview,enum=succeeded,enum=failed,enum=canceled" jsonschema_description:"preview (nothing was changed), succeeded, failed (something at least is still there) or canceled."`
	PreviewID string       `json:"previewId" jsonschema_description:"Of what would go: pass it as confirm to have it done."`
	JobID     string       `json:"jobId,omitempty" jsonschema_description:"Job that did it: see job_get."`
	Bundles   int          `json:"bundles" jsonschema_description:"Number of bundles that would go, or have gone."`
	Bytes     int64        `json:"bytes" jsonschema_description:"Bytes of them; restic frees what no other bundle has."`
	Stores    []PruneStore `json:"stores" jsonschema_description:"What goes and what stays, by store."`
}

// PruneStore is what goes from a store.
type PruneStore struct {
	Name    string         `json:"name" jsonschema_description:"Its address."`
	Answers bool           `json:"answers" jsonschema_description:"Whether it does."`
	Goes    []PruneBundle  `json:"goes" jsonschema_description:"What goes, the oldest first, at most 100 at a time."`
	More    int            `json:"more,omitempty" jsonschema_description:"What is left for the next call."`
	Kept    int            `json:"kept" jsonschema_description:"Number of bundles that stay."`
	Stays   []PruneBundle  `json:"stays" jsonschema_description:"Those, by service, the newest first; at most 100."`
	Problem *build.Problem `json:"problem,omitempty" jsonschema_description:"Why nothing of it can go."`
}

// PruneBundle is a bundle that goes or stays.
type PruneBundle struct {
	ID      string         `json:"id" jsonschema_description:"Its id; begins with the time it was made."`
	Service string         `json:"service" jsonschema_description:"Name of the service that it is of."`
	Size    int64          `json:"size" jsonschema_description:"Bytes of it."`
	Status  PruneStatus    `json:"status" jsonschema:"enum=keep,enum=pending,enum=removed,enum=failed" jsonschema_description:"keep, pending (of a preview, or not reached), removed or failed (see problem: denied when the store holds it locked)."`
	Why     []string       `json:"why" jsonschema_description:"Why it stays, such as daily, or last verified; empty: it goes."`
	Problem *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it is still there."`
}

// PruneStatus is what came of a bundle.
type PruneStatus string

const (
	PruneKeep    PruneStatus = "keep"
	PrunePending PruneStatus = "pending"
	Pruned       PruneStatus = "removed"
	PruneFailed  PruneStatus = "failed"
)

// maxPruned bounds what goes from a store at a time, and what is listed.
const maxPruned = 100

// Keeping is what has to stay of the bundles of a service.
type Keeping struct {
	Policy registry.Retention
	Now    time.Time
	Zone   *time.Location // days, weeks and months are those of
}

// Add adds the bundles of a service, which go or stay. One of which it cannot be told
// whether it is verified is an error: the last good one could be taken for none.
func (s *PruneStore) Add(kept []Kept, verified func(Kept) (bool, error), k Keeping) error {
	candidates, byID := make([]Candidate, len(kept)), map[string]Kept{}
	for i, one := range kept {
		good, err := verified(one)
		if err != nil {
			return err
		}
		candidates[i], byID[one.ID] = Candidate{ID: one.ID, Created: one.Created, Verified: good}, one
	}
	for _, r := range Retain(k.Policy, candidates, k.Now, k.Zone) {
		b := PruneBundle{ID: r.ID, Service: byID[r.ID].Service, Size: byID[r.ID].Size, Status: PruneKeep, Why: r.Reasons}
		if len(r.Reasons) > 0 {
			s.Stays = append(s.Stays, b)
			continue
		}
		b.Status = PrunePending
		s.Goes = append(s.Goes, b)
	}
	return nil
}

// bound cuts what is listed, and what goes.
func (s *PruneStore) bound() {
	slices.SortFunc(s.Goes, func(a, b PruneBundle) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Service, b.Service)) })
	s.Kept = len(s.Stays)
	s.Stays = s.Stays[:min(s.Kept, maxPruned)]
	if s.More = max(len(s.Goes)-maxPruned, 0); s.More > 0 {
		s.Goes = s.Goes[:maxPruned]
	}
}

// SumPrune makes a report of what is known of each store.
func SumPrune(stores []PruneStore) (*PruneReport, error) {
	r := &PruneReport{State: "preview", Stores: stores}
	type identity struct {
		Store, Service, ID string
		Size               int64
	}
	identities := []identity{}
	for i := range r.Stores {
		s := &r.Stores[i]
		s.bound()
		for _, b := range s.Goes {
			identities = append(identities, identity{s.Name, b.Service, b.ID, b.Size})
		}
	}
	r.count(PrunePending)
	var err error
	r.PreviewID, err = deploy.PreviewID(struct {
		Format int
		Tool   string
		Goes   []identity
	}{1, "state_prune", identities})
	return r, err
}

// count counts the bundles of a status.
func (r *PruneReport) count(status PruneStatus) {
	r.Bundles, r.Bytes = 0, 0
	for _, s := range r.Stores {
		for _, b := range s.Goes {
			if b.Status == status {
				r.Bundles++
				r.Bytes += b.Size
			}
		}
	}
}

// Settle says what came of everything that was to go.
func (r *PruneReport) Settle() {
	r.count(Pruned)
	r.State = "succeeded"
	if r.failed() != nil {
		r.State = "failed"
	}
}

// failed is the first bundle that is still there.
func (r *PruneReport) failed() *PruneBundle {
	for _, s := range r.Stores {
		if at := slices.IndexFunc(s.Goes, func(b PruneBundle) bool { return b.Status == PruneFailed }); at >= 0 {
			return &s.Goes[at]
		}
	}
	return nil
}

// Services are those that something goes of.
func (r *PruneReport) Services() []string {
	names := []string{}
	for _, s := range r.Stores {
		for _, b := range s.Goes {
			names = append(names, b.Service)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Code classifies a report: empty when all went that was to go, and for a preview
// when some store answers.
func (r *PruneReport) Code() fault.Code {
	if r.State == "canceled" {
		return fault.Canceled
	}
	if b := r.failed(); b != nil {
		return b.Problem.Code
	}
	if slices.ContainsFunc(r.Stores, func(s PruneStore) bool { return s.Problem == nil }) || len(r.Stores) == 0 {
		return ""
	}
	return r.Stores[0].Problem.Code
}

// Unconfirmed is the previewId of a preview that has something to do.
func (r *PruneReport) Unconfirmed() string {
	if r.State != "preview" || r.Bundles == 0 {
		return ""
	}
	return r.PreviewID
}
