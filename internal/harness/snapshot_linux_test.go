package harness

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/tree/treetest"
)

// Bundles say whether there was a snapshot, and the answer why there was none.
func TestBundlesOfSnapshots(t *testing.T) {
	const stray = "volume data was captured, but web does not mount it: is it the right one?"
	for kind, want := range map[string]struct {
		level    quiesce.Kind
		warnings []string
	}{
		"xfs":  {quiesce.Snapshot, []string{stray}},
		"ext4": {quiesce.Pause, []string{stray, "there was no snapshot, and web stood still until the last was copied: data: there are no clones on its file system"}},
	} {
		t.Run(kind, func(t *testing.T) {
			k := newKept(t, `"quiesce": {"kind": "snapshot"}`)
			k.volumes = treetest.Mount(t, kind, 512<<20)
			t.Cleanup(k.reading.Wait) // before that is unmounted
			k.write("data/history", "what happened")
			k.runs("web", "v1", healthy)
			for range 2 {
				report, err := k.core.StateBundle(t.Context(), state.BundleRequest{Service: "w"}, quiet)
				require.NoError(t, err)
				assert.Equal(t, want.level, report.About.Consistency)
				assert.Equal(t, want.warnings, report.Warnings)
				assert.NotZero(t, report.Parts.Predicted)
				verified, err := k.core.StateVerify(t.Context(), state.VerifyRequest{Bundle: report.Bundle}, quiet)
				require.NoError(t, err)
				assert.Equal(t, want.level, verified.About.Consistency)
				assert.Positive(t, state.Paces{Dir: filepath.Join(k.jobs.Dir, "pace")}.Of("nas", "web", quiesce.Snapshot).Wake, "the next one counts with it")
			}
		})
	}
}
