package state_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/bundle"
	"homelab/internal/deploy"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/tree/treetest"
)

// TestMain lets this binary play a service that writes.
func TestMain(m *testing.M) {
	if tree := os.Getenv("STATE_TEST_WRITER"); tree != "" {
		panic(writeWithDatabase(tree))
	}
	os.Exit(m.Run())
}

// writeWithDatabase goes on for ever. Besides the log and the map there is a database,
// which has a row for each number that it tells.
func writeWithDatabase(tree string) error {
	c := exec.Command("sqlite3", "-bail", filepath.Join(tree, "db"))
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	shell := client{in, bufio.NewReader(out)}
	if err := shell.do("PRAGMA journal_mode=wal; PRAGMA synchronous=normal; CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, text); SELECT 'made';", "made"); err != nil {
		return err
	}
	return treetest.Write(tree, func(n uint64) error {
		if err := shell.do(fmt.Sprintf("INSERT OR IGNORE INTO rows VALUES (%d, hex(randomblob(1000))); SELECT %[1]d;", n), fmt.Sprint(n)); err != nil {
			return err
		}
		_, err := fmt.Println(n)
		return err
	})
}

// writer is the program of a service: it checks its own records.
type writer struct {
	t    *testing.T
	tree string

	mu   sync.Mutex
	more *sync.Cond
	cmd  *exec.Cmd
	said int
}

// newWriter starts one, which ends with the test.
func newWriter(t *testing.T, tree string) *writer {
	t.Helper()
	require.NoError(t, os.MkdirAll(tree, 0o755))
	w := &writer{t: t, tree: tree}
	w.more = sync.NewCond(&w.mu)
	w.begin()
	t.Cleanup(w.end)
	w.goesOn()
	return w
}

func (w *writer) begin() {
	w.t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "STATE_TEST_WRITER="+w.tree)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, c.Start())
	w.mu.Lock()
	w.cmd = c
	w.mu.Unlock()
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.mu.Lock()
			w.said++
			w.more.Broadcast()
			w.mu.Unlock()
		}
	}()
}

func (w *writer) pid() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cmd == nil {
		return 0
	}
	return w.cmd.Process.Pid
}

// end kills it, as a container does that does not end by itself.
func (w *writer) end() {
	pid := w.pid()
	if pid == 0 {
		return
	}
	for _, each := range treetest.Family(w.t, pid) {
		_ = syscall.Kill(each, syscall.SIGKILL) // it may have ended
	}
	_ = w.cmd.Wait() // it was killed
	w.mu.Lock()
	w.cmd = nil
	w.mu.Unlock()
}

// goesOn returns when it has written more.
func (w *writer) goesOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for until := w.said + 2; w.said < until; w.more.Wait() {
	}
}

// checkRecords fails unless a tree is all of what a writer had at one moment.
func checkRecords(t *testing.T, tree string) (last uint64) {
	t.Helper()
	last = treetest.Written(t, tree)
	answer, err := asked(exec.Command("sqlite3", "-bail", filepath.Join(tree, "db"), "PRAGMA integrity_check; SELECT count(*), coalesce(max(n), 0) FROM rows"))
	require.NoError(t, err)
	var count, row uint64
	_, err = fmt.Sscanf(answer, "ok\n%d|%d", &count, &row)
	require.NoError(t, err, "%s", answer)
	assert.Equal(t, row, count*treetest.EachRecords, "a row is missing")
	at := last - last%treetest.EachRecords
	if last == at && last > 0 { // it may be about to write the row
		assert.Contains(t, []uint64{at, at - treetest.EachRecords}, row)
	} else {
		assert.Equal(t, at, row, "the database is as far as the log")
	}
	return last
}

// restored is what comes of copies through a bundle.
func restored(t *testing.T, copies string) string {
	t.Helper()
	from, err := os.OpenRoot(copies)
	require.NoError(t, err)
	defer from.Close()
	var packed bytes.Buffer
	_, err = bundle.Write(t.Context(), &packed, bundle.Order{
		ID: "20260314T120000Z-00000000", Program: "test", Created: time.Unix(1773489600, 0).UTC(),
		Sources: []bundle.Source{{Item: bundle.Item{Name: "data", Kind: "volume", Source: "data"}, Root: from, At: "0"}},
	})
	require.NoError(t, err)
	into := t.TempDir()
	root, err := os.OpenRoot(into)
	require.NoError(t, err)
	defer root.Close()
	reader, err := bundle.Open(&packed, bundle.Trust{})
	require.NoError(t, err)
	defer reader.Close()
	_, err = reader.Extract(t.Context(), bundle.Extraction{Targets: []bundle.Target{{Root: root, Name: "data"}}})
	require.NoError(t, err)
	return filepath.Join(into, "data")
}

// written is an engine whose container has the writer in it.
type written struct {
	*deploytest.Memory
	w    *writer
	http string // where it listens
}

func (e written) Stop(ctx context.Context, id string, grace time.Duration) error {
	err := e.Memory.Stop(ctx, id, grace)
	if err == nil {
		e.w.end()
	}
	return err
}

func (e written) Start(ctx context.Context, id string) error {
	err := e.Memory.Start(ctx, id)
	if err == nil && e.w.pid() == 0 {
		e.w.begin()
	}
	return err
}

func (e written) Pause(ctx context.Context, id string) error {
	err := e.Memory.Pause(ctx, id)
	if err == nil {
		treetest.Freeze(e.w.t, e.w.pid())
	}
	return err
}

func (e written) Unpause(ctx context.Context, id string) error {
	treetest.Thaw(e.w.t, e.w.pid())
	return e.Memory.Unpause(ctx, id)
}

func (e written) Dial(ctx context.Context, _ deploy.Container, _ int) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", e.http)
}

// hooks freeze and thaw the writer, by a command in its container or a request.
func (f *flat) hooks(late func()) {
	act := func(what string) {
		if what == "freeze" {
			late()
			treetest.Freeze(f.t, f.writer.pid())
			return
		}
		treetest.Thaw(f.t, f.writer.pid())
	}
	f.engine.Command = func(_ deploy.Container, command []string) (int, string) {
		act(command[0])
		return 0, ""
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		act(filepath.Base(r.URL.Path))
	}))
	f.t.Cleanup(server.Close)
	f.http = server.Listener.Addr().String()
}
