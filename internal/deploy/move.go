package deploy

import (
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"homelab/internal/fault"
)

// Patient bounds calls of an engine in time: what talks to a container or sends an image
// is bounded by who asks for it.
func Patient(e Containers) Containers { return patient{e} }

// LabelsOf are the labels of a container that is made for a target, by the switch or
// migration with that token.
func LabelsOf(t Target, generation int, token string) (map[string]string, error) {
	gate, err := json.Marshal(t.Gate)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{
		LabelService: t.Spec.Service, LabelGeneration: strconv.Itoa(generation), LabelSpec: t.Spec.Hash(),
		LabelSwitch: token, LabelGate: string(gate),
	}
	maps.Copy(labels, t.Labels)
	return labels, nil
}

// Newest is the highest generation of a service among all of ours on a host.
func Newest(all []Container, service string) int {
	newest := 0
	for i := range all {
		if c := &all[i]; c.Labels[LabelService] == service {
			newest = max(newest, c.Generation())
		}
	}
	return newest
}

// KeptAs is what a container of a service is called while another one is current.
func KeptAs(container string, generation int) string { return kept(container, generation) }

// movedTo is in the names of containers whose service was moved to another host.
const movedTo = "-moved-to-"

// MovedAs is what a container is called whose service was moved to a host: engines
// cannot change labels.
func MovedAs(container string, generation int, host string) string {
	return kept(container, generation) + movedTo + host
}

// IsMoved says whether a container has the name of one whose service was moved away.
func (c *Container) IsMoved() bool { return strings.Contains(c.Name, movedTo) }

// Rename gives a container a name; when something else has that, with its ID besides.
func Rename(ctx context.Context, e Containers, c *Container, name string) error {
	other, err := e.Container(ctx, name)
	if err != nil {
		return err
	}
	if other != nil && other.ID != c.ID {
		name += "-" + c.ID[:min(len(c.ID), 12)]
	}
	if c.Name == name {
		return nil
	}
	return e.Rename(ctx, c.ID, name)
}

// SetPolicy gives a container a restart policy: see [Runner].
func SetPolicy(ctx context.Context, e Containers, id, policy string) error {
	return (&Runner{Engine: e}).policy(ctx, id, policy)
}

// NotMoved fails when the last that ran of a service on a host has the name of one that was
// moved away, and nothing is current: the record of the move may be that of another
// machine, or of another name of the host.
func NotMoved(host, service string, current *Container, others []Container) error {
	var last *Container
	for i := range others {
		if c := &others[i]; !c.Started.IsZero() && (last == nil || c.Started.After(last.Started)) {
			last = c
		}
	}
	if current != nil || last == nil || !last.IsMoved() {
		return nil
	}
	_, to, _ := strings.Cut(last.Name, movedTo)
	return fault.Newf(fault.Precondition, "set services."+service+".deploy.host to the host that it is on; or, to begin there with the state of then: docker rm "+last.Name+", on that host",
		"container %s of host %s says that %s was moved to %s", last.Name, host, service, to)
}
