package mirror_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/tree/treetest"
)

// TestMain lets this binary play a program that writes, or one that may not read.
func TestMain(m *testing.M) {
	if tree := os.Getenv("MIRROR_TEST_WRITER"); tree != "" {
		panic(treetest.Write(tree, func(n uint64) error {
			_, err := fmt.Println(n)
			return err
		}))
	}
	if tree := os.Getenv("MIRROR_TEST_NOBODY"); tree != "" {
		fmt.Println(nobody(tree))
		os.Exit(0)
	}
	if tree := os.Getenv("MIRROR_TEST_HOLDER"); tree != "" {
		panic(holder(tree))
	}
	os.Exit(m.Run())
}

// begin starts a command that ends with the test.
func begin(t *testing.T, c *exec.Cmd) (in io.Writer, out *bufio.Reader) {
	t.Helper()
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return stdin, bufio.NewReader(stdout)
}

// What a writer wrote is in the copy, up to the last byte before it was frozen.
func TestAWriterThatChecksItself(t *testing.T) {
	for name, tree := range places(t) {
		t.Run(name, func(t *testing.T) {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "MIRROR_TEST_WRITER="+tree)
			_, said := begin(t, c)
			p := connect(t, tree)
			for range 4 {
				var before uint64
				for range 20 { // it has its time between passes
					_, err := fmt.Fscanln(said, &before)
					require.NoError(t, err)
				}
				p.live(t)
				p.live(t)
				treetest.Freeze(t, c.Process.Pid)
				report := p.final(t)
				assert.Zero(t, report.Unsettled)
				same(t, tree, p.place)
				assert.GreaterOrEqual(t, treetest.Written(t, p.place), before)
				require.NoError(t, syscall.Kill(c.Process.Pid, syscall.SIGCONT))
			}
		})
	}
}

// Every transaction that a database acknowledged is in the copy of it.
func TestADatabaseThatIsWrittenTo(t *testing.T) {
	for name, tree := range places(t) {
		t.Run(name, func(t *testing.T) {
			c := exec.Command("sqlite3", tree+"/db")
			in, out := begin(t, c)
			_, err := io.WriteString(in, "PRAGMA journal_mode=WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT);\n")
			require.NoError(t, err)
			line, err := out.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "wal\n", line)
			acknowledged := make(chan int, 1<<16)
			go func() {
				defer close(acknowledged)
				for n := 1; ; n++ {
					if _, err := fmt.Fprintf(in, "INSERT INTO t VALUES (%d, hex(randomblob(2000))); SELECT max(n) FROM t;\n", n); err != nil {
						return
					}
					if line, err := out.ReadString('\n'); err != nil || line != fmt.Sprintln(n) {
						return
					}
					acknowledged <- n
				}
			}()
			p, sure := connect(t, tree), 0
			for range 3 {
				for range 200 {
					n, ok := <-acknowledged
					require.True(t, ok)
					sure = n
				}
				p.live(t)
				p.live(t)
				treetest.Freeze(t, c.Process.Pid)
				p.final(t)
				same(t, tree, p.place)
				require.NoError(t, syscall.Kill(c.Process.Pid, syscall.SIGCONT))
				apart := t.TempDir() // a look at the copy would change it
				require.NoError(t, os.CopyFS(apart, os.DirFS(p.place)))
				answer, err := exec.Command("sqlite3", apart+"/db", "PRAGMA integrity_check; SELECT count(*) = max(n) AND max(n) >= "+fmt.Sprint(sure)+" FROM t;").CombinedOutput()
				require.NoError(t, err, "%s", answer)
				assert.Equal(t, "ok\n1\n", string(answer))
			}
		})
	}
}

// nobody copies a tree that it may not read.
func nobody(tree string) string {
	r, err := os.OpenRoot(tree)
	if err != nil {
		return err.Error()
	}
	here, there := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	source, err := mirror.NewSource(here, mirror.Tree{Root: r})
	if err == nil {
		_, err = source.Pass(context.Background(), false)
	}
	f := fault.Of(err)
	return fmt.Sprint(f.Code, ": ", f.Message, ": ", f.Hint)
}

func TestWhatMayNotBeRead(t *testing.T) {
	tree, err := os.MkdirTemp("/tmp", "mirror-test-*")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(tree) })
	require.NoError(t, os.Chmod(tree, 0o755))
	require.NoError(t, os.WriteFile(tree+"/private", []byte("x"), 0o600))
	program := filepath.Join(tree, "program")
	binary, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, binary, 0o755))
	c := exec.Command(program)
	c.Env = append(os.Environ(), "MIRROR_TEST_NOBODY="+tree)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	said, err := c.CombinedOutput()
	require.NoError(t, err, "%s", said)
	assert.Equal(t, "denied: \"private\" cannot be copied: permission denied: run it as root\n", string(said))
}
