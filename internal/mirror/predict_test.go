package mirror_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"homelab/internal/mirror"
)

func TestPrediction(t *testing.T) {
	// 4 GiB at first; then what was written meanwhile, less each time.
	first := mirror.Report{Read: 4 << 30, Suspect: 1 << 30, Look: 0.1, Compare: 2, Send: 8, Seconds: 8}
	second := mirror.Report{Read: 1 << 30, Suspect: 256 << 20, Look: 0.1, Compare: 0.5, Send: 1, Seconds: 1.5}
	third := mirror.Report{Read: 256 << 20, Suspect: 128 << 20, Look: 0.1, Compare: 0.12, Send: 0.05, Seconds: 0.4}
	slow := mirror.Report{Read: 256 << 20, Suspect: 256 << 20, Look: 0.1, Compare: 0.12, Send: 1, Seconds: 3, Sync: 2}
	cloned := first
	cloned.Cloned, cloned.Clone = true, 0.3
	idle := mirror.Report{Look: 0.1, Seconds: 0.1}
	for _, c := range []struct {
		passes  []mirror.Report
		seconds float64 // without the reserve
		worth   bool    // for a budget of 10 s
	}{
		{[]mirror.Report{first}, 0.02 + 0.2 + 2./4 + 8./4, true},
		{[]mirror.Report{first, second}, 0.02 + 0.2 + 0.5/4 + 1, true},
		{[]mirror.Report{first, second, third}, 0.02 + 0.2 + 0.12/2 + 0.05, false},
		{[]mirror.Report{first, second, slow}, 0.02 + 0.2 + 2*(0.12+1), false},
		{[]mirror.Report{first, idle}, 0.02 + 0.2, false},
		{[]mirror.Report{idle}, 0.02 + 0.2, false},
		{[]mirror.Report{cloned}, 0.02 + 0.2 + 0.3, false},
	} {
		got := mirror.Predict(c.passes)
		assert.InDelta(t, 1.5*c.seconds, got.Seconds(), 0.001)
		assert.Equal(t, c.worth, mirror.Worthwhile(c.passes, 10*time.Second), "%v", got)
	}
	assert.True(t, mirror.Worthwhile(nil, time.Minute))
	assert.False(t, mirror.Worthwhile([]mirror.Report{first}, time.Minute), "4 s are little of a minute")
}
