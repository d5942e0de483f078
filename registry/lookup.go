package registry

import (
	"maps"
	"slices"

	"homelab/internal/fault"
)

// Names returns the names of the services, sorted.
func (r *Registry) Names() []string {
	return slices.Sorted(maps.Keys(r.Services))
}

// Lookup finds a service by name or alias and returns its name. An unknown one
// is [fault.UnknownService] with near names in the hint.
func (r *Registry) Lookup(nameOrAlias string) (string, error) {
	if _, ok := r.Services[nameOrAlias]; ok {
		return nameOrAlias, nil
	}
	for name, service := range r.Services {
		if slices.Contains(service.Aliases, nameOrAlias) {
			return name, nil
		}
	}
	known := r.Names()
	for _, name := range r.Names() {
		known = append(known, r.Services[name].Aliases...)
	}
	return "", fault.Newf(fault.UnknownService, fault.DidYouMean(nameOrAlias, known),
		"no service is called %.100q", nameOrAlias)
}

// HostOf is the name of the host the service runs on.
func (s Service) HostOf() string {
	if s.Deploy == nil || s.Deploy.Host == "" {
		return LocalHost
	}
	return s.Deploy.Host
}

// ContainerOf is the container name of the service called name.
func (s Service) ContainerOf(name string) string {
	if s.Deploy == nil || s.Deploy.Container == "" {
		return name
	}
	return s.Deploy.Container
}

// PrivilegesOf are the privileges of the service; none when it says nothing of
// them.
func (s Service) PrivilegesOf() Privileges {
	if s.Deploy == nil || s.Deploy.Privileges == nil {
		return Privileges{}
	}
	return *s.Deploy.Privileges
}

// AllHosts are the declared hosts, and the local one when a service is on it.
func (r *Registry) AllHosts() map[string]Host {
	hosts := map[string]Host{}
	if r.UsedHosts()[LocalHost] > 0 {
		hosts[LocalHost] = Host{}
	}
	maps.Copy(hosts, r.Hosts)
	return hosts
}

// UsedHosts counts the services on each host.
func (r *Registry) UsedHosts() map[string]int {
	used := map[string]int{}
	for _, service := range r.Services {
		used[service.HostOf()]++
	}
	return used
}
