package registry

import (
	"path"
	"strings"

	"homelab/internal/fault"
	"homelab/internal/strictjson"
)

// deploy checks how the service called name runs.
func (v *validation) deploy(at strictjson.Path, name string, s Service) {
	d, host := s.Deploy, s.HostOf()
	if _, declared := v.registry.Hosts[host]; !declared && host != LocalHost {
		v.report(at.Key("host"), host, flawf(v.suggest(host, v.hosts), "no host has this name"))
	}
	v.container(at.Key("container"), name, s)
	v.ports(at.Key("ports"), name, s)
	v.mounts(at, s)
	v.list(at.Key("envFiles"), d.EnvFiles, absoluteFlaw)
	v.keys(at.Key("env"), d.Env, variableFlaw)
	v.networks(at, s)
	v.keys(at.Key("labels"), d.Labels, labelFlaw)
	if d.Strategy == "overlap" && (len(d.Ports) > 0 || s.PrivilegesOf().HostNetwork) {
		v.report(at.Key("strategy"), d.Strategy, flawf("publish no port, and leave out hostNetwork, or write replace",
			"two containers cannot have one port of the host"))
	}
	if d.Health != nil {
		v.health(at.Key("health"), d.Health)
	}
	if d.Privileges != nil {
		v.privileges(at.Key("privileges"), *d.Privileges)
	}
	if r := d.Resources; r != nil {
		at := at.Key("resources")
		notNegative(v, at.Key("memoryBytes"), r.MemoryBytes)
		notNegative(v, at.Key("cpus"), r.CPUs)
		notNegative(v, at.Key("pids"), r.PIDs)
	}
}

func (v *validation) container(at strictjson.Path, name string, s Service) {
	host, container := s.HostOf(), s.ContainerOf(name)
	// A name that is not even that of a service is reported as such.
	given := s.Deploy.Container != "" || nameFlaw(name).none()
	if f := dockerNameFlaw(container); given && !f.none() {
		v.report(at, container, f)
		return
	}
	if owner, taken := take(v.claims.containers, v.place(host), container, name); taken {
		v.report(at, container, flawf("choose another name", "on host %s it is the container of %s", v.shared(host, owner), owner))
	}
}

func (v *validation) ports(at strictjson.Path, name string, s Service) {
	host := s.HostOf()
	for i, text := range s.Deploy.Ports {
		port, err := ParsePort(text)
		if err != nil {
			f := fault.Of(err)
			v.report(at.Index(i), text, flaw{f.Message, f.Hint})
			continue
		}
		owner, taken := v.claims.takePort(v.place(host), port, name)
		switch {
		case taken && owner == name:
			v.report(at.Index(i), text, flawf("remove one of them", "port %d/%s of the host is published twice", port.Host, port.Protocol))
		case taken:
			v.report(at.Index(i), text, flawf("choose another port, or another address for each",
				"port %d/%s of host %s is published by %s", port.Host, port.Protocol, v.shared(host, owner), owner))
		}
	}
}

// mounts checks what is mounted into the container, and that no two things are
// mounted at one place.
func (v *validation) mounts(at strictjson.Path, s Service) {
	d, rule := s.Deploy, s.MountRule(v.registry.Hosts[s.HostOf()])
	places := map[string]strictjson.Path{}
	target := func(at strictjson.Path, target string) {
		f := targetFlaw(target)
		if first, taken := places[path.Clean(target)]; taken && f.none() {
			f = flawf("choose another target", "the target is that of %s", first)
		}
		if f.none() {
			places[path.Clean(target)] = at
		}
		v.report(at.Key("target"), target, f)
	}
	for i, volume := range d.Volumes {
		at := at.Key("volumes").Index(i)
		v.required(at, "name", volume.Name, dockerNameFlaw)
		target(at, volume.Target)
	}
	for i, mount := range d.Mounts {
		at := at.Key("mounts").Index(i)
		for _, f := range rule.flaws(mount) {
			v.report(at.Key("source"), mount.Source, f)
		}
		target(at, mount.Target)
	}
}

func targetFlaw(target string) flaw {
	if f := absoluteFlaw(target); !f.none() {
		return f
	}
	if path.Clean(target) == "/" {
		return flawf("write a folder of the container", "the root of the container cannot be mounted over")
	}
	return flaw{}
}

func variableFlaw(name string) flaw {
	switch {
	case name == "":
		return flawf("write a name", "a variable without a name")
	case strings.ContainsAny(name, "=\x00"):
		return flawf("write the name before the colon and the value after it", "the name of a variable has no = and no NUL byte")
	}
	return flaw{}
}

func labelFlaw(name string) flaw {
	switch {
	case name == "":
		return flawf("write a name", "a label without a name")
	case strings.HasPrefix(name, "homelab."):
		return flawf("choose another name", "labels that begin with homelab. say what homelab knows of a container")
	}
	return flaw{}
}

func notNegative[N int | int64 | float64](v *validation, at strictjson.Path, n N) {
	if n < 0 {
		v.report(at, n, flawf("write 0 or more", "a negative number"))
	}
}
