package deploy

import (
	"context"
	"slices"
	"strings"

	"homelab/internal/fault"
)

// LabelDrill is on everything that is made for a drill, and has its id. What has it
// has no [LabelService]: it is no version of a service, and in no status.
const LabelDrill = "homelab.drill"

// FileInVolume is what a [Copy] calls the file that a volume is for.
const FileInVolume = "file"

// Drills is the engine of one host, as far as isolated copies of services go. What
// [Containers] does with one container by its ID it does with a copy, too.
type Drills interface {
	Containers

	// Isolate makes the network of a drill, [DrillName]. It leads nowhere: the host
	// reaches what is in it, and nothing else does.
	Isolate(ctx context.Context, drill string) error
	// Fresh makes an empty volume for a drill, and tells where the host has its files.
	// The name is one of [DrillVolume].
	Fresh(ctx context.Context, drill, name string) (place string, err error)
	// Copy makes a container for a drill, called [DrillName], and does not start it. A
	// copy that could touch anything else is [fault.Denied]: see [Copy.Isolated].
	Copy(ctx context.Context, c Copy) (id string, err error)
	// Clear removes all that was made for a drill, whatever it does, with what is in it;
	// when nothing is there it does nothing. What stays is named.
	Clear(ctx context.Context, drill string) error
}

// DrillName is what the container and the network of a drill are called.
func DrillName(drill string) string { return "homelab-" + drill }

// DrillVolume is what a volume of a drill is called.
func DrillVolume(drill, which string) string { return DrillName(drill) + "-" + which }

// Copy is an isolated copy of a service, for a drill.
type Copy struct {
	Drill string
	// Spec is its container. Its volumes are those of the drill; paths of the host can
	// only be read, and without what is mounted in them.
	Spec Spec
	// Bare are volumes that get nothing of the image, empty as they may be.
	Bare []string
	// Files are volumes of the drill of which only [FileInVolume] is mounted.
	Files []Mount
}

// Isolated fails with [fault.Denied] when a copy has more than its own volumes, its own
// network and what it may read: everything that could reach the service that it is a
// copy of, or anything else.
func (c Copy) Isolated() error {
	s, x := c.Spec, c.Spec.Security
	own := func(volume string) bool { return strings.HasPrefix(volume, DrillVolume(c.Drill, "")) }
	for _, is := range []struct {
		so   bool
		what string
	}{
		{c.Drill == "", "no drill"},
		{s.Restart != "no", "a restart policy"},
		{len(s.Ports) > 0, "published ports"},
		{len(s.Labels) > 0, "labels of the service"},
		{!slices.Equal(s.Networks, []string{DrillName(c.Drill)}), "another network"},
		{x.Privileged || x.Unconfined || x.HostNetwork || x.HostPID || x.HostIPC || len(x.Devices) > 0, "something of the host"},
		{slices.ContainsFunc(x.Capabilities, func(name string) bool { return !slices.Contains(DrillCapabilities, name) }), "capabilities beyond itself"},
		{slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Volume != "" && (m.Source != "" || !own(m.Volume)) }), "a volume that is not its own"},
		{slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Volume == "" && !m.ReadOnly }), "a path that it may write"},
		{slices.ContainsFunc(c.Files, func(m Mount) bool { return m.Source != "" || !own(m.Volume) }), "a file that is not its own"},
	} {
		if is.so {
			return fault.Newf(fault.Denied, "this is a defect of homelab: please report it", "the copy of %s for a drill has %s", s.Service, is.what)
		}
	}
	return nil
}

// DrillCapabilities are those that a copy keeps of its service: what they allow ends
// where the container does.
var DrillCapabilities = slices.Concat(DefaultCapabilities, []string{"AUDIT_WRITE", "FSETID", "IPC_LOCK", "SETFCAP", "SETPCAP", "SYS_CHROOT", "SYS_NICE"})
