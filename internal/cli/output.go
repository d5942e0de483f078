package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"homelab/internal/build"
	"homelab/internal/deploy"
	"homelab/internal/doctor"
	"homelab/internal/fault"
	"homelab/internal/job"
	"homelab/internal/plan"
	"homelab/internal/rollout"
	"homelab/internal/state"
	"homelab/tools"
)

// show prints a result: its JSON when that was asked for, else the view made
// for its type, else its text.
func (r *run) show(result tools.Result) error {
	if r.json {
		value, err := result.JSON()
		if err != nil {
			return err
		}
		return r.printJSON(value)
	}
	page := r.page()
	page.show(result, r.catalog)
	return r.print(page.String())
}

// show puts down the view that is made for the type of a result, else its text.
func (p *page) show(result tools.Result, catalog []tools.Tool) {
	switch value := result.Value.(type) {
	case *plan.Plan:
		p.plan(value)
	case *plan.Listing:
		p.listing(value)
	case *plan.Resolved:
		p.resolved(value)
	case *plan.Check:
		p.check(value)
	case *doctor.Report:
		p.doctor(value)
	case *deploy.LoadReport:
		p.loads(value)
	case *deploy.StatusReport:
		p.status(value)
	case *deploy.PruneReport:
		p.prune(value)
	case *deploy.RepairReport:
		p.repairs(value)
	case *deploy.LogsReport:
		p.logs(value)
	case *rollout.Report:
		p.rollout(value)
	case *deploy.RunReport:
		p.runs(value)
	case *state.BundleReport:
		p.bundled(value)
	case *state.Listing:
		p.bundles(value)
	case *state.VerifyReport:
		p.verified(value)
	case *state.RestoreReport:
		p.restored(value)
	case *state.MigrateReport:
		p.migrated(value)
	case *state.DrillReport:
		p.drilled(value)
	case *state.PruneReport:
		p.thinned(value)
	case *build.Report:
		p.build(value)
	case *job.Listing:
		p.jobs(value)
	case *tools.JobAnswer:
		p.job(value.Job)
		if answered := tools.Answered(catalog, value); answered.Value != nil {
			p.blank()
			p.show(answered, catalog)
		}
	case *job.Job:
		p.job(*value)
	default:
		p.line(result.Text)
	}
}

func (r *run) print(text string) error {
	return write(r.app.Streams.Out, text)
}

// write writes all of a result. Who closed the pipe, as head does, has read
// enough: that is no failure.
func write(out io.Writer, text string) error {
	_, err := io.WriteString(out, text)
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return fault.Newf(fault.Precondition, "make room, or write elsewhere", "cannot write the result: %w", err)
}

func (r *run) printJSON(value json.RawMessage) error {
	var indented bytes.Buffer
	if err := json.Indent(&indented, value, "", "  "); err != nil {
		return err
	}
	return r.print(indented.String() + "\n")
}

// fail prints an error: one JSON object when JSON was asked for, else a line
// that says what happened and a line that says what to do.
func (r *run) fail(err error, args []string) {
	failure := tools.FailureOf(err)
	out := r.app.Streams.Err
	// A flag that does not parse ends the parsing before a later --json is seen.
	if r.json || slices.Contains(args, "--json") {
		line, err := json.Marshal(failure)
		if err == nil {
			fmt.Fprintf(out, "%s\n", line)
			return
		}
	}
	fmt.Fprintf(out, "homelab: %s\n", printableLines(failure.Message))
	if failure.Hint != "" {
		fmt.Fprintf(out, "hint: %s\n", printableLines(failure.Hint))
	}
	if crash := (*tools.Panic)(nil); errors.As(err, &crash) {
		fmt.Fprintf(out, "%s\n", crash.Stack)
	}
}

func printableLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = tools.Printable(strings.ReplaceAll(line, "\t", "  "))
	}
	return strings.Join(lines, "\n")
}

// page is a new page for standard output.
func (r *run) page() *page {
	out, isFile := r.app.Streams.Out.(*os.File)
	if !isFile || !term.IsTerminal(int(out.Fd())) {
		return &page{}
	}
	p := &page{colored: !r.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(out.Fd())); err == nil {
		p.width = width
	}
	return p
}
