package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/state"
	"homelab/registry"
)

func TestRetain(t *testing.T) {
	const now = "2026-03-14T12:00:00Z" // a Saturday
	rows := map[string]struct {
		policy  registry.Retention
		zone    string
		now     string
		bundles []string // when they were made, ! for verified
		want    []string // newest first, with the reasons
	}{
		"none": {want: []string{}},
		"no policy, none verified": {
			bundles: []string{"2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
			want:    []string{"2026-03-02T00:00:00Z: newest, and none is verified", "2026-03-01T00:00:00Z"},
		},
		"the last verified one": {
			bundles: []string{"2026-03-01T00:00:00Z!", "2026-03-02T00:00:00Z!", "2026-03-03T00:00:00Z"},
			want:    []string{"2026-03-03T00:00:00Z", "2026-03-02T00:00:00Z: last verified", "2026-03-01T00:00:00Z"},
		},
		"last": {
			policy:  registry.Retention{Last: 2},
			bundles: []string{"2026-03-01T00:00:00Z", "2026-03-01T00:00:01Z", "2026-03-01T00:00:02Z!"},
			want:    []string{"2026-03-01T00:00:02Z: last, last verified", "2026-03-01T00:00:01Z: last", "2026-03-01T00:00:00Z"},
		},
		"days without bundles do not count": {
			policy:  registry.Retention{Daily: 2},
			bundles: []string{"2025-01-01T00:00:00Z!", "2026-03-01T00:00:00Z", "2026-03-01T09:00:00Z"},
			want:    []string{"2026-03-01T09:00:00Z: daily", "2026-03-01T00:00:00Z", "2025-01-01T00:00:00Z: daily, last verified"},
		},
		"weeks are those of ISO 8601": {
			policy:  registry.Retention{Weekly: 2},
			bundles: []string{"2025-12-28T23:00:00Z!", "2025-12-29T01:00:00Z", "2026-01-04T23:00:00Z"},
			want:    []string{"2026-01-04T23:00:00Z: weekly", "2025-12-29T01:00:00Z", "2025-12-28T23:00:00Z: weekly, last verified"},
		},
		"months": {
			policy:  registry.Retention{Monthly: 1},
			bundles: []string{"2025-03-10T00:00:00Z!", "2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z"},
			want:    []string{"2026-03-10T00:00:00Z: monthly", "2026-03-09T00:00:00Z", "2025-03-10T00:00:00Z: last verified"},
		},
		"one bundle has several reasons, and uses up each": {
			policy:  registry.Retention{Last: 1, Daily: 1, Weekly: 1, Monthly: 1},
			bundles: []string{"2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z!"},
			want:    []string{"2026-03-10T00:00:00Z: last, daily, weekly, monthly, last verified", "2026-03-09T00:00:00Z"},
		},
		"a day is one of the zone": {
			policy: registry.Retention{Daily: 3}, zone: "America/New_York",
			bundles: []string{"2026-03-09T03:00:00Z", "2026-03-08T23:00:00Z", "2026-03-08T05:00:00Z!"}, // clocks go forward on the 8th
			want:    []string{"2026-03-09T03:00:00Z: daily", "2026-03-08T23:00:00Z", "2026-03-08T05:00:00Z: last verified"},
		},
		"made in the future": {
			policy:  registry.Retention{Last: 1, Daily: 1},
			bundles: []string{"2099-01-01T00:00:00Z", "2026-03-13T00:00:00Z!", "2026-03-12T00:00:00Z"},
			want:    []string{"2099-01-01T00:00:00Z: made in the future", "2026-03-13T00:00:00Z: last, daily, last verified", "2026-03-12T00:00:00Z"},
		},
		"a clock that lost its time removes nothing": {
			policy: registry.Retention{Last: 1}, now: "1970-01-01T00:00:10Z",
			bundles: []string{"2026-03-13T00:00:00Z!", "2026-03-12T00:00:00Z"},
			want:    []string{"2026-03-13T00:00:00Z: made in the future", "2026-03-12T00:00:00Z: made in the future"},
		},
		"one from the future stands in for none that is verified": {
			bundles: []string{"2099-01-01T00:00:00Z!", "2026-03-13T00:00:00Z"},
			want:    []string{"2099-01-01T00:00:00Z: made in the future", "2026-03-13T00:00:00Z: newest, and none is verified"},
		},
		"a negative count is none": {
			policy:  registry.Retention{Last: -1},
			bundles: []string{"2026-03-13T00:00:00Z!", "2026-03-12T00:00:00Z"},
			want:    []string{"2026-03-13T00:00:00Z: last verified", "2026-03-12T00:00:00Z"},
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(row.zone)
			require.NoError(t, err)
			var bundles []state.Candidate
			for _, text := range row.bundles {
				at, verified := strings.CutSuffix(text, "!")
				bundles = append(bundles, state.Candidate{ID: at, Created: when(t, at), Verified: verified})
			}
			clock := now
			if row.now != "" {
				clock = row.now
			}
			got := []string{}
			for _, r := range state.Retain(row.policy, bundles, when(t, clock), zone) {
				line := r.ID
				if len(r.Reasons) > 0 {
					line += ": " + strings.Join(r.Reasons, ", ")
				}
				got = append(got, line)
			}
			assert.Equal(t, row.want, got)
		})
	}
}

func when(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at
}
