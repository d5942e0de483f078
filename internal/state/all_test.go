package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"homelab/internal/fault"
	"homelab/internal/state"
)

func TestDue(t *testing.T) {
	now := when(t, "2026-03-14T12:00:00Z")
	for name, row := range map[string]struct {
		every  string
		kept   []string
		newest string
		due    bool
	}{
		"none yet":              {due: true},
		"a day ago":             {kept: []string{"2026-03-13T12:00:00Z"}, newest: "2026-03-13T12:00:00Z", due: true},
		"what the last took":    {kept: []string{"2026-03-13T14:24:00Z"}, newest: "2026-03-13T14:24:00Z", due: true},
		"not yet":               {kept: []string{"2026-03-13T14:24:01Z"}, newest: "2026-03-13T14:24:01Z"},
		"the newest counts":     {kept: []string{"2026-03-01T00:00:00Z", "2026-03-14T00:00:00Z", "2026-03-02T00:00:00Z"}, newest: "2026-03-14T00:00:00Z"},
		"made now":              {kept: []string{"2026-03-14T12:00:00Z"}, newest: "2026-03-14T12:00:00Z"},
		"every week":            {every: "168h", kept: []string{"2026-03-09T00:00:00Z"}, newest: "2026-03-09T00:00:00Z"},
		"every week, and over":  {every: "168h", kept: []string{"2026-03-07T12:00:00Z"}, newest: "2026-03-07T12:00:00Z", due: true},
		"every ten minutes":     {every: "10m", kept: []string{"2026-03-14T11:50:59Z"}, newest: "2026-03-14T11:50:59Z", due: true},
		"one from the future":   {kept: []string{"2099-01-01T00:00:00Z"}, due: true},
		"the future and before": {kept: []string{"2099-01-01T00:00:00Z", "2026-03-14T00:00:00Z"}, newest: "2026-03-14T00:00:00Z"},
	} {
		kept := []state.Kept{}
		for _, text := range row.kept {
			kept = append(kept, state.Kept{Created: when(t, text)})
		}
		newest, due := state.Due(row.every, kept, now)
		want := time.Time{}
		if row.newest != "" {
			want = when(t, row.newest)
		}
		assert.Equal(t, []any{want, row.due}, []any{newest, due}, name)
	}
}

func TestBundleRequests(t *testing.T) {
	for _, r := range []state.BundleRequest{
		{}, {Due: true}, {Service: "web", Due: true}, {Service: "web", All: true}, {All: true, Host: "nas"},
	} {
		assert.Equal(t, fault.InvalidArgument, fault.CodeOf(r.Validate()), "%+v", r)
	}
	for _, r := range []state.BundleRequest{{Service: "web", Host: "nas"}, {All: true}, {All: true, Due: true, Store: "/srv", Background: true}} {
		assert.NoError(t, r.Validate(), "%+v", r)
	}
}
