package tools

import (
	"fmt"
	"strings"

	"homelab/internal/state"
)

func stateDrillTool(core Core) Tool {
	return New(Tool{
		Name:        "state_drill",
		Title:       "Try a bundle",
		Description: "Restores a bundle into an isolated copy of its service, has that pass the health gate, and removes it. The service is not touched.",
		Guidance:    "Use it to prove a bundle.",
		Command:     []string{"state", "drill"},
		Positional:  "bundle",
		Engines:     true,
		Annotations: keeps,
		Examples: []Example{
			{"on the host of the service", "homelab state drill 20260314T120000Z-1f2e3d4c", `{"bundle":"20260314T120000Z-1f2e3d4c"}`},
		},
	}, Work[state.DrillRequest, state.DrillReport]{Run: core.StateDrill, Text: drillText, Verdict: (*state.DrillReport).Code})
}

// DescribeDrill is what came of a drill, in one line.
func DescribeDrill(r *state.DrillReport) string {
	text := fmt.Sprintf("a copy of %s is being started with bundle %s: job %s", r.Service, r.Bundle, r.JobID)
	switch r.State {
	case "passed":
		text = fmt.Sprintf("%s is healthy with bundle %s after %.1f s: %s, %s", r.Service, r.Bundle, r.Seconds, Plural(int(r.Entries), "entry"), Size(r.Bytes))
	case "failed":
		text = fmt.Sprintf("%s is not healthy with bundle %s", r.Service, r.Bundle)
		if r.Problem != nil {
			text += ": " + r.Problem.Message
		}
	}
	return Printable(text)
}

// DrillNotes are what else there is to say of a drill.
func DrillNotes(r *state.DrillReport) []string {
	notes := []string{}
	if r.Problem != nil {
		notes = append(notes, "hint: "+r.Problem.Hint)
	}
	for _, line := range r.Log {
		notes = append(notes, "| "+line)
	}
	if r.Left != nil {
		notes = append(notes, "not removed: "+r.Left.Message, "hint: "+r.Left.Hint)
	}
	if r.Index != "" {
		author := r.Author
		if author == "" {
			author = "nobody"
		}
		notes = append(notes, "every byte was read and is right, signed by "+author)
	}
	if r.Image != "" {
		notes = append(notes, "image "+r.Image+" of the "+r.ImageFrom+", health gate "+r.Gate+after(", with ", strings.Join(r.Items, ", ")))
	}
	if r.About != nil {
		notes = append(append(notes, "consistency: "+string(r.About.Consistency)), restoreNotes(r.About)...)
	}
	return told(notes, r.Warnings, nil)
}

func drillText(r *state.DrillReport) string {
	var text lines
	text.add("%s.", DescribeDrill(r))
	text.add("on %s, from %s", Printable(r.Host), Printable(r.Store))
	for _, note := range DrillNotes(r) {
		text.add("%s", note)
	}
	return text.String()
}
