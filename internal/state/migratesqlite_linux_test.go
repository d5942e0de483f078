package state_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A database that is written to all the while, and killed when its service is stopped, has
// every row on the other host that was acknowledged, and is whole.
func TestMigrateOfSQLite(t *testing.T) {
	for name, setup := range map[string]string{
		"write-ahead log":  "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=20; ",
		"rollback journal": "PRAGMA journal_mode=delete; PRAGMA cache_size=2; ",
	} {
		t.Run(name, func(t *testing.T) {
			j := newJourney(t)
			at := filepath.Join("volumes", "data")
			c := exec.Command("sqlite3", "-bail", filepath.Join(j.nas.dir, at, "db"))
			shell := startClient(t, c)
			require.NoError(t, shell.do(setup+"CREATE TABLE rows (n INTEGER PRIMARY KEY, text, copy); CREATE INDEX texts ON rows (text); CREATE TABLE marks (n); SELECT 'made';", "made"))
			rows := feed(t, func(n int) error { return shell.do(insert(n), fmt.Sprint(n)) })
			rows.wait(t, 200)
			sure := 0
			j.on("nas stop", func() {
				rows.wait(t, 1) // since it was copied last
				sure = rows.last()
				require.NoError(t, c.Process.Kill())
				_, err := c.Process.Wait()
				require.NoError(t, err)
			})
			done, err := j.migrator().Migrate(t.Context(), j.migrating("v1"))
			require.NoError(t, err)
			require.NoError(t, done.Unfinished)
			last, err := checkSQLite(filepath.Join(j.pi.dir, at))
			require.NoError(t, err)
			assert.GreaterOrEqual(t, last[0], sure)
			assert.Equal(t, []string{"web running unless-stopped"}, j.pi.is())
			j.idle()
		})
	}
}
