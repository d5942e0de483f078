package strictjson

import "fmt"

// Problem is one thing that is wrong in a document.
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

// MaxProblems is how many problems of one document are reported.
const MaxProblems = 1000

// Collector gathers problems, up to [MaxProblems] and one that says there are
// more.
type Collector struct{ problems []Problem }

// Add reports a problem; a full collector drops it.
func (c *Collector) Add(p Problem) {
	switch {
	case len(c.problems) < MaxProblems:
		c.problems = append(c.problems, p)
	case len(c.problems) == MaxProblems:
		c.problems = append(c.problems, Problem{
			Path:    string(Root),
			Message: fmt.Sprintf("there are more than %d problems; the others are not shown", MaxProblems),
			Fix:     "fix these first",
		})
	}
}

// Full says that every further problem would be dropped.
func (c *Collector) Full() bool { return len(c.problems) > MaxProblems }

// List is what was reported, nil for nothing.
func (c *Collector) List() []Problem { return c.problems }
