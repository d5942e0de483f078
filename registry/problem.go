package registry

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong in a registry.
type Problem struct {
	Path    string `json:"path" jsonschema_description:"JSON path of the value, such as $.services.grafana.hints[2]."`
	Value   string `json:"value,omitempty" jsonschema_description:"The offending value, as JSON, cut at 120 characters."`
	Message string `json:"message" jsonschema_description:"What is wrong."`
	Fix     string `json:"fix,omitempty" jsonschema_description:"What to write instead."`
}

func (p Problem) String() string {
	s := p.Path + ": " + p.Message
	if p.Value != "" {
		s += " (" + p.Value + ")"
	}
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return s
}

// Problems is everything that is wrong in a registry, in the order of the
// document. It is the error of [Parse].
type Problems []Problem

func (p Problems) Error() string {
	const most = 10
	lines := make([]string, 0, most+1)
	for i, problem := range p {
		if i == most {
			lines = append(lines, fmt.Sprintf("… and %d more", len(p)-most))
			break
		}
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}
