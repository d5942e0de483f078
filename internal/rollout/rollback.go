package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/plan"
	"homelab/registry"
)

// RollbackRequest asks for an earlier generation of a service to run again.
type RollbackRequest struct {
	Service    string `json:"service" jsonschema:"minLength=1" jsonschema_description:"Name or alias."`
	Generation int    `json:"generation,omitempty" jsonschema:"minimum=1" jsonschema_description:"Left out: the newest kept one below the current."`
	Host       string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Left out: that of the service."`
	Confirm    string `json:"confirm,omitempty" jsonschema:"minLength=1" jsonschema_description:"previewId, or its first 12 digits. Left out: only preview."`
}

// Standing is a service as its host has it.
type Standing struct {
	Name    string
	Service registry.Service
	Host    string
	At      registry.Host
	Current *deploy.Container  // nil: none
	Kept    []deploy.Container // the others, the newest generation first
}

// Back says what would happen if a generation ran again; 0 is the newest below the
// current one. [fault.NotFound] when it is not there any more.
func (s Standing) Back(generation int) (*Report, error) {
	spec, err := deploy.NewSpec(s.Name, s.Service, s.At, "")
	if err != nil {
		return nil, err
	}
	to, err := s.target(generation)
	if err != nil {
		return nil, err
	}
	service := Service{
		Name: s.Name, Host: s.Host, Action: Rollback, Status: Pending, Downtime: NoDowntime,
		From: versionOf(s.Current), To: versionOf(to),
	}
	if s.Current != nil && to.ID == s.Current.ID {
		service.Action = Nothing
	} else {
		service.Config = s.config(spec, to)
		service.Impact = Wanted{Service: s.Service, There: s.Current}.impact(to.Spec)
		if service.From != nil && service.From.Running {
			service.Downtime = Restart
		}
	}
	report := &Report{
		State: Previewed, Services: []Service{service}, Warnings: append(service.newerData(), s.olderState(to)...),
		Head: plan.Side{Commit: service.To.Revision, State: plan.StateCommit, Why: fmt.Sprintf("generation %d", service.To.Generation)},
	}
	if service.To.WorkTree != "" {
		report.Head.State = plan.StateDirty
	}
	report.Counts.add(service.Action)
	report.PreviewID, err = deploy.PreviewID(struct {
		Format   int
		Tool     Action
		From, To string
		Service  Service
	}{1, Rollback, deploy.IDOf(s.Current), to.ID, service})
	return report, err
}

// target is the container that is to run again.
func (s Standing) target(generation int) (*deploy.Container, error) {
	if generation != 0 {
		c, err := s.Of(generation)
		if err == nil && c == s.Current && c.State != deploy.Running {
			err = fault.Newf(fault.Precondition, "start it: homelab deploy "+s.Name, "generation %d of %s is the current one, and does not run", generation, s.Name)
		}
		return c, err
	}
	for i := range s.Kept {
		if c := &s.Kept[i]; s.Current == nil || c.Generation() < s.Current.Generation() {
			return c, nil
		}
	}
	return nil, fault.Newf(fault.NotFound, s.choice(), "%s has no earlier generation on host %s", s.Name, s.Host)
}

// Of is the container of a generation, or the current one for 0. [fault.NotFound] when
// there is none.
func (s Standing) Of(generation int) (*deploy.Container, error) {
	if c := s.Current; c != nil && (generation == 0 || c.Generation() == generation) {
		return c, nil
	}
	if generation == 0 {
		return nil, fault.Newf(fault.NotFound, s.choice(), "nothing of %s is current on host %s", s.Name, s.Host)
	}
	for i := range s.Kept {
		if c := &s.Kept[i]; c.Generation() == generation {
			return c, nil
		}
	}
	return nil, fault.Newf(fault.NotFound, s.choice(), "%s has no generation %d on host %s", s.Name, generation, s.Host)
}

// choice says which generations there are.
func (s Standing) choice() string {
	kept := []string{}
	for i := range s.Kept {
		kept = append(kept, strconv.Itoa(s.Kept[i].Generation()))
	}
	if len(kept) == 0 {
		return "none is kept; see homelab status " + s.Name
	}
	return "kept: " + strings.Join(kept, ", ")
}

// config are the settings that change from the container that is there to an earlier
// one, the image apart. It gets the restart policy of the registry.
func (s Standing) config(spec deploy.Spec, to *deploy.Container) []deploy.Difference {
	if s.Current == nil {
		return nil
	}
	want, is := named(to.Spec), named(s.Current.Spec)
	want.Image, want.Restart = is.Image, spec.Restart
	differences := want.Differences(is, true)
	if s.Current.Name != spec.Container {
		differences = append(differences, deploy.Difference{Field: "container", Want: spec.Container, Is: s.Current.Name})
	}
	return differences
}

// named is a spec without the volumes that an image asks for by itself: each
// container has its own.
func named(s deploy.Spec) deploy.Spec {
	s.Mounts = slices.DeleteFunc(slices.Clone(s.Mounts), deploy.Mount.Anonymous)
	return s
}

// newerData warns of data that a newer version has written.
func (s Service) newerData() []plan.Warning {
	items := []string{}
	for _, i := range s.Impact {
		if i.Effect == Kept && i.Class != "recomputable" {
			items = append(items, i.Item)
		}
	}
	if len(items) == 0 || s.From == nil || s.From.Generation < s.To.Generation {
		return []plan.Warning{}
	}
	return []plan.Warning{{
		Code: "newerData", Message: fmt.Sprintf("data stays as generation %d left it: %s", s.From.Generation, strings.Join(items[:min(len(items), 10)], ", ")),
		Hint: "make sure that the earlier version can read it",
	}}
}
