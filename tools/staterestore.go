package tools

import (
	"fmt"
	"strings"

	"homelab/internal/state"
	"homelab/internal/swap"
)

func stateRestoreTool(core Core) Tool {
	return New(Tool{
		Name:        "state_restore",
		Title:       "Restore the state of a service",
		Description: "Brings a bundle back: verifies it beside what is there, stops the service, swaps, starts; swaps back when it is not healthy. What was there is kept aside until commit. Only previews without confirm.",
		Guidance:    "Use it to preview first; tell the user what todo says.",
		Command:     []string{"state", "restore"},
		Positional:  "bundle",
		Engines:     true,
		Annotations: Annotations{ReadOnly: false, Destructive: true, Idempotent: false, OpenWorld: true},
		Examples: []Example{
			{"what it would replace", "homelab state restore 20260301T101500Z-1f2e3d4c", `{"bundle":"20260301T101500Z-1f2e3d4c"}`},
			{"what was previewed", "homelab state restore 20260301T101500Z-1f2e3d4c --confirm 36fbb166cfe5", `{"bundle":"20260301T101500Z-1f2e3d4c","confirm":"36fbb166cfe5"}`},
			{"back to what was there before a restore", "homelab state restore --service ha --undo 20260302T090000Z-5d6e7f80", `{"service":"ha","undo":"20260302T090000Z-5d6e7f80"}`},
		},
	}, Work[state.RestoreRequest, state.RestoreReport]{Run: core.StateRestore, Text: restoreText, Unconfirmed: (*state.RestoreReport).Unconfirmed})
}

// DescribeRestore is what a restore would do, or has done, in one line.
func DescribeRestore(r *state.RestoreReport) string {
	what, done := "state of "+r.Service+" on "+r.Host, r.State == "succeeded"
	switch {
	case r.State == "running":
		return fmt.Sprintf("the %s is being worked on: job %s", what, r.JobID)
	case r.Action == state.ActionCommit && done:
		return "removed what was kept aside of the " + what
	case r.Action == state.ActionCommit:
		return "would remove what is kept aside of the " + what
	case r.Action == state.ActionUndo && done:
		return "put back the " + what + " as it was before the restore" + outage(r.Done)
	case r.Action == state.ActionUndo:
		return "would put back the " + what + " as it was before the restore"
	case done:
		return fmt.Sprintf("restored the %s from bundle %s%s", what, r.Preview.Bundle, outage(r.Done))
	}
	return fmt.Sprintf("would restore the %s from bundle %s", what, r.Preview.Bundle)
}

func outage(r *state.Restored) string {
	if r.Outage == 0 {
		return ""
	}
	return fmt.Sprintf(", %.1f s without the service", r.Outage)
}

// DescribeRestoreItem is what becomes of an item, in one line.
func DescribeRestoreItem(r *state.RestoreReport, i state.RestoreItem) string {
	text := i.Name + " (" + i.Path + "): "
	if r.Action == state.ActionCommit {
		return Printable(text + amount(i.Comes))
	}
	text += amount(i.There) + " aside, " + amount(i.Comes) + " in its place"
	if r.Action == state.ActionRestore && len(i.Kept) > 0 {
		text += "; kept of earlier restores: "
		for n, k := range i.Kept {
			if n > 0 {
				text += ", "
			}
			id, _, _ := strings.Cut(k.ID, ".")
			text += id + " " + amount(k.Amount)
		}
	}
	return Printable(text)
}

func amount(a swap.Amount) string {
	if a.Entries == 0 {
		return "nothing"
	}
	text := Plural(int(a.Entries), "entry") + " of " + Size(a.Bytes)
	if a.More {
		text = "more than " + text
	}
	return text
}

// RestoreNotes are what a person should know of a restore, and has to do.
func RestoreNotes(r *state.RestoreReport) []string {
	notes := []string{}
	if r.Preview != nil && r.State == "preview" {
		if r.Preview.Stops {
			notes = append(notes, r.Service+" is stopped for a moment")
		}
		for _, name := range r.Preview.Untouched {
			notes = append(notes, name+" stays as it is")
		}
	}
	if r.Done != nil && r.Done.Stripped > 0 {
		notes = append(notes, Plural(int(r.Done.Stripped), "file")+" lost setuid, setgid or capabilities")
	}
	return told(notes, r.Warnings, r.Todo)
}

func restoreText(r *state.RestoreReport) string {
	var text lines
	text.add("%s.", Printable(DescribeRestore(r)))
	text.unconfirmed(r.Unconfirmed())
	if r.Preview != nil {
		for _, i := range r.Preview.Items {
			text.add("%s", DescribeRestoreItem(r, i))
		}
	}
	for _, note := range RestoreNotes(r) {
		text.add("%s", note)
	}
	return text.String()
}
