package tools

import (
	"fmt"
	"strings"

	"homelab/internal/build"
)

// builds is what a tool that adds to the store and takes nothing away is
// annotated with. It reaches binary caches and remote builders.
var builds = Annotations{ReadOnly: false, Destructive: false, Idempotent: true, OpenWorld: true}

func buildTool(core Core) Tool {
	return New(Tool{
		Name:  "build",
		Title: "Build the images of services",
		Description: "Builds with Nix, for the system of each service's host, the images of the named services, or of those a plan with the same arguments touches. " +
			"Says of each: built, fetched, cached, failed (with the last lines of the log) or skipped; and which image it is.",
		Guidance:    "Use it after plan, with its planId. What takes long: background, then job_get. dryRun only evaluates.",
		Command:     []string{"build"},
		Positional:  "services",
		Complete:    serviceNames(core),
		Annotations: builds,
		Examples: []Example{
			{"what the edits of the work tree touch", "homelab build", `{}`},
			{"one service, by its alias", "homelab build ha", `{"services":["ha"]}`},
			{"what a pull request into main touches", "homelab build --base main --merge-base", `{"base":"main","mergeBase":true}`},
			{"what would be built for a Raspberry Pi", "homelab build grafana --system aarch64-linux --dry-run", `{"services":["grafana"],"system":"aarch64-linux","dryRun":true}`},
		},
	}, Work[build.Request, build.Report]{
		Run:     core.Build,
		Text:    buildText,
		Verdict: (*build.Report).Code,
	})
}

// DescribeBuild is a build in one line.
func DescribeBuild(r *build.Report) string {
	c := r.Counts
	if r.State == "running" {
		return fmt.Sprintf("%s being built by job %s", Plural(c.Total, "service"), r.JobID)
	}
	parts := []string{}
	for _, part := range []struct {
		n    int
		word string
	}{{c.Built, "built"}, {c.Fetched, "fetched"}, {c.Cached, "cached"}, {c.Pending, "to build or fetch"}, {c.Failed, "failed"}, {c.Skipped, "skipped"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	if len(parts) == 0 {
		return "nothing to build"
	}
	return Plural(c.Total, "service") + ": " + strings.Join(parts, ", ")
}

// DescribeArtifact is an image in one line.
func DescribeArtifact(a *build.Artifact) string {
	if a == nil {
		return ""
	}
	parts := []string{}
	if a.Name != "" {
		name := a.Name
		if a.Tag != "" {
			name += ":" + a.Tag
		}
		parts = append(parts, Printable(name))
	}
	if a.Digest != "" {
		parts = append(parts, Printable(a.Digest[:min(len(a.Digest), len("sha256:")+12)]))
	}
	parts = append(parts, string(a.Kind), Size(a.Size))
	return strings.Join(parts, ", ")
}

// Size is a number of bytes for people.
func Size(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	n, unit := float64(bytes), 0
	for n >= 1000 && unit < len(units)-1 {
		n, unit = n/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}

// buildText says failures first: what is cut from a long text is its end.
func buildText(r *build.Report) string {
	var text lines
	text.add("%s.", DescribeBuild(r))
	if r.State == "running" {
		text.add(`job_get {"id":%q,"wait":50} follows it; job_cancel stops it.`, r.JobID)
	}
	text.warnings(r.Warnings)
	for _, s := range r.Services {
		if s.Status == build.Failed {
			text.problem(s)
		}
	}
	for _, s := range r.Services {
		if s.Status != build.Failed {
			text.add("%s", outcomeText(s))
		}
	}
	if r.More > 0 {
		text.add("… and %d more: name them to see them", r.More)
	}
	return text.String()
}

func outcomeText(s build.Outcome) string {
	line := fmt.Sprintf("%s %s (%s)", s.Status, Printable(s.Name), Printable(s.Target.System))
	for _, part := range compact(DescribeArtifact(s.Artifact), s.Out) {
		line += ", " + part
	}
	if s.Problem != nil {
		line += ": " + Printable(s.Problem.Message)
	}
	return line
}

func (l *lines) problem(s build.Outcome) {
	l.add("failed %s (%s): %s: %s", Printable(s.Name), Printable(s.Target.System), s.Problem.Code, Printable(s.Problem.Message))
	for _, line := range s.Problem.Tail {
		l.add("  | %s", Printable(line))
	}
	if s.Problem.Hint != "" {
		l.add("  hint: %s", Printable(s.Problem.Hint))
	}
	if s.Log != "" {
		l.add("  log: %s", Printable(s.Log))
	}
}
