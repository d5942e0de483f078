package state

import (
	"encoding/json"
	"fmt"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/internal/quiesce"
	"homelab/registry"
)

// About is what a bundle says of the service that it is of: the manifest's "about".
type About struct {
	Service     string            `json:"service" jsonschema_description:"Name of the service."`
	Host        string            `json:"host" jsonschema_description:"Name of the host that it was on."`
	Container   string            `json:"container,omitempty" jsonschema_description:"Name of its container; left out: it had none."`
	Generation  int               `json:"generation,omitempty" jsonschema_description:"Generation of that."`
	Revision    string            `json:"revision,omitempty" jsonschema_description:"Commit that it was built from."`
	WorkTree    string            `json:"workTree,omitempty" jsonschema_description:"dirty when it was built from edits on top of that."`
	Out         string            `json:"out,omitempty" jsonschema_description:"Store path of its artifact."`
	Image       string            `json:"image,omitempty" jsonschema_description:"ID of its image on that host."`
	Spec        string            `json:"spec,omitempty" jsonschema_description:"Hash of its settings."`
	Consistency quiesce.Kind      `json:"consistency" jsonschema:"enum=stop,enum=pause,enum=snapshot,enum=exec,enum=http,enum=dump,enum=none" jsonschema_description:"How it was at rest meanwhile: stop (it did not run), pause (it stood still: as after a power failure), snapshot (the same, until what had changed was cloned), exec or http (it was asked to be), dump (what it dumped is), none (it was not)."`
	Unsettled   int64             `json:"changing,omitempty" jsonschema_description:"Entries that changed while they were copied: they may be as they were at no time."`
	Skipped     int64             `json:"skipped,omitempty" jsonschema_description:"FIFOs, sockets and devices of its state: they are not in it."`
	Noted       []string          `json:"noted,omitempty" jsonschema_description:"The first of them, with the name of the item before it and the type behind."`
	Left        []string          `json:"left" jsonschema_description:"Items of its state that are not in it: recomputable ones, and secret ones unless it is encrypted."`
	Reauth      []registry.Reauth `json:"reauth" jsonschema_description:"Credentials that need a person when it is restored."`
	Backup      string            `json:"backup,omitempty" jsonschema_description:"For people who make a bundle."`
	Restore     string            `json:"restore,omitempty" jsonschema_description:"For people who restore it."`
}

// NewAbout is what a bundle of a capture says.
func NewAbout(service, host string, s *registry.State, c *deploy.Container, capture *Capture, left []registry.StateItem) About {
	a := About{
		Service: service, Host: host, Consistency: capture.Level, Unsettled: capture.Unsettled, Skipped: capture.Skipped,
		Left: []string{}, Reauth: append([]registry.Reauth{}, s.Reauth...), Backup: s.Backup, Restore: s.Restore,
	}
	for _, noted := range capture.Noted {
		const most = 300 // bytes of a name: there is no end to what they may have
		a.Noted = append(a.Noted, fmt.Sprintf("%.*s (%s)", most, noted.Path, noted.Type))
	}
	for _, item := range left {
		a.Left = append(a.Left, item.Name())
	}
	if c == nil {
		return a
	}
	a.Container, a.Generation, a.Image = c.Name, c.Generation(), c.ImageID
	a.Revision, a.Out, a.Spec = c.Labels[deploy.LabelRevision], c.Labels[deploy.LabelOut], c.Labels[deploy.LabelSpec]
	if c.Labels[deploy.LabelState] == "dirty" {
		a.WorkTree = "dirty"
	}
	return a
}

// AboutOf is what a bundle says of its service. One that is of another service is
// [fault.BundleIncompatible].
func AboutOf(m *bundle.Manifest, service string) (About, error) {
	var a About
	if err := json.Unmarshal(m.About, &a); err != nil || a.Service == "" {
		return a, fault.Newf(fault.BundleIncompatible, "see what it is: its manifest.json", "bundle %s does not say which service it is of", m.ID)
	}
	if service != "" && a.Service != service {
		return a, fault.Newf(fault.BundleIncompatible, "name a bundle of "+service+": state_list", "bundle %s is of %s, not of %s", m.ID, a.Service, service)
	}
	return a, nil
}
