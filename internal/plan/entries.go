package plan

import (
	"encoding/json"

	"homelab/registry"
)

// addRegistry adds the service's own entry, or its host's, when it changed. What
// makes the image touches the service, unless its outputs are compared; what only
// makes its container is a matter of deploying it again.
func (d *verdict) addRegistry(v *view, name string, c *comparison, byOutputs bool) error {
	if c.sameEntries {
		return nil
	}
	// Which file of a flake changed the entry only Nix could tell.
	reason := Reason{Kind: ByRegistry, Path: v.loaded.File, Status: Modified, Hint: "services." + name}
	if c.unreadable != nil {
		d.add(!byOutputs, reason) // all of it counts as changed; whether a part did cannot be told
		return nil
	}
	for _, old := range c.old {
		changed, err := d.compareEntry(v, name, old, reason, byOutputs)
		if changed || err != nil {
			return err
		}
	}
	return nil
}

// compareEntry adds what changed since one older registry.
func (d *verdict) compareEntry(v *view, name string, old *Loaded, reason Reason, byOutputs bool) (changed bool, err error) {
	if old == nil || !hasService(old, name) {
		reason.Status = Added
		d.add(true, reason)
		return true, nil
	}
	was, is := old.Registry.Services[name], v.registry().Services[name]
	image, container, err := compareServices(was, is)
	if err != nil {
		return false, err
	}
	system, engine, err := compareHosts(old.Registry, v.registry(), was, is)
	if err != nil {
		return false, err
	}
	image = image && !byOutputs
	if was.HostOf() != is.HostOf() {
		image, system, engine = image || system, false, false // its own entry says that it moved
	}
	switch {
	case image:
		d.add(true, reason)
	case container:
		d.addConfig(reason)
	}
	reason.Hint = "hosts." + is.HostOf()
	switch {
	case system:
		d.add(true, reason)
	case engine:
		d.addConfig(reason)
	}
	return image || container || system || engine, nil
}

// compareServices says whether an entry changed in what makes its image, and in
// what makes its container.
func compareServices(was, is registry.Service) (image, container bool, err error) {
	sameImage, err := sameJSON(makesImage(was), makesImage(is))
	if err != nil || is.Deploy == nil {
		return !sameImage, false, err
	}
	sameContainer, err := sameJSON(makesContainer(was), makesContainer(is))
	return !sameImage, !sameContainer, err
}

// makesImage is the part of an entry that an image depends on, or by which it is
// found to have changed.
func makesImage(s registry.Service) registry.Service {
	return registry.Service{
		Build: registry.Build{Targets: s.Build.Targets},
		Hints: s.Hints, Exclude: s.Exclude, Inputs: s.Inputs, DependsOn: s.DependsOn,
	}
}

// makesContainer is the part of an entry that a container of the image depends on,
// or what keeps its data. What is left, the description and the aliases, makes
// nothing.
func makesContainer(s registry.Service) registry.Service {
	return registry.Service{Build: registry.Build{Image: s.Build.Image}, Deploy: s.Deploy, State: s.State}
}

// compareHosts says whether the host of a service may run another system than
// before, and whether its engine is another, or what it may mount. What runs on a
// host without a system in the registry only its engine knows.
func compareHosts(old, now *registry.Registry, was, is registry.Service) (system, engine bool, err error) {
	before, after := old.Hosts[was.HostOf()], now.Hosts[is.HostOf()]
	moved := was.HostOf() != is.HostOf()
	system = before.System != after.System || moved && after.System == ""
	if is.Deploy == nil {
		return system, false, nil
	}
	before.Description, after.Description = "", ""
	same, err := sameJSON(before, after)
	return system, !same, err
}

func hasService(l *Loaded, name string) bool {
	_, ok := l.Registry.Services[name]
	return ok
}

// sameJSON compares two entries by what the document would say.
func sameJSON(a, b any) (bool, error) {
	one, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	other, err := json.Marshal(b)
	return string(one) == string(other), err
}
