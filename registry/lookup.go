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
		"no service is called %q", nameOrAlias)
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
