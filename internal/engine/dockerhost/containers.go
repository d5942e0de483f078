package dockerhost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Container is a container as an engine lists it.
type Container struct {
	ID     string
	Name   string
	State  string // as Docker calls it: running, exited, created, …
	Labels map[string]string
}

// maxListing is how many bytes are read of a list of containers. An engine tells
// about 2 KB of each.
const maxListing = 64 << 20

// Containers lists the containers that have a label, running or not. Every plan may
// ask it, and so it is asked without Docker's API client, as the version is: at the
// bare path, whose answer has had these fields in every version of the API. It
// waits 2 s for a local engine and 5 s for one on another machine, or until ctx is
// done. The errors are those of [Engine.Server].
// See https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerList
func (e *Engine) Containers(ctx context.Context, label string) ([]Container, error) {
	filters, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, err
	}
	var listed []struct {
		ID     string `json:"Id"`
		Names  []string
		State  string
		Labels map[string]string
	}
	err = e.patiently(ctx, listPatience, func(ctx context.Context) error {
		return e.get(ctx, "/containers/json?all=1&filters="+url.QueryEscape(string(filters)), maxListing, &listed)
	})
	if err != nil {
		return nil, err
	}
	found := make([]Container, 0, len(listed))
	for _, c := range listed {
		if _, labeled := c.Labels[label]; !labeled || c.ID == "" {
			return nil, e.Explain(ctx, fmt.Errorf("its list of containers has one without the label %s that was asked for", label))
		}
		found = append(found, Container{ID: c.ID, Name: nameOf(c.Names), State: c.State, Labels: c.Labels})
	}
	return found, nil
}

// nameOf is the container's own name, without the slash: links that others have to
// it are listed as OTHER/NAME.
func nameOf(names []string) string {
	for _, name := range names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}
