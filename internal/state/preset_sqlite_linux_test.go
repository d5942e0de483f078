package state_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// sqlite is a database in the volume, with the program that writes to it.
func sqlite(t *testing.T, preset, setup string) (*subject, client) {
	t.Helper()
	s, dir := newSubject(t, preset)
	return s, s.sqlite(dir, setup)
}

func (s *subject) sqlite(dir, setup string) client {
	t := s.t
	t.Helper()
	c := exec.Command("sqlite3", "-bail", dir+"/db")
	shell := startClient(t, c)
	s.pid, s.check = c.Process.Pid, checkSQLite
	require.NoError(t, shell.do(setup+"CREATE TABLE rows (n INTEGER PRIMARY KEY, text, copy); CREATE INDEX texts ON rows (text); CREATE TABLE marks (n); SELECT 'made';", "made"))
	return shell
}

// insert writes a row, and another one over.
func insert(n int) string {
	return fmt.Sprintf(`BEGIN; INSERT INTO rows VALUES (%d, hex(randomblob(1500)), NULL); INSERT INTO marks VALUES (%[1]d);
		UPDATE rows SET text = hex(randomblob(1500)) WHERE n = %[1]d / 2;
		UPDATE rows SET copy = text WHERE n IN (%[1]d, %[1]d / 2); COMMIT; SELECT %[1]d;
	`, n)
}

func checkSQLite(copy string) ([]int, error) {
	answer, err := asked(exec.Command("sqlite3", "-bail", copy+"/db", `PRAGMA integrity_check;
		SELECT coalesce(sum(text = copy), 0) = count(*) AND count(*) = coalesce(max(n), 0) AND count(*) = (SELECT count(DISTINCT n) FROM marks) FROM rows;
		SELECT count(*) FROM rows;`))
	if err != nil {
		return nil, err
	}
	var last int
	if _, err := fmt.Sscanf(answer, "ok\n1\n%d", &last); err != nil {
		return nil, fmt.Errorf("%w: %.200s", errTorn, answer)
	}
	return []int{last}, nil
}

// Databases as Home Assistant and Grafana have them: with a write-ahead log, and with a
// rollback journal.
func TestPresetsOfSQLite(t *testing.T) {
	for preset, setup := range map[string]string{
		"sqlite":         "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=20; ",
		"home-assistant": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal; ",
		"grafana":        "PRAGMA journal_mode=delete; PRAGMA cache_size=2; ",
	} {
		t.Run(preset, func(t *testing.T) {
			s, shell := sqlite(t, preset, setup)
			s.rows = []*rows{feed(t, func(n int) error { return shell.do(insert(n), fmt.Sprint(n)) })}
			s.rounds(4, 60)
		})
	}
}

// What a database has in its log, or has begun and may have to undo, is in the copy.
func TestPresetsOfSQLiteWithTheirJournal(t *testing.T) {
	for log, scripts := range map[string][2]string{
		"db-wal":     {"PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; ", ""},
		"db-journal": {"PRAGMA journal_mode=delete; PRAGMA cache_size=2; ", "BEGIN; UPDATE rows SET text = hex(randomblob(1500)); UPDATE rows SET n = n + 1000; "},
	} {
		t.Run(log, func(t *testing.T) {
			s, shell := sqlite(t, "sqlite", scripts[0])
			for n := range 100 {
				require.NoError(t, shell.do(insert(n+1), fmt.Sprint(n+1)))
			}
			require.NoError(t, shell.do(scripts[1]+"SELECT 'open';", "open"))
			last, copy := s.rounds(1, 0)
			require.Equal(t, []int{100}, last)
			s.without(log, last, copy)
		})
	}
}

// A dump of a database that is written to is the database as it was at one moment.
func TestDumpsOfSQLite(t *testing.T) {
	for journal, setup := range map[string]string{"wal": "PRAGMA journal_mode=wal; ", "delete": "PRAGMA journal_mode=delete; PRAGMA busy_timeout=60000; "} {
		for name, script := range map[string]string{"vacuum": "VACUUM INTO '%s'", "backup": ".backup '%s'"} {
			if journal == "delete" && name == "backup" {
				continue // it begins anew whenever somebody else writes, and need not come to an end
			}
			t.Run(journal+" "+name, func(t *testing.T) {
				s, shell := sqlite(t, "sqlite", setup)
				s.rows = []*rows{feed(t, func(n int) error { return shell.do(insert(n), fmt.Sprint(n)) })}
				s.dump(func(into string) error {
					_, err := asked(exec.Command("sqlite3", "-bail", "-cmd", ".timeout 60000", filepath.Join(s.site.dir, "data", "of the program", "db"), fmt.Sprintf(script, filepath.Join(into, "db"))))
					return err
				}, checkSQLite)
			})
		}
	}
}
