package state

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

// drillVolume is a volume of a drill.
type drillVolume struct {
	name string
	of   string // what it stands for
	tree string // what it is filled with, in the copies; empty: with nothing
}

// Where extracted items are in the copies, laid out as they are on a host: a mount
// then finds what of them is in it.
const (
	drilledVolumes = "volumes"
	drilledPaths   = "paths"
	drilledFiles   = "files"
)

// placeOf is where an item, or what is mounted, is among the copies.
func placeOf(volume, source string) string {
	if volume != "" {
		return path.Join(drilledVolumes, volume)
	}
	return path.Join(drilledPaths, source)
}

// place lays the items out: an outer one before those that are in it.
func (t *drilling) place() error {
	order := make([]int, len(t.Items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(t.Items[a].Name, t.Items[b].Name) })
	for _, i := range order {
		item := t.Items[i]
		at, err := placeOfItem(item)
		if err != nil {
			return err
		}
		if there, err := t.isThere(at); there != nil || err != nil {
			return misplaced(item, err)
		}
		if err := t.Copies.MkdirAll(path.Dir(at), 0o755); err != nil {
			return misplaced(item, err)
		}
		if err := t.Copies.Rename(strconv.Itoa(i), at); err != nil {
			return misplaced(item, err)
		}
		if slices.ContainsFunc(t.Spec.Mounts, func(m deploy.Mount) bool { return shows(m, item) }) {
			t.done.Tried = append(t.done.Tried, item.Name)
		} else {
			t.warn("%s is verified, and was not tried: %s does not mount it", item.Name, t.Spec.Service)
		}
	}
	return nil
}

// placeOfItem is where an item goes, whoever wrote what it is called.
func placeOfItem(item bundle.Item) (string, error) {
	switch name := item.Name; {
	case item.Kind == "volume" && name != "" && name[0] != '.' && !strings.Contains(name, "/"):
		return placeOf(name, ""), nil
	case item.Kind == "path" && path.IsAbs(name) && path.Clean(name) == name && name != "/":
		return placeOf("", name), nil
	}
	return "", fault.Newf(fault.BundleIncompatible, "use another bundle", "the bundle has an item that is neither a volume nor a path: %.200q", item.Name)
}

func misplaced(item bundle.Item, err error) error {
	if err == nil {
		return fault.Newf(fault.BundleIncompatible, "use another bundle", "%.200q is in the way of itself in the bundle", item.Name)
	}
	return fault.Newf(fault.Precondition, "use another bundle, or check the disk of the drill", "%.200q cannot be laid out: %w", item.Name, err)
}

// shows says whether a mount has something of an item.
func shows(m deploy.Mount, item bundle.Item) bool {
	if item.Kind == "volume" {
		return m.Volume == item.Name
	}
	return m.Source != "" && (within(m.Source, item.Name) || within(item.Name, m.Source))
}

func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, strings.TrimSuffix(folder, "/")+"/")
}

// isolate makes the spec of the copy, from nothing: what is not taken over here the
// copy has not.
func (t *drilling) isolate() error {
	s := t.Spec
	t.copy = deploy.Copy{Drill: t.ID, Spec: deploy.Spec{
		Service: s.Service, Container: deploy.DrillName(t.ID), Image: s.Image, Env: s.Env, EnvFiles: s.EnvFiles,
		Networks: []string{deploy.DrillName(t.ID)}, Restart: "no", StopGrace: s.StopGrace, Limits: s.Limits,
		LogSize: s.LogSize, LogFiles: s.LogFiles, MountRule: t.rule(),
		Security: deploy.Security{NewPrivileges: s.Security.NewPrivileges, Sysctls: s.Security.Sysctls},
	}}
	t.drop()
	if len(s.EnvFiles) > 0 {
		t.warn("the copy was given the secrets of the env files of %s", s.Service)
	}
	made := map[string]drillVolume{}
	for _, m := range s.Mounts {
		at := placeOf(m.Volume, m.Source)
		there, err := t.isThere(at)
		if err != nil {
			return err
		}
		of := m.Volume + m.Source
		if there == nil && m.Source != "" && t.withheld(m) {
			t.warn("the copy was not given %s of the host", of)
			continue
		}
		if there == nil && m.Source != "" && m.ReadOnly {
			t.copy.Spec.Mounts = append(t.copy.Spec.Mounts, m)
			continue
		}
		v, known := made[at]
		if !known {
			v = drillVolume{name: deploy.DrillVolume(t.ID, strconv.Itoa(len(t.volumes))), of: of}
			switch {
			case there == nil:
				t.warn("%s was empty in the copy: the bundle does not have it", of)
			case there.IsDir():
				if v.tree = at; !slices.ContainsFunc(t.Items, func(item bundle.Item) bool { return m.Volume != "" || within(m.Source, item.Name) }) {
					t.warn("of %s the copy had only what the bundle has", of)
				}
			case there.Mode().IsRegular():
				if v.tree, err = t.alone(at, len(t.volumes)); err != nil {
					return err
				}
			default:
				return fault.Newf(fault.Precondition, "use another bundle", "%s is neither a folder nor a file in the bundle, and is mounted", of)
			}
			if v.tree != "" || m.Source != "" {
				t.copy.Bare = append(t.copy.Bare, v.name)
			}
			made[at], t.volumes = v, append(t.volumes, v)
		}
		mount := deploy.Mount{Volume: v.name, Target: m.Target, ReadOnly: m.ReadOnly}
		if there != nil && !there.IsDir() {
			t.copy.Files = append(t.copy.Files, mount)
		} else {
			t.copy.Spec.Mounts = append(t.copy.Spec.Mounts, mount)
		}
	}
	return t.copy.Isolated()
}

// alone puts a file that is mounted by itself into a folder of its own.
func (t *drilling) alone(at string, n int) (folder string, err error) {
	folder = path.Join(drilledFiles, strconv.Itoa(n))
	if err := t.Copies.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	return folder, t.Copies.Link(at, path.Join(folder, deploy.FileInVolume))
}

// rule is that for the paths that the copy reads: what the service may do beyond it the
// copy may not.
func (t *drilling) rule() registry.MountRule {
	rule := t.Spec.MountRule
	rule.Privileged, rule.DockerSocket = false, false
	return rule
}

// drilledNever are folders whose sockets and pipes lead to programs of the host: that
// they can only be read keeps nobody from talking to them.
var drilledNever = []string{"/run", "/var/run", "/tmp", "/var/tmp"}

// withheld says whether a path of the host is none for a copy, not even to read.
func (t *drilling) withheld(m deploy.Mount) bool {
	if slices.ContainsFunc(drilledNever, func(folder string) bool { return within(m.Source, folder) || within(folder, m.Source) }) {
		return true
	}
	return len(t.rule().Problems("", registry.Mount{Source: m.Source, Target: m.Target, ReadOnly: true})) > 0
}

// drop leaves out what the service may do beyond its own files.
func (t *drilling) drop() {
	x := t.Spec.Security
	for _, dropped := range []struct {
		is   bool
		what string
	}{
		{x.Privileged, "privileges"}, {x.Unconfined, "seccomp and AppArmor switched off"}, {x.HostNetwork, "the network of the host"},
		{x.HostPID, "the processes of the host"}, {x.HostIPC, "the IPC of the host"},
	} {
		if dropped.is {
			t.warn("the copy ran without %s", dropped.what)
		}
	}
	for _, device := range x.Devices {
		t.warn("the copy ran without the device %s", device)
	}
	for _, name := range x.Capabilities {
		if slices.Contains(deploy.DrillCapabilities, name) {
			t.copy.Spec.Security.Capabilities = append(t.copy.Spec.Security.Capabilities, name)
		} else {
			t.warn("the copy ran without the capability %s", name)
		}
	}
}
