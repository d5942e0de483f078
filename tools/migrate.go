package tools

import (
	"fmt"
	"strings"

	"homelab/internal/state"
)

func stateMigrateTool(core Core) Tool {
	return New(Tool{
		Name:        "state_migrate",
		Title:       "Move a service with its state",
		Description: "Moves a service with its state to another host, or to another place on its host: copies while it runs, stops it, copies the rest, starts it there. Runs where it was when that fails. Only previews without confirm.",
		Guidance:    "Use it to preview first; tell the user what todo says.",
		Command:     []string{"state", "migrate"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: Annotations{ReadOnly: false, Destructive: true, Idempotent: false, OpenWorld: true},
		Examples: []Example{
			{"what it would move", "homelab state migrate home-assistant --to-host nas", `{"service":"home-assistant","toHost":"nas"}`},
			{"what was previewed", "homelab state migrate home-assistant --to-host nas --confirm 36fbb166cfe5", `{"service":"home-assistant","toHost":"nas","confirm":"36fbb166cfe5"}`},
		},
	}, Work[state.MigrateRequest, state.MigrateReport]{Run: core.StateMigrate, Text: migrateText, Unconfirmed: (*state.MigrateReport).Unconfirmed})
}

// DescribeMigration is what a migration would do, or has done, in one line.
func DescribeMigration(r *state.MigrateReport) string {
	way := fmt.Sprintf("%s from %s to %s", r.Service, r.From, r.To)
	if r.From == r.To {
		way = "the state of " + r.Service + " on " + r.To
	}
	switch r.State {
	case "running":
		return fmt.Sprintf("%s is being moved: job %s", way, r.JobID)
	case "succeeded":
		return fmt.Sprintf("moved %s, %.1f s without the service", way, r.Done.Outage)
	}
	return "would move " + way
}

// DescribeMigrateItem is what becomes of an item, in one line.
func DescribeMigrateItem(i state.MigrateItem) string {
	text := i.Name + " (" + i.Path + "): " + amount(i.Comes)
	if i.From != "" {
		text += " of " + i.From
	}
	if i.There.Entries > 0 {
		text += "; " + amount(i.There) + " there aside"
	}
	return Printable(text)
}

// MigrationNotes are what a person should know of a migration, and has to do.
func MigrationNotes(r *state.MigrateReport) []string {
	notes := []string{}
	if p := r.Preview; r.State == "preview" {
		notes = append(notes, fmt.Sprintf("container %s is stopped, unless it is predicted to be away for more than %.0f s", p.Container, p.Budget))
		if len(p.Left) > 0 {
			notes = append(notes, "not moved: "+strings.Join(p.Left, ", "))
		}
	}
	if d := r.Done; d != nil {
		notes = append(notes,
			fmt.Sprintf("%s of state in %s, %s of them in the last", Size(d.Bytes), Plural(d.Passes, "pass"), Size(d.LastBytes)),
			fmt.Sprintf("without it %.1f s: %.1f s to stop, %.1f s to copy the last, %.1f s to be healthy there; predicted: %.1f s", d.Outage, d.Parts.Freeze, d.Parts.Copy, d.Parts.Wake, d.Parts.Predicted),
			fmt.Sprintf("it is container %s now, generation %d; on %s container %s is kept, stopped", d.Container, d.Generation, r.From, d.Kept))
	}
	return told(notes, r.Warnings, r.Todo)
}

func migrateText(r *state.MigrateReport) string {
	var text lines
	text.add("%s.", Printable(DescribeMigration(r)))
	text.unconfirmed(r.Unconfirmed())
	for _, i := range r.Preview.Items {
		text.add("%s", DescribeMigrateItem(i))
	}
	for _, note := range MigrationNotes(r) {
		text.add("%s", note)
	}
	return text.String()
}
