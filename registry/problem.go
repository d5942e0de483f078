package registry

import (
	"fmt"
	"strings"

	"homelab/internal/strictjson"
)

// Problem is one thing that is wrong in a registry.
type Problem = strictjson.Problem

// Problems is everything that is wrong in a registry: first what does not have
// the form of a registry, in the order of the document, then what it says
// wrongly, by name. It is what the error of [Parse] unwraps to. There are at
// most [strictjson.MaxProblems] and one that says there are more.
type Problems []Problem

// Error shows the first ten.
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

// count says how many there are, in words.
func (p Problems) count() string {
	switch {
	case len(p) == 1:
		return "1 problem"
	case len(p) > strictjson.MaxProblems:
		return fmt.Sprintf("more than %d problems", strictjson.MaxProblems)
	}
	return fmt.Sprintf("%d problems", len(p))
}
