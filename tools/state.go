package tools

import (
	"context"
	"fmt"
	"strings"

	"homelab/internal/state"
)

// keeps is what a tool that adds something, and for a moment takes a service away, is
// annotated with.
var keeps = Annotations{ReadOnly: false, Destructive: false, Idempotent: false, OpenWorld: true}

func stateBundleTool(core Core) Tool {
	return New(Tool{
		Name:        "state_bundle",
		Title:       "Keep the state of a service",
		Description: "Captures what a service must not lose, as the registry declares it, into one file in a store. Copies while it runs, and puts it to rest only for the last changes; not when that would exceed its downtimeBudget.",
		Guidance:    "Use it before a risky change, with all and due for what is overdue. Verify it with state_verify.",
		Command:     []string{"state", "bundle"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: keeps,
		Examples: []Example{
			{"into the first store of the service", "homelab state bundle ha", `{"service":"ha"}`},
			{"of every service that is due, for a timer", "homelab state bundle --all --due", `{"all":true,"due":true}`},
			{"into another one, in the background", "homelab state bundle ha --store s3://backup/ha --background", `{"service":"ha","store":"s3://backup/ha","background":true}`},
		},
	}, Work[state.BundleRequest, state.BundleReport]{Run: core.StateBundle, Text: bundleText, Verdict: (*state.BundleReport).Code})
}

// DescribeBundle is what came of a bundle, in one line.
func DescribeBundle(r *state.BundleReport) string {
	switch {
	case r.All != nil:
		return describeAll(r)
	case r.State == "running" && r.Service == "":
		return "the state of all services is being kept: job " + r.JobID
	case r.State == "running":
		return fmt.Sprintf("the state of %s is being kept: job %s", r.Service, r.JobID)
	}
	parts := []string{Plural(int(r.Entries), "entry"), Size(r.Bytes)}
	if r.Outage > 0 {
		parts = append(parts, fmt.Sprintf("%.1f s without the service", r.Outage))
	}
	return fmt.Sprintf("bundle %s of %s: %s", r.Bundle, r.Service, strings.Join(parts, ", "))
}

func describeAll(r *state.BundleReport) string {
	parts := []string{Plural(r.All.Made, "bundle") + " made"}
	if r.All.NotDue > 0 {
		parts = append(parts, fmt.Sprintf("%d not due", r.All.NotDue))
	}
	if r.All.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", r.All.Failed))
	}
	if r.State == "canceled" {
		parts = append(parts, "the rest canceled")
	}
	return strings.Join(parts, ", ")
}

// DescribeOneOfAll is what came of one service of all, the first line, and what to know
// of it.
func DescribeOneOfAll(s state.ServiceBundle) []string {
	var text string
	switch s.Status {
	case state.BundleMade:
		text = fmt.Sprintf("bundle %s, %s in %s", s.Bundle, Size(s.Size), s.Store)
		if s.Outage > 0 {
			text += fmt.Sprintf(", %.1f s without the service", s.Outage)
		}
	case state.BundleNotDue:
		text = "not due, the newest was made " + s.Newest
	case state.BundleNoStore:
		text = "no place for bundles: say in the registry where they go: services." + s.Service + ".state.stores"
	case state.BundleFailed:
		text = "failed" + after(", job ", s.JobID) + ": " + s.Problem.Message
	default:
		text = "not reached"
	}
	list := []string{s.Service + ": " + text}
	if s.Problem != nil && s.Status == state.BundleMade {
		list = append(list, "  it could not be put to rest: "+s.Problem.Message)
	} else if s.Problem != nil && s.Problem.Hint != "" {
		list = append(list, "  hint: "+s.Problem.Hint)
	}
	for _, warning := range s.Warnings {
		list = append(list, "  warning: "+warning)
	}
	for i := range list {
		list[i] = Printable(list[i])
	}
	return list
}

// BundleNotes are what a person should know of a bundle.
func BundleNotes(r *state.BundleReport) []string {
	notes := []string{}
	if r.About != nil {
		notes = append(notes, "consistency: "+string(r.About.Consistency)+after(", without ", strings.Join(r.About.Left, ", ")))
		if r.About.Backup != "" {
			notes = append(notes, "note: "+r.About.Backup)
		}
	}
	if r.Problem != nil {
		notes = append(notes, "it could not be put to rest: "+r.Problem.Message)
	}
	return told(notes, r.Warnings, nil)
}

func bundleText(r *state.BundleReport) string {
	var text lines
	text.add("%s.", Printable(DescribeBundle(r)))
	if r.All != nil {
		for _, s := range r.All.Services {
			for _, line := range DescribeOneOfAll(s) {
				text.add("%s", line)
			}
		}
		return text.String()
	}
	if r.Store != "" {
		text.add("store %s", Printable(r.Store))
	}
	for _, note := range BundleNotes(r) {
		text.add("%s", note)
	}
	return text.String()
}

func stateListTool(core Core) Tool {
	return New(Tool{
		Name:        "state_list",
		Title:       "List bundles",
		Description: "Which bundles are there, of which services, in which stores, and which of them were verified? Reads none of them; a store that does not answer holds up nobody.",
		Guidance:    "Use it for the id of a bundle.",
		Command:     []string{"state", "list"},
		Positional:  "service",
		Complete:    serviceNames(core),
		Engines:     true,
		Annotations: looks,
		Examples: []Example{
			{"all", "homelab state list", `{}`},
			{"of one service", "homelab state list ha", `{"service":"ha"}`},
		},
	}, Work[state.ListRequest, state.Listing]{
		Run: func(ctx context.Context, in state.ListRequest, _ Report) (*state.Listing, error) {
			return core.StateList(ctx, in)
		},
		Text:    bundlesText,
		Verdict: (*state.Listing).Code,
	})
}

// DescribeListed is a bundle in a list.
func DescribeListed(b state.Listed) string {
	text := Size(b.Size) + ", not verified"
	if b.Verified != "" {
		text = Size(b.Size) + ", verified " + b.Verified
	}
	return Printable(text + after(", by ", b.Author))
}

// DescribeListing is how many bundles there are.
func DescribeListing(l *state.Listing) string {
	text := Plural(l.Count, "bundle")
	if more := l.Count - len(l.Bundles); more > 0 {
		text += fmt.Sprintf(", the newest %d of them", len(l.Bundles))
	}
	return text
}

func bundlesText(l *state.Listing) string {
	var text lines
	text.add("%s.", DescribeListing(l))
	for _, s := range l.Stores {
		if s.Problem != nil {
			text.add("store %s does not answer: %s", Printable(s.Name), Printable(s.Problem.Message))
			text.add("  hint: %s", Printable(s.Problem.Hint))
		}
	}
	for _, b := range l.Bundles {
		text.add("%s %s in %s: %s", b.ID, Printable(b.Service), Printable(b.Store), DescribeListed(b))
	}
	return text.String()
}

func stateVerifyTool(core Core) Tool {
	return New(Tool{
		Name:        "state_verify",
		Title:       "Verify a bundle",
		Description: "Is a bundle what was written? Opens it and says what it holds; with deep it reads every byte, checks every hash and the signature, and remembers that it did.",
		Guidance:    "Use it with deep after state_bundle, and before trusting an old one.",
		Command:     []string{"state", "verify"},
		Positional:  "bundle",
		Engines:     true,
		Annotations: looks,
		Examples: []Example{
			{"what it holds", "homelab state verify 20260314T120000Z-1f2e3d4c", `{"bundle":"20260314T120000Z-1f2e3d4c"}`},
			{"every byte of it", "homelab state verify 20260314T120000Z-1f2e3d4c --deep", `{"bundle":"20260314T120000Z-1f2e3d4c","deep":true}`},
		},
	}, Work[state.VerifyRequest, state.VerifyReport]{Run: core.StateVerify, Text: verifyText})
}

// DescribeVerified is what was found in a bundle, in one line.
func DescribeVerified(r *state.VerifyReport) string {
	how := "can be opened"
	if r.Deep {
		how = "is what was written"
	}
	return fmt.Sprintf("bundle %s of %s %s: %s, %s", r.Bundle, r.Service, how, Plural(int(r.Entries), "entry"), Size(r.Bytes))
}

// VerifiedNotes are what else there is to say of a bundle.
func VerifiedNotes(r *state.VerifyReport) []string {
	notes := []string{"holds " + strings.Join(r.Items, ", ") + after(", without ", strings.Join(r.About.Left, ", ")), "consistency: " + string(r.About.Consistency)}
	if r.Deep {
		author := "nobody"
		if r.Author != "" {
			author = r.Author
		}
		notes = append(notes, "signed by "+author)
	}
	notes = append(notes, restoreNotes(&r.About)...)
	for i := range notes {
		notes[i] = Printable(notes[i])
	}
	return notes
}

// restoreNotes are what a bundle says to who restores it.
func restoreNotes(a *state.About) []string {
	notes := []string{}
	for _, credential := range a.Reauth {
		notes = append(notes, "after a restore, "+credential.Policy+" "+credential.Name+after(": ", credential.Instructions))
	}
	if a.Restore != "" {
		notes = append(notes, "note: "+a.Restore)
	}
	return notes
}

func verifyText(r *state.VerifyReport) string {
	var text lines
	text.add("%s.", Printable(DescribeVerified(r)))
	text.add("store %s, made %s", Printable(r.Store), r.Created)
	for _, note := range VerifiedNotes(r) {
		text.add("%s", note)
	}
	return text.String()
}
