package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/plan"
)

// Of much the beginning and the end are kept, and nothing is made of nothing.
func TestLog(t *testing.T) {
	t.Parallel()
	r := &run{watch: Watch{Logs: t.TempDir()}, report: &Report{Warnings: []plan.Warning{}}}
	quiet, loud := &Outcome{Name: "quiet"}, &Outcome{Name: "loud"}
	r.close(quiet, r.log(quiet))
	assert.Empty(t, quiet.Log)
	assert.NoFileExists(t, filepath.Join(r.watch.Logs, "quiet.log"))

	l := r.log(loud)
	l.room = 20
	for range 3 {
		_, err := l.Write([]byte("0123456789\n"))
		require.NoError(t, err)
	}
	middle := strings.Repeat("x", maxTail)
	for range 4 {
		_, err := l.Write([]byte(middle))
		require.NoError(t, err)
		assert.LessOrEqual(t, len(l.tail), 2*maxTail)
	}
	_, err := l.Write([]byte("the error\n"))
	require.NoError(t, err)
	r.close(loud, l)
	content, err := os.ReadFile(loud.Log)
	require.NoError(t, err)
	text := string(content)
	assert.True(t, strings.HasPrefix(text, "0123456789\n012345678\n… "), text[:60])
	assert.Contains(t, text[:100], " bytes are left out …\n")
	assert.True(t, strings.HasSuffix(text, "xxx\nthe error\n") || strings.HasSuffix(text, "xthe error\n"))
	assert.Less(t, len(content), maxTail+200)
	assert.Empty(t, r.report.Warnings)
}

// A log that cannot be written is said, and ends nothing.
func TestLogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r := &run{watch: Watch{Logs: filepath.Join(t.TempDir(), "gone")}, report: &Report{}}
	s := &Outcome{Name: "a"}
	l := r.log(s)
	n, err := l.Write([]byte("hello\n"))
	require.NoError(t, err)
	assert.Equal(t, 6, n)
	r.close(s, l)
	assert.Empty(t, s.Log)
	require.Len(t, r.report.Warnings, 1)
	assert.Equal(t, "logIncomplete", r.report.Warnings[0].Code)
}

// An answer lists the failures of many services, and says how many others there
// are.
func TestBounded(t *testing.T) {
	t.Parallel()
	r := &Report{}
	for i := range 300 {
		status := Cached
		if i%100 == 99 {
			status = Failed
		}
		r.Services = append(r.Services, Outcome{Name: string(rune('a'+i/26)) + string(rune('a'+i%26)), Status: status})
	}
	bounded := r.Bounded()
	assert.Len(t, bounded.Services, maxOutcomes)
	assert.Equal(t, 200, bounded.More)
	assert.Len(t, r.Services, 300)
	failed := 0
	for i, s := range bounded.Services {
		if s.Status == Failed {
			failed++
		}
		if i > 0 {
			assert.Less(t, bounded.Services[i-1].Name, s.Name)
		}
	}
	assert.Equal(t, 3, failed)
	assert.Same(t, bounded, bounded.Bounded())
	assert.Nil(t, (*Report)(nil).Bounded())
}
