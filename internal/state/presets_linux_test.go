package state_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/quiesce"
	"homelab/internal/state"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// subject is a program that a preset is for, under load.
type subject struct {
	*flat
	quiesce registry.Quiesce
	level   quiesce.Kind // that it reaches
	pid     int
	rows    []*rows
	// check has the program look at a copy, and tells the last row of each writer: all
	// before it are there and whole.
	check func(copy string) (last []int, err error)
}

// rows are numbered, and written one after the other. One is acknowledged when write
// returns.
type rows struct {
	lock         sync.Mutex
	changed      *sync.Cond
	acknowledged int
	held         bool
	err          error
}

func feed(t *testing.T, write func(n int) error) *rows {
	r := &rows{}
	r.changed = sync.NewCond(&r.lock)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; r.have(n, write(n)); n++ {
		}
	}()
	t.Cleanup(func() {
		r.have(0, io.EOF)
		<-done
	})
	return r
}

// have notes a row, and says whether there are to be more.
func (r *rows) have(n int, err error) bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.err == nil {
		r.acknowledged, r.err = n, err
	}
	r.changed.Broadcast()
	for r.held && r.err == nil {
		r.changed.Wait()
	}
	return r.err == nil
}

// hold has the writer wait, while what it wrote is looked at.
func (r *rows) hold(held bool) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.held = held
	r.changed.Broadcast()
}

func (r *rows) last() int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.acknowledged
}

// wait returns when there are so many more.
func (r *rows) wait(t *testing.T, more int) {
	t.Helper()
	r.lock.Lock()
	defer r.lock.Unlock()
	for until := r.acknowledged + more; r.acknowledged < until; r.changed.Wait() {
		require.NoError(t, r.err)
	}
}

// client is a program that takes scripts and prints answers.
type client struct {
	in  io.Writer
	out *bufio.Reader
}

// startClient starts one that ends with the test.
func startClient(t *testing.T, c *exec.Cmd) client {
	t.Helper()
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return client{in, bufio.NewReader(out)}
}

// do runs a script, until the last line of its answer is there.
func (c client) do(script, last string) error {
	_, err := io.WriteString(c.in, script+"\n")
	for line := ""; err == nil && line != last+"\n"; {
		line, err = c.out.ReadString('\n')
	}
	return err
}

// server is a program that says when it is ready.
type server struct {
	cmd  *exec.Cmd
	said chan string // all its lines but those before it was ready; closed when it ended
	log  bytes.Buffer
}

// serve starts a server, and returns when its log has all of these.
func serve(c *exec.Cmd, ready ...string) (*server, error) {
	s := &server{cmd: c, said: make(chan string)}
	stderr, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stderr)
	for len(ready) > 0 && lines.Scan() {
		fmt.Fprintln(&s.log, lines.Text())
		if strings.Contains(lines.Text(), ready[0]) {
			ready = ready[1:]
		}
	}
	go func() {
		defer close(s.said)
		for lines.Scan() { // it would wait for a reader
		}
	}()
	if len(ready) > 0 {
		s.end(syscall.SIGKILL)
		return nil, fmt.Errorf("%s does not start:\n%s", c.Path, &s.log)
	}
	return s, nil
}

func (s *server) end(by syscall.Signal) {
	_ = s.cmd.Process.Signal(by)
	<-s.said
	_ = s.cmd.Wait()
}

// newSubject is a flat whose service writes into a folder of the volume: dir.
func newSubject(t *testing.T, preset string) (s *subject, dir string) {
	return newSubjectIn(newFlat(t), registry.Quiesce{Preset: preset}, quiesce.Pause)
}

func newSubjectIn(f *flat, q registry.Quiesce, level quiesce.Kind) (s *subject, dir string) {
	t := f.t
	s = &subject{flat: f, quiesce: q, level: level}
	// Not all programs run as root.
	require.NoError(t, os.Chmod(filepath.Dir(s.site.dir), 0o711))
	dir = filepath.Join(s.site.dir, "data", "of the program")
	require.NoError(t, os.Mkdir(dir, 0o777))
	return s, dir
}

// capture copies the state as a bundle does, and tells of each writer the last row
// that was acknowledged before the program came to rest, and one that cannot be there.
func (s *subject) capture() (copy string, sure, beyond []int) {
	s.t.Helper()
	place := s.t.TempDir()
	copies, err := os.OpenRoot(place)
	require.NoError(s.t, err)
	defer copies.Close()
	defer treetest.Thaw(s.t, s.pid)
	s.engine.Fail = func(call string) error {
		switch call {
		case "pause":
			for _, r := range s.rows {
				sure = append(sure, r.last())
			}
			treetest.Freeze(s.t, s.pid)
		case "unpause":
			for _, r := range s.rows {
				beyond = append(beyond, r.last()+2)
			}
			treetest.Thaw(s.t, s.pid)
		}
		return nil
	}
	declared := &registry.State{Items: []registry.StateItem{{Volume: "data"}}, Quiesce: &s.quiesce}
	items, _ := state.Captured(declared, false)
	q := &quiesce.Quiescer{Engine: s.engine, Host: "nas", Journal: s.journal}
	taken, err := state.Take(s.ctx, q, s.site, state.Capturing{
		Service: "web", Container: s.is(), Items: items, Method: quiesce.NewMethod(declared.Quiesce), Budget: time.Minute, Copies: copies,
	})
	require.NoError(s.t, err)
	require.Equal(s.t, s.level, taken.Level, taken.Uncloned)
	return filepath.Join(place, "0", "of the program"), sure, beyond
}

// dump captures what a command dumps into a folder of the volume, and nothing else, while
// the program goes on: all that was acknowledged before has to be in it, by this check.
func (s *subject) dump(run func(into string) error, check func(dumped string) ([]int, error)) {
	s.t.Helper()
	for _, r := range s.rows {
		r.hold(false)
		r.wait(s.t, 50)
	}
	place := s.t.TempDir()
	copies, err := os.OpenRoot(place)
	require.NoError(s.t, err)
	defer copies.Close()
	dumps, sure := filepath.Join(s.site.dir, "data", "dumps"), []int{}
	s.engine.Command = func(_ deploy.Container, command []string) (int, string) {
		if command[0] == "clean" {
			err = os.RemoveAll(dumps)
		} else {
			for _, r := range s.rows {
				sure = append(sure, r.last())
			}
			if err = os.MkdirAll(dumps, 0o777); err == nil {
				err = errors.Join(os.Chmod(dumps, 0o777), run(dumps))
			}
		}
		if err != nil {
			return 1, err.Error()
		}
		return 0, ""
	}
	items, _ := state.Captured(&registry.State{Items: []registry.StateItem{{Volume: "data", Exclude: []string{"of the program"}}}}, false)
	q := &quiesce.Quiescer{Engine: s.engine, Host: "nas", Journal: s.journal}
	taken, err := state.Take(s.ctx, q, s.site, state.Capturing{
		Service: "web", Container: s.is(), Items: items, Method: quiesce.Method{Kind: quiesce.Dump, Freeze: []string{"dump"}, Thaw: []string{"clean"}, Timeout: time.Minute}, Budget: time.Millisecond, Copies: copies,
	})
	require.NoError(s.t, err)
	assert.Equal(s.t, []any{quiesce.Dump, 0.0, int64(0)}, []any{taken.Level, taken.Outage, taken.Unsettled})
	assert.NoDirExists(s.t, dumps)
	assert.NoDirExists(s.t, filepath.Join(place, "0", "of the program"))
	last, err := check(filepath.Join(place, "0", "dumps"))
	require.NoError(s.t, err)
	require.Len(s.t, last, len(sure))
	for i := range sure {
		assert.GreaterOrEqual(s.t, last[i], sure[i])
	}
}

// rounds captures the state again and again: all that was acknowledged is in it, and
// nothing is torn. It returns the last copy, and one that nobody has looked at, as
// looking changes it.
func (s *subject) rounds(rounds, more int) (last []int, untouched string) {
	s.t.Helper()
	for range rounds {
		for _, r := range s.rows {
			r.hold(false)
		}
		for _, r := range s.rows {
			r.wait(s.t, more)
		}
		copy, sure, beyond := s.capture()
		for _, r := range s.rows {
			r.hold(true)
		}
		untouched = copy + ", untouched"
		require.NoError(s.t, exec.Command("cp", "-a", copy, untouched).Run())
		var err error
		last, err = s.check(copy)
		require.NoError(s.t, err)
		for i := range s.rows {
			assert.GreaterOrEqual(s.t, last[i], sure[i])
			assert.Less(s.t, last[i], beyond[i])
		}
	}
	return last, untouched
}

// without holds what the preset relies on against what is found without it: a check
// that is content with that would see no loss.
func (s *subject) without(log string, last []int, copy string) {
	s.t.Helper()
	require.NoError(s.t, os.RemoveAll(filepath.Join(copy, log)))
	found, err := s.check(copy)
	if err == nil {
		assert.NotEqual(s.t, last, found, "nothing is lost without "+log)
	}
}

// asked is the answer of a program that is asked about a copy.
func asked(c *exec.Cmd) (string, error) {
	answer, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", c, err, answer)
	}
	return strings.TrimSpace(string(answer)), nil
}

var errTorn = errors.New("rows are torn or missing")
