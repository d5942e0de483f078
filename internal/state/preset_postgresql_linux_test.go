package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// postgres has its programs run as its user, as it does not run as root.
type postgres struct {
	t       *testing.T
	bin     string
	as      syscall.Credential
	sockets string
}

func newPostgres(t *testing.T) *postgres {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	require.NoError(t, err)
	require.NotEmpty(t, bins, "PostgreSQL is missing: run .ci/setup test")
	who, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.Atoi(who.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(who.Gid)
	require.NoError(t, err)
	p := &postgres{t: t, bin: bins[len(bins)-1], as: syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, sockets: t.TempDir()}
	require.NoError(t, os.Chmod(filepath.Dir(p.sockets), 0o711))
	require.NoError(t, os.Chmod(p.sockets, 0o777))
	return p
}

func (p *postgres) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(p.bin, name), args...)
	c.SysProcAttr, c.Dir = &syscall.SysProcAttr{Credential: &p.as}, "/"
	return c
}

// serve starts a server on a folder. Little memory and little log have it write all the
// time, and begin its log anew every second or so.
func (p *postgres) serve(dir, port string) (*server, error) {
	return serve(p.command("postgres", "-D", dir, "-k", p.sockets, "-p", port, "-c", "listen_addresses=",
		"-c", "shared_buffers=2MB", "-c", "max_wal_size=4MB", "-c", "min_wal_size=2MB"), "database system is ready to accept connections")
}

func (p *postgres) psql(port string, args ...string) *exec.Cmd {
	return p.command("psql", append([]string{"-XqAt", "-v", "ON_ERROR_STOP=1", "-h", p.sockets, "-p", port, "-d", "postgres"}, args...)...)
}

// check starts a server on a copy, has it look at every page, row and index, and tells
// the last row of each writer.
func (p *postgres) check(copy string) (last []int, err error) {
	s, err := p.serve(copy, "5433")
	if err != nil {
		return nil, err
	}
	defer s.end(syscall.SIGQUIT)
	if _, err := asked(p.command("pg_amcheck", "-h", p.sockets, "-p", "5433", "-d", "postgres", "--install-missing", "--heapallindexed", "--parent-check")); err != nil {
		return nil, err
	}
	return p.rows("5433", "postgres")
}

// rows are the last of each writer: all before it are there and whole.
func (p *postgres) rows(port, database string) (last []int, err error) {
	answer, err := asked(p.psql(port, "-d", database, "-c", `SELECT max(n), bool_and(md5(text) = sum) AND count(*) = max(n) AND count(*) = max(made) FROM rows JOIN writers USING (who) GROUP BY who ORDER BY who`))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(answer) {
		var n int
		if _, err := fmt.Sscanf(line, "%d|t", &n); err != nil {
			return nil, fmt.Errorf("%w: %s", errTorn, answer)
		}
		last = append(last, n)
	}
	return last, nil
}

func TestPresetOfPostgreSQL(t *testing.T) {
	p := newPostgres(t)
	s, dir := newSubject(t, "postgresql")
	s.check = p.check
	require.NoError(t, os.Chown(dir, int(p.as.Uid), int(p.as.Gid)))
	_, err := asked(p.command("initdb", "-D", dir, "-A", "trust", "--data-checksums", "--wal-segsize=1", "--no-sync"))
	require.NoError(t, err)
	running, err := p.serve(dir, "5432")
	require.NoError(t, err)
	t.Cleanup(func() { running.end(syscall.SIGQUIT) })
	s.pid = running.cmd.Process.Pid
	_, err = asked(p.psql("5432", "-c", `CREATE TABLE rows (who int, n int, text text, sum text, PRIMARY KEY (who, n)); CREATE INDEX ON rows (sum);
		CREATE TABLE writers (who int PRIMARY KEY, made int); INSERT INTO writers VALUES (1, 0), (2, 0)`))
	require.NoError(t, err)
	for who := range 2 {
		shell := startClient(t, p.psql("5432"))
		s.rows = append(s.rows, feed(t, func(n int) error {
			return shell.do(fmt.Sprintf(`BEGIN;
				WITH t AS MATERIALIZED (SELECT repeat(md5(random()::text), 50) AS text) INSERT INTO rows SELECT %d, %d, text, md5(text) FROM t;
				WITH t AS MATERIALIZED (SELECT repeat(md5(random()::text), 50) AS text) UPDATE rows SET text = t.text, sum = md5(t.text) FROM t WHERE who = %[1]d AND n = %[2]d / 2;
				UPDATE writers SET made = %[2]d WHERE who = %[1]d; COMMIT; SELECT %[2]d;`, who+1, n), fmt.Sprint(n))
		}))
	}
	s.dump(func(into string) error {
		_, err := asked(p.command("pg_dump", "-h", p.sockets, "-p", "5432", "-d", "postgres", "-Fc", "-f", filepath.Join(into, "dump")))
		return err
	}, func(dumped string) ([]int, error) {
		dump, err := os.ReadFile(filepath.Join(dumped, "dump"))
		if err != nil {
			return nil, err
		}
		if _, err := asked(p.psql("5432", "-c", "CREATE DATABASE restored")); err != nil {
			return nil, err
		}
		into := p.command("pg_restore", "-h", p.sockets, "-p", "5432", "-d", "restored", "--exit-on-error")
		into.Stdin = bytes.NewReader(dump)
		if _, err := asked(into); err != nil {
			return nil, err
		}
		last, err := p.rows("5432", "restored")
		_, dropped := asked(p.psql("5432", "-c", "DROP DATABASE restored"))
		return last, errors.Join(err, dropped)
	})
	last, copy := s.rounds(3, 300)
	s.without("pg_wal", last, copy)
}
