package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

func TestLedger(t *testing.T) {
	t.Parallel()
	l := deploy.Ledger{Dir: filepath.Join(t.TempDir(), "deployed")}
	got, err := l.Read("pi", "ha")
	require.NoError(t, err)
	assert.Nil(t, got)
	is := func(names ...string) func(string) bool {
		return func(name string) bool { return slices.Contains(names, name) }
	}
	assert.False(t, l.Any(is("ha")))

	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 7200))
	r := deploy.RecordOf("pi", "id", map[string]string{
		deploy.LabelService: "ha", deploy.LabelGeneration: "7", deploy.LabelSpec: "spec", deploy.LabelOut: "/nix/store/a", deploy.LabelDrv: "/nix/store/a.drv",
		deploy.LabelRevision: "rev", deploy.LabelTree: "tree", deploy.LabelState: "dirty", deploy.LabelEdits: "edits", deploy.LabelVersion: "1.2", "other": "x",
	}, at)
	want := deploy.Record{
		Service: "ha", Host: "pi", Container: "id", Generation: 7, Revision: "rev", Tree: "tree", State: "dirty", Edits: "edits",
		Out: "/nix/store/a", Drv: "/nix/store/a.drv", Spec: "spec", Version: "1.2", At: at.UTC(),
	}
	assert.Equal(t, want, r)
	for _, generation := range []string{"", "seven", "99999999999999999999"} {
		assert.Zero(t, deploy.RecordOf("pi", "id", map[string]string{deploy.LabelGeneration: generation}, at).Generation)
	}
	require.NoError(t, l.Write(r))
	got, err = l.Read("pi", "ha")
	require.NoError(t, err)
	assert.Equal(t, &want, got)
	assert.True(t, l.Any(is("ha")))
	assert.False(t, l.Any(is("pi", "prom")))
	got, err = l.Read("attic", "ha")
	require.NoError(t, err)
	assert.Nil(t, got, "another host is another record")

	// What is no record of it is an error, and says what to do.
	file := filepath.Join(l.Dir, "pi", "ha.json")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, text := range []string{"", "{", "null", `{"service": "ha"}`} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		got, err = l.Read("pi", "ha")
		assert.Nil(t, got)
		assert.ErrorContains(t, err, "ha.json cannot be read")
		assert.NotEmpty(t, fault.Of(err).Hint)
	}
	require.NoError(t, os.WriteFile(filepath.Join(l.Dir, "pi", "prom.json"), content, 0o600))
	_, err = l.Read("pi", "prom")
	assert.ErrorContains(t, err, "no record of that service")
}
