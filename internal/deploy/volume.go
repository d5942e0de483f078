package deploy

import (
	"slices"
	"strconv"
	"strings"

	"homelab/internal/fault"
)

// Volume is a named volume on a host.
type Volume struct {
	Name    string
	Driver  string
	Options map[string]string // type, device and o of the driver local; may have secrets
}

// notOfTheHost are the kinds of mounts that show nothing of the host.
var notOfTheHost = []string{"nfs", "nfs4", "cifs", "smb3", "tmpfs"}

// Safe says whether a service may mount a volume that somebody made by hand. With
// options of its own one of the driver local shows any path or disk of the host, past
// the rules for paths: that is [fault.Denied], whatever the service may do. What is on
// the network, and what has another driver, is the owner's to decide.
func (v Volume) Safe(service string) error {
	if v.Driver != "local" {
		return nil
	}
	kind, device := v.Options["type"], v.Options["device"]
	binds := slices.ContainsFunc(strings.Split(v.Options["o"], ","), func(o string) bool { return o == "bind" || o == "rbind" })
	if !binds && (kind == "" && device == "" || slices.Contains(notOfTheHost, kind)) {
		return nil
	}
	what := "something"
	if device != "" {
		what = strconv.Quote(device)
	}
	if binds {
		kind = "bind"
	}
	return fault.Newf(fault.Denied, "mount the path itself, where its rules hold: deploy.mounts of "+service+"; or use another volume",
		"volume %s of %s is %s of the host, by its options (%s)", v.Name, service, what, kind)
}
