package cli

import (
	"slices"
	"time"

	"homelab/internal/state"
	"homelab/tools"
)

func (p *page) bundled(r *state.BundleReport) {
	p.styled(bold, tools.Printable(tools.DescribeBundle(r)))
	p.blank()
	if r.All != nil {
		p.ofAll(r.All)
		return
	}
	if r.Store != "" {
		p.field("store", r.Store)
	}
	p.field("job", r.JobID)
	for _, note := range tools.BundleNotes(r) {
		p.line(note)
	}
}

var ofAllStyle = map[state.BundleStatus]style{state.BundleMade: green, state.BundleFailed: red, state.BundleNoStore: yellow, state.BundleNotDue: dim}

func (p *page) ofAll(all *state.AllBundles) {
	for _, s := range all.Services {
		lines := tools.DescribeOneOfAll(s)
		p.styled(ofAllStyle[s.Status], lines[0])
		for _, line := range lines[1:] {
			p.line(line)
		}
	}
}

func (p *page) bundles(l *state.Listing) {
	p.styled(bold, tools.DescribeListing(l))
	if len(l.Bundles) > 0 {
		p.blank()
		rows := [][]cell{}
		for _, b := range l.Bundles {
			shade := dim
			if b.Verified != "" {
				shade = green
			}
			rows = append(rows, []cell{{b.ID, bold}, text(b.Service), text(b.Store), {tools.DescribeListed(b), shade}})
		}
		p.table([]string{"BUNDLE", "SERVICE", "STORE", "WHAT"}, rows)
	}
	for _, s := range l.Stores {
		if s.Problem != nil {
			p.blank()
			p.styled(red, "store "+s.Name+" does not answer: "+tools.Printable(s.Problem.Message))
			p.line("  " + tools.Printable(s.Problem.Hint))
		}
	}
}

func (p *page) verified(r *state.VerifyReport) {
	p.styled(green, tools.Printable(tools.DescribeVerified(r)))
	p.blank()
	p.field("store", r.Store)
	p.field("made", r.Created)
	for _, note := range tools.VerifiedNotes(r) {
		p.line(note)
	}
}

func (p *page) drilled(r *state.DrillReport) {
	p.styled(map[string]style{"passed": green, "failed": red, "running": bold}[r.State], tools.DescribeDrill(r))
	p.blank()
	p.field("host", r.Host)
	p.field("store", r.Store)
	p.field("job", r.JobID)
	for _, note := range tools.DrillNotes(r) {
		p.line(note)
	}
}

var thinnedStyle = map[state.PruneStatus]style{state.Pruned: green, state.PruneFailed: red, state.PruneKeep: dim}

func (p *page) thinned(r *state.PruneReport) {
	p.styled(bold, tools.DescribeThinned(r))
	for _, s := range r.Stores {
		p.blank()
		p.styled(bold, s.Name)
		for _, b := range slices.Concat(s.Goes, s.Stays) {
			p.styled(thinnedStyle[b.Status], "  "+tools.DescribeThinnedBundle(b))
		}
		for _, line := range tools.DescribeThinnedStore(s) {
			p.line("  " + line)
		}
	}
}

func (p *page) restored(r *state.RestoreReport) {
	p.styled(bold, tools.Printable(tools.DescribeRestore(r)))
	p.blank()
	if r.Store != "" {
		p.field("store", r.Store)
	}
	if r.Preview != nil {
		if r.Action == state.ActionRestore {
			p.field("made", r.Preview.Created.UTC().Format(time.RFC3339))
		}
		for _, i := range r.Preview.Items {
			p.line(tools.DescribeRestoreItem(r, i))
		}
	}
	for _, note := range tools.RestoreNotes(r) {
		p.line(note)
	}
}

func (p *page) migrated(r *state.MigrateReport) {
	p.styled(bold, tools.Printable(tools.DescribeMigration(r)))
	p.blank()
	p.field("runs", r.Preview.Out)
	for _, i := range r.Preview.Items {
		p.line(tools.DescribeMigrateItem(i))
	}
	for _, note := range tools.MigrationNotes(r) {
		p.line(note)
	}
}
