package state

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"homelab/registry"
)

// Candidate is a bundle of a service that may be removed.
type Candidate struct {
	ID       string
	Created  time.Time
	Verified bool // as [Evidence] tells
}

// Retained says why a bundle is kept.
type Retained struct {
	ID      string
	Reasons []string // none: it is not kept
}

// Retain decides which bundles of a service are kept, and why; newest first.
//
// Of each of the last days, weeks (from Monday) and months that have bundles, in
// the given zone, the newest is kept: when none were made for a while, the old ones
// stay. The newest verified one is always kept; while none is verified, the newest.
// One that was made after now tells of a clock that was wrong: it is kept, and
// takes the place of no other.
func Retain(policy registry.Retention, bundles []Candidate, now time.Time, zone *time.Location) []Retained {
	bundles = slices.Clone(bundles)
	slices.SortFunc(bundles, func(a, b Candidate) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	periods := []*period{
		{name: "last", left: policy.Last, of: func(c Candidate) string { return c.ID }},
		{name: "daily", left: policy.Daily, of: func(c Candidate) string { return c.Created.In(zone).Format(time.DateOnly) }},
		{name: "weekly", left: policy.Weekly, of: func(c Candidate) string {
			year, week := c.Created.In(zone).ISOWeek()
			return fmt.Sprintf("%d-W%02d", year, week)
		}},
		{name: "monthly", left: policy.Monthly, of: func(c Candidate) string { return c.Created.In(zone).Format("2006-01") }},
	}
	retained := make([]Retained, len(bundles))
	newest, verified := -1, -1
	for i, c := range bundles {
		retained[i] = Retained{ID: c.ID, Reasons: []string{}}
		if c.Created.After(now) {
			retained[i].Reasons = append(retained[i].Reasons, "made in the future")
			continue
		}
		if newest < 0 {
			newest = i
		}
		if verified < 0 && c.Verified {
			verified = i
		}
		for _, p := range periods {
			if p.takes(c) {
				retained[i].Reasons = append(retained[i].Reasons, p.name)
			}
		}
	}
	if verified >= 0 {
		retained[verified].Reasons = append(retained[verified].Reasons, "last verified")
	} else if newest >= 0 {
		retained[newest].Reasons = append(retained[newest].Reasons, "newest, and none is verified")
	}
	return retained
}

// period keeps the newest of each of its last days, weeks or months.
type period struct {
	name string
	left int
	of   func(Candidate) string
	last string
}

func (p *period) takes(c Candidate) bool {
	of := p.of(c)
	if p.left <= 0 || of == p.last {
		return false
	}
	p.left--
	p.last = of
	return true
}
