package tools

import (
	"fmt"
	"strings"

	"homelab/internal/plan"
)

// Headline is a plan in one line.
func Headline(c plan.Counts) string {
	text := fmt.Sprintf("%d of %s to rebuild", c.Rebuild, Plural(c.Total, "service"))
	for _, rest := range []struct {
		n    int
		word string
	}{{c.Redeploy, "to redeploy"}, {c.Unknown, "unknown"}, {c.Blocked, "blocked"}, {c.None, "not touched"}} {
		if rest.n > 0 {
			text += fmt.Sprintf(", %d %s", rest.n, rest.word)
		}
	}
	return text
}

// DescribeSide says which tree one end of a comparison is.
func DescribeSide(s plan.Side) string {
	commit := s.Commit[:min(len(s.Commit), 12)]
	switch s.State {
	case plan.StateClean:
		return "the work tree, clean, at " + commit
	case plan.StateDirty:
		if commit == "" {
			return "the work tree; nothing is committed yet"
		}
		return "the work tree, with uncommitted changes, on " + commit
	case plan.StateEmpty:
		return "the empty tree"
	case plan.StateMissing:
		return Printable(s.Ref) + ", which is missing here"
	}
	if s.Ref == "" || strings.HasPrefix(s.Commit, s.Ref) {
		return commit
	}
	return fmt.Sprintf("%s (%s)", Printable(s.Ref), commit)
}

// DescribeBase is [DescribeSide] with why it was chosen and how it relates to
// the head, where that is not the usual.
func DescribeBase(s plan.Side) string {
	text := DescribeSide(s)
	if s.State == plan.StateEmpty {
		return text
	}
	switch s.Relation {
	case "descendant":
		text += ", ahead of the head"
	case "diverged":
		text += ", diverged from the head"
	case "unrelated":
		text += ", unrelated to the head"
	}
	if why := strings.TrimPrefix(s.Why, s.Ref+": "); why != "" {
		text += ": " + Printable(why)
	}
	return text
}

// DescribeReason says in a few words what connects a change to a service.
func DescribeReason(r plan.Reason) string {
	switch r.Kind {
	case plan.ByGlobal:
		if r.Path == "" {
			return "global hint " + Printable(r.Hint) + " changed"
		}
		return describeChange(r.Path, r.Status) + " (a global hint)"
	case plan.ByInput:
		return "flake input " + Printable(r.Hint) + " moved"
	case plan.ByDependency:
		return "depends on " + strings.Join(r.Via, " → ")
	case plan.ByRegistry:
		switch {
		case strings.HasPrefix(r.Hint, "hosts."):
			return "the registry's entry of its host changed"
		case r.Status == plan.Added:
			return "new in the registry"
		}
		return "its entry in the registry changed"
	case plan.ByExplicit:
		return "asked for"
	case plan.ByNeverDeployed:
		return "not deployed yet"
	case plan.ByBaseMissing:
		return "the base is missing here"
	case plan.ByOutput:
		return "its output differs"
	case plan.ByDrift:
		return "its container is not configured as the registry says"
	case plan.ByEdits:
		return "deployed with edits that are not there any more"
	case plan.BySubmodule:
		return "submodule " + describeChange(r.Path, r.Status)
	}
	return describeChange(r.Path, r.Status)
}

func describeChange(path string, status plan.Status) string {
	word := map[plan.Status]string{
		plan.Added: "added", plan.Modified: "modified", plan.Deleted: "deleted",
		plan.TypeChanged: "changed its type", plan.Untracked: "untracked",
		plan.Unmerged: "unmerged", plan.Unreadable: "unreadable",
	}[status]
	if word == "" {
		return Printable(path)
	}
	return Printable(path) + " " + word
}

// DescribeWhy is the problem of a service, if it has one, and up to most of
// its reasons.
func DescribeWhy(s plan.Service, most int) string {
	parts := []string{}
	if s.Problem != nil {
		parts = append(parts, Printable(s.Problem.Message))
	}
	shown := s.Reasons[:min(len(s.Reasons), most)]
	for _, reason := range shown {
		parts = append(parts, DescribeReason(reason))
	}
	text := strings.Join(parts, "; ")
	if more := max(s.ReasonCount, len(s.Reasons)) - len(shown); more > 0 {
		text += fmt.Sprintf("; %d more", more)
	}
	if s.Base != nil && s.Base.State == plan.StateCommit && len(s.Reasons) > 0 {
		text += "; deployed from " + DescribeSide(*s.Base)
	}
	return strings.TrimPrefix(text, "; ")
}

// DescribeOverWide says which hints, or which dependencies, would have built a
// service for nothing.
func DescribeOverWide(o plan.OverWide) string {
	switch len(o.Via) {
	case 0:
	case 1:
		return Printable(o.Service) + ": rebuilt only because of its dependency " + Printable(o.Via[0])
	default:
		return Printable(o.Service) + ": rebuilt only because of its dependencies " + Some(o.Via, 3)
	}
	text := Printable(o.Service) + ": " + Some(o.Hints, 3)
	if len(o.Paths) > 0 {
		text += " (" + Some(o.Paths, 2) + ")"
	}
	return text
}

// DescribeMissing says what a service is made from that no hint covers.
func DescribeMissing(m plan.Missing) string {
	text := Printable(m.Service) + ": "
	switch {
	case len(m.Causes) > 0:
		text += "made from " + Some(m.Causes, 3)
	case m.SameSources && m.Count > 0:
		text += "made from the same files as before: Nix code changed it, perhaps in " + candidates(m) + ", or it has the flake's revision or time in it"
	case m.SameSources:
		text += "made from the same files as before: perhaps it has the flake's revision or time in it"
	case m.Count == 0:
		text += "no changed file explains it"
	default:
		text += "changed with " + candidates(m)
	}
	if m.Excluded {
		text += " (its exclude takes that out)"
	}
	return text
}

func candidates(m plan.Missing) string {
	shown := m.Candidates[:min(len(m.Candidates), 3)]
	text := Some(shown, len(shown))
	if more := m.Count - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// DescribeWholeFlake says which target is made from everything.
func DescribeWholeFlake(w plan.WholeFlake) string {
	return Printable(w.Service) + ": " + Printable(w.Attr)
}

// DescribeMissingAttribute says which target the flake does not have.
func DescribeMissingAttribute(m plan.MissingAttribute) string {
	text := Printable(m.Service) + ": " + Printable(m.Attr)
	if m.Hint != "" {
		text += "; " + Printable(m.Hint)
	}
	return text
}

// Described describes each of a list.
func Described[T any](list []T, describe func(T) string) []string {
	lines := make([]string, len(list))
	for i := range list {
		lines[i] = describe(list[i])
	}
	return lines
}
