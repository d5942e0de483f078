package deploy

import (
	"slices"
	"strings"

	"homelab/internal/build"
	"homelab/internal/fault"
)

// PruneRequest asks for what is ours and not needed any more to go.
type PruneRequest struct {
	Service string `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias. Left out: all."`
	Host    string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: that of the service, or all."`
	Confirm string `json:"confirm,omitempty" jsonschema:"minLength=1" jsonschema_description:"previewId, or its first 12 digits. Left out: only preview."`
}

// PruneReport is what would go, or has gone.
type PruneReport struct {
	State      string      `json:"state" jsonschema:"enum=preview,enum=succeeded,enum=failed,enum=canceled" jsonschema_description:"preview (nothing was changed), succeeded, failed (something at least is still there) or canceled."`
	PreviewID  string      `json:"previewId" jsonschema_description:"Of what would go: pass it as confirm to have it done."`
	JobID      string      `json:"jobId,omitempty" jsonschema_description:"Job that did it: see job_get."`
	Containers int         `json:"containers" jsonschema_description:"Number of containers that would go, or have gone."`
	Images     int         `json:"images" jsonschema_description:"Number of images."`
	Bytes      int64       `json:"bytes" jsonschema_description:"Size of the images: as much disk at most, since layers that other images have stay."`
	Hosts      []PruneHost `json:"hosts" jsonschema_description:"What goes, by host."`
}

// PruneHost is what goes on one host.
type PruneHost struct {
	Name    string         `json:"name" jsonschema_description:"Name of the host."`
	Answers bool           `json:"answers" jsonschema_description:"Whether its engine answers."`
	SameAs  string         `json:"sameAs,omitempty" jsonschema_description:"Host with the same engine: see there."`
	Items   []PruneItem    `json:"items" jsonschema_description:"What goes, at most 100 at a time."`
	More    int            `json:"more,omitempty" jsonschema_description:"What is left for the next call."`
	Orphans []PruneItem    `json:"orphans" jsonschema_description:"What the registry knows no service for: it stays. At most 100."`
	Busy    []string       `json:"busy,omitempty" jsonschema_description:"Services that are left alone: a switch of them was broken off. See deploy_repair."`
	Problem *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it does not answer."`
}

// PruneItem is a container or an image of ours.
type PruneItem struct {
	Kind       PruneKind      `json:"kind" jsonschema:"enum=container,enum=image" jsonschema_description:"container (an old generation) or image."`
	Service    string         `json:"service,omitempty" jsonschema_description:"Service that it is of."`
	Names      []string       `json:"names" jsonschema_description:"Its name, or names."`
	ID         string         `json:"id" jsonschema_description:"Its ID."`
	Generation int            `json:"generation,omitempty" jsonschema_description:"Of a container."`
	Bytes      int64          `json:"bytes,omitempty" jsonschema_description:"Of an image, with layers that others have too."`
	Status     PruneStatus    `json:"status" jsonschema:"enum=pending,enum=removed,enum=inUse,enum=failed,enum=orphan" jsonschema_description:"pending (of a preview, or not reached), removed, inUse (it stays), failed (see problem) or orphan."`
	Why        string         `json:"why,omitempty" jsonschema_description:"Of an orphan: why it stays, and how to remove it."`
	Problem    *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it is still there."`
}

// PruneKind is what an item is.
type PruneKind string

const (
	OldContainer PruneKind = "container"
	OldImage     PruneKind = "image"
)

// PruneStatus is what came of an item.
type PruneStatus string

const (
	PrunePending PruneStatus = "pending"
	Pruned       PruneStatus = "removed"
	PruneInUse   PruneStatus = "inUse"
	PruneFailed  PruneStatus = "failed"
	PruneOrphan  PruneStatus = "orphan"
)

// Sum makes a report of what is known of each host.
func Sum(hosts []PruneHost) (*PruneReport, error) {
	r := &PruneReport{State: "preview", Hosts: hosts}
	slices.SortFunc(r.Hosts, func(a, b PruneHost) int { return strings.Compare(a.Name, b.Name) })
	type identity struct {
		Host, ID string
		Names    []string
	}
	identities := []identity{}
	r.count(PrunePending)
	for _, h := range r.Hosts {
		for _, i := range h.Items {
			identities = append(identities, identity{h.Name, i.ID, i.Names})
		}
	}
	var err error
	r.PreviewID, err = PreviewID(struct {
		Format int
		Tool   string
		Goes   []identity
	}{1, "docker_prune", identities})
	return r, err
}

// count counts the items of a status.
func (r *PruneReport) count(status PruneStatus) {
	r.Containers, r.Images, r.Bytes = 0, 0, 0
	for _, h := range r.Hosts {
		for _, i := range h.Items {
			switch {
			case i.Status != status:
			case i.Kind == OldContainer:
				r.Containers++
			default:
				r.Images++
				r.Bytes += i.Bytes
			}
		}
	}
}

// Settle says what came of everything that was to go.
func (r *PruneReport) Settle() {
	r.count(Pruned)
	r.State = "succeeded"
	if r.first(func(i PruneItem) bool { return i.Status == PruneFailed }) != nil {
		r.State = "failed"
	}
}

func (r *PruneReport) first(is func(PruneItem) bool) *PruneItem {
	for _, h := range r.Hosts {
		if at := slices.IndexFunc(h.Items, is); at >= 0 {
			return &h.Items[at]
		}
	}
	return nil
}

// Services are those that something goes of.
func (r *PruneReport) Services() []string {
	names := []string{}
	for _, h := range r.Hosts {
		for _, i := range h.Items {
			names = append(names, i.Service)
		}
	}
	return set(names)
}

// Code classifies a report: empty when all went that was to go, and for a preview
// when some host answers.
func (r *PruneReport) Code() fault.Code {
	if r.State == "canceled" {
		return fault.Canceled
	}
	if i := r.first(func(i PruneItem) bool { return i.Status == PruneFailed }); i != nil {
		return i.Problem.Code
	}
	if slices.ContainsFunc(r.Hosts, func(h PruneHost) bool { return h.Answers }) || len(r.Hosts) == 0 {
		return ""
	}
	return r.Hosts[0].Problem.Code
}

// Unconfirmed is the previewId of a preview that has something to do.
func (r *PruneReport) Unconfirmed() string {
	if r.State != "preview" || r.Containers+r.Images == 0 {
		return ""
	}
	return r.PreviewID
}

// Unreached says of what was not reached why it is still there.
func (h *PruneHost) Unreached(err error) {
	for n := range h.Items {
		if i := &h.Items[n]; i.Status == PrunePending {
			i.Status, i.Problem = PruneFailed, build.ProblemOf(err)
		}
	}
}
