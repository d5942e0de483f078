package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"homelab/internal/lazy"
	"homelab/registry"
)

// maxItems bounds what goes on a host at a time, and what is listed.
const maxItems = 100

// Keeping is what has to stay on a host, and what may go.
type Keeping struct {
	Services map[string]registry.Service // of the registry
	Only     string                      // the one service that is asked about; empty: all
	Keep     int                         // generations of a service beside the current one
	Busy     map[string]bool             // services with a switch that was broken off
}

// Prunable says what may go of the containers and images of a host: generations
// beyond those that are kept, and images with a pin that no other container of ours
// has. What the registry knows no service for is an orphan.
func Prunable(all []Container, images []HostImage, k Keeping) PruneHost {
	h := PruneHost{Answers: true, Items: []PruneItem{}, Orphans: []PruneItem{}}
	goes := map[string]bool{} // by ID
	for _, c := range k.old(all) {
		service := c.Labels[LabelService]
		if k.Busy[service] {
			h.Busy = append(h.Busy, service)
			continue
		}
		goes[c.ID] = true
		h.Items = append(h.Items, containerItem(c))
	}
	used := map[string]bool{} // IDs and names of images
	for _, c := range all {
		if goes[c.ID] {
			continue
		}
		used[c.ImageID], used[c.Spec.Image] = true, true
		if _, known := k.Services[c.Labels[LabelService]]; !known && k.Only == "" {
			orphan := containerItem(c)
			orphan.Status, orphan.Why = PruneOrphan, "the registry has no such service; on the host: docker rm "+c.Name
			h.Orphans = append(h.Orphans, orphan)
		}
	}
	k.images(images, used, k.owners(all), &h)
	h.Busy = set(h.Busy)
	slices.SortFunc(h.Items, byWhat)
	slices.SortFunc(h.Orphans, byWhat)
	if h.More = max(len(h.Items)-maxItems, 0); h.More > 0 {
		h.Items = h.Items[:maxItems]
	}
	h.Orphans = h.Orphans[:min(len(h.Orphans), maxItems)]
	return h
}

// byWhat orders containers before images: those that they have go with them.
func byWhat(a, b PruneItem) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Service, b.Service), slices.Compare(a.Names, b.Names))
}

func containerItem(c Container) PruneItem {
	return PruneItem{Kind: OldContainer, Service: c.Labels[LabelService], Names: []string{c.Name}, ID: c.ID, Generation: c.Generation(), Status: PrunePending}
}

// old are the generations of services of the registry that are not kept.
func (k Keeping) old(all []Container) []Container {
	var old []Container
	for _, name := range slices.Sorted(maps.Keys(k.Services)) {
		s := k.Services[name]
		if s.Deploy == nil || k.Only != "" && k.Only != name {
			continue
		}
		old = append(old, beyond(among(all, name, s.ContainerOf(name)).others, k.Keep, "")...)
	}
	return old
}

// owners are the services of the registry that an image can be of, by repository:
// that of their images, or of their containers.
func (k Keeping) owners(all []Container) map[string][]string {
	owners := map[string][]string{}
	for name, s := range k.Services {
		repository := cmp.Or(s.Build.Image, OwnRepository(name))
		owners[repository] = append(owners[repository], name)
	}
	for _, c := range all {
		service := c.Labels[LabelService]
		if _, known := k.Services[service]; known && isPin(c.Spec.Image) {
			repository := Repository(c.Spec.Image)
			owners[repository] = append(owners[repository], service)
		}
	}
	return owners
}

// pin is the end of [Artifact.Pin].
var pin = lazy.Regexp(`:nix-[0-9a-df-np-sv-z]{32}$`)

func isPin(name string) bool { return pin().MatchString(name) }

// images adds those with a pin that nothing of ours uses.
func (k Keeping) images(images []HostImage, used map[string]bool, owners map[string][]string, h *PruneHost) {
	for _, i := range images {
		repositories := map[string]bool{} // of its pins
		for _, name := range i.Names {
			if isPin(name) {
				repositories[Repository(name)] = true
			}
		}
		if len(repositories) == 0 || used[i.ID] || slices.ContainsFunc(i.Names, func(name string) bool { return used[name] }) {
			continue
		}
		of := []string{}
		why := ""
		for _, repository := range slices.Sorted(maps.Keys(repositories)) {
			if owners[repository] == nil {
				why = fmt.Sprintf("no service of the registry has images of %s; on the host: docker image rm %s", repository, strings.Join(i.Names, " "))
			}
			of = append(of, owners[repository]...)
		}
		for _, name := range i.Names {
			if !repositories[Repository(name)] {
				why = "somebody has named it " + name
			}
		}
		if at := slices.IndexFunc(of, func(name string) bool { return k.Busy[name] }); at >= 0 {
			h.Busy = append(h.Busy, of[at])
			continue
		}
		item := PruneItem{Kind: OldImage, Names: pinsLast(i.Names), ID: i.ID, Bytes: i.Size, Status: PrunePending}
		if of = set(of); len(of) > 0 {
			item.Service = of[0]
		}
		switch {
		case why != "" && k.Only == "":
			item.Status, item.Why = PruneOrphan, why
			h.Orphans = append(h.Orphans, item)
		case why == "" && (k.Only == "" || slices.Contains(of, k.Only)):
			item.Service = cmp.Or(k.Only, item.Service)
			h.Items = append(h.Items, item)
		}
	}
}

// pinsLast are the names of an image in the order in which they go: what keeps it, last.
func pinsLast(names []string) []string {
	sorted := slices.Sorted(slices.Values(names))
	pins := slices.DeleteFunc(slices.Clone(sorted), func(name string) bool { return !isPin(name) })
	return append(slices.DeleteFunc(sorted, isPin), pins...)
}
