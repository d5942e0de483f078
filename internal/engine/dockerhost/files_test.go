package dockerhost_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

func reach(t *testing.T, url string) *dockerhost.Engine {
	t.Helper()
	engine, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, engine.Close()) })
	return engine
}

// onTheHost is an ssh command that does here what it is to do there, in a shell.
func onTheHost(t *testing.T, shell string) {
	t.Helper()
	fakeSSH(t, `while [ "$1" != -- ]; do shift; done; shift 2; exec `+shell+` -c "$*"`)
}

// asBusybox has a host with no commands but those of busybox.
func asBusybox(t *testing.T) {
	t.Helper()
	busybox := command.Look("busybox")
	require.NotEmpty(t, busybox, "this test needs busybox: apt install busybox-static")
	bin := t.TempDir()
	for _, name := range []string{"sh", "env", "cat", "ls", "readlink"} {
		require.NoError(t, os.Symlink(busybox, filepath.Join(bin, name)))
	}
	onTheHost(t, "env -i PATH='"+bin+"' '"+bin+"/sh'")
}

// asNobody has a host whose user may do nothing.
func asNobody(t *testing.T) {
	t.Helper()
	onTheHost(t, "setpriv --reuid=65534 --regid=65534 --clear-groups sh")
}

// ways are the hosts that files are read from: this machine, a real ssh server, and
// one with busybox.
func ways(t *testing.T, do func(t *testing.T, engine *dockerhost.Engine)) {
	ssh := dockertest.StartSSH(t)
	t.Run("socket", func(t *testing.T) { do(t, reach(t, "unix:///none.sock")) })
	t.Run("ssh", func(t *testing.T) {
		t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
		do(t, reach(t, ssh.URL("")))
	})
	t.Run("busybox", func(t *testing.T) {
		asBusybox(t)
		do(t, reach(t, "ssh://h"))
	})
}

func TestReadFile(t *testing.T) {
	ways(t, func(t *testing.T, engine *dockerhost.Engine) {
		dir := t.TempDir()
		odd := filepath.Join(dir, "it's \"a\" $(file) \\ `of`\n; true")
		content := "A=1\r\n\x00\xff no end of line"
		put(t, odd, content)
		put(t, filepath.Join(dir, "empty"), "")
		put(t, filepath.Join(dir, "most"), strings.Repeat("x", dockerhost.MaxFile))
		put(t, filepath.Join(dir, "more"), strings.Repeat("x", dockerhost.MaxFile+1))
		require.NoError(t, os.Symlink(odd, filepath.Join(dir, "link")))
		require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
		require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))

		for path, want := range map[string]int{odd: len(content), filepath.Join(dir, "empty"): 0, filepath.Join(dir, "most"): dockerhost.MaxFile} {
			got, err := engine.ReadFile(t.Context(), path)
			require.NoError(t, err, path)
			assert.Len(t, got, want)
		}
		got, err := engine.ReadFile(t.Context(), filepath.Join(dir, "link"))
		require.NoError(t, err)
		assert.Equal(t, content, string(got))

		for _, name := range []string{"gone", "dangling", "empty/below"} {
			_, err := engine.ReadFile(t.Context(), filepath.Join(dir, name))
			if name == "empty/below" && engine.Local() {
				assert.ErrorContains(t, err, "not a directory")
				continue
			}
			assert.ErrorIs(t, err, fs.ErrNotExist, name)
		}
		for name, says := range map[string]string{"more": "more than 1048576 bytes", ".": "no regular file", "fifo": "no regular file"} {
			_, err := engine.ReadFile(t.Context(), filepath.Join(dir, name))
			assert.ErrorContains(t, err, says, name)
		}
		for _, path := range []string{"relative", "", "/a\x00b"} {
			_, err := engine.ReadFile(t.Context(), path)
			assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), path)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = engine.ReadFile(over, odd)
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// Where paths lead is the same on all hosts.
func TestResolver(t *testing.T) {
	ways(t, func(t *testing.T, engine *dockerhost.Engine) {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		require.NoError(t, err)
		in := func(name string) string { return filepath.Join(dir, name) }
		require.NoError(t, os.MkdirAll(in("a/b c"), 0o755))
		require.NoError(t, os.MkdirAll(in("ends\n"), 0o755))
		put(t, in("a/docker.sock"), "")
		links := map[string]string{
			"to-dir": in("a"), "to-file": "a/docker.sock", "chain": "to-file", "through": "to-dir/docker.sock", "up": "a/b c/..", "slash": "a/b c//",
			"root": "/", "dot": ".", "to-end": "ends\n", "dangling": "a/none", "loop": "loop",
		}
		for name, target := range links {
			require.NoError(t, os.Symlink(target, in(name)))
		}
		paths := []string{
			"/", in("a"), in("a/b c"), in("to-dir"), in("to-file"), in("chain"), in("through"), in("up"), in("up/docker.sock"), in("slash"),
			in("root"), in("root/usr"), in("dot/dot/a"), in("to-end"), in("ends\n"), in("dangling"), in("loop"), in("none"), in("to-file/below"),
		}
		resolve, err := engine.Resolver(t.Context(), paths)
		require.NoError(t, err)
		for _, path := range paths {
			want, failed := filepath.EvalSymlinks(path)
			got, err := resolve(path)
			assert.Equal(t, failed == nil, err == nil, "%q: %v", path, err)
			assert.Equal(t, want, got, "%q", path)
		}
		_, err = resolve(in("none"))
		assert.ErrorIs(t, err, fs.ErrNotExist)
		_, err = engine.Resolver(t.Context(), nil)
		assert.NoError(t, err)
	})
}

// A folder that is closed to the user says so; what is mounted as a whole need not be
// open.
func TestFilesOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "closed"), 0o700))
	put(t, filepath.Join(dir, "closed", "file"), "x")
	put(t, filepath.Join(dir, "secret"), "x")
	require.NoError(t, os.Symlink("closed", filepath.Join(dir, "link")))
	asNobody(t)
	engine := reach(t, "ssh://h")
	for _, name := range []string{"secret", "closed/file"} {
		_, err := engine.ReadFile(t.Context(), filepath.Join(dir, name))
		assert.ErrorIs(t, err, fs.ErrPermission, name)
	}
	link, below := filepath.Join(dir, "link"), filepath.Join(dir, "closed/file")
	resolve, err := engine.Resolver(t.Context(), []string{link, below})
	require.NoError(t, err)
	real, err := resolve(link)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "closed"), real)
	_, err = resolve(below)
	assert.ErrorIs(t, err, fs.ErrPermission)
	_, err = resolve("/never/asked")
	assert.ErrorContains(t, err, "nobody looked")
}

// Hosts from which nothing can be read say why.
func TestNoWayToFiles(t *testing.T) {
	ssh := dockertest.StartSSH(t)
	rows := map[string]struct {
		script, url, message, hint string
		code                       fault.Code
	}{
		"key refused":        {"", "ssh://nobody-of-that-name@127.0.0.1:" + ssh.Port, "ssh cannot reach the host of", "docker version", fault.HostUnreachable},
		"one command only":   {`cat >/dev/null; printf 'HTTP/1.1 400 Bad Request\r\n\r\n'`, "ssh://h", "runs no commands there", "ssh h echo a", fault.Precondition},
		"a shell that talks": {`echo Welcome; cat`, "ssh://h", "something else speaks first", "ssh h echo a", fault.Precondition},
		"no shell":           {`echo 'sh: not found' >&2; exit 127`, "ssh://h", "cannot look at its files: sh: not found", "ssh h echo a", fault.Precondition},
		"tcp":                {"", "tcp://127.0.0.1:2375", "no way to /etc/hostname on the host of tcp://127.0.0.1:2375", "ssh://", fault.Precondition},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
			if row.script != "" {
				fakeSSH(t, row.script)
			}
			engine := reach(t, row.url)
			_, err := engine.ReadFile(t.Context(), "/etc/hostname")
			require.Error(t, err)
			assert.Equal(t, row.code, fault.CodeOf(err))
			assert.ErrorContains(t, err, row.message)
			assert.Contains(t, fault.Of(err).Hint, row.hint)
			resolve, err := engine.Resolver(t.Context(), []string{"/etc"})
			if name == "tcp" {
				require.NoError(t, err)
				real, err := resolve("/etc/../etc")
				require.NoError(t, err)
				assert.Equal(t, "/etc/../etc", real, "as it is written")
				return
			}
			assert.Equal(t, row.code, fault.CodeOf(err))
		})
	}
}

// An ssh that hangs is not waited for beyond the caller's patience; one that has
// more to say than is wanted is not heard to its end.
func TestFilesOfAHostThatHangs(t *testing.T) {
	pids := recordPIDs(t, fakeSSH(t, `exec sleep 300`))
	engine := reach(t, "ssh://h")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := engine.ReadFile(ctx, "/etc/hostname")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, engine.Close())
	require.Len(t, pids(), 1)
	assert.ErrorIs(t, syscall.Kill(pids()[0], 0), syscall.ESRCH)

	fakeSSH(t, `echo homelab; exec yes`)
	_, err = reach(t, "ssh://h").ReadFile(t.Context(), "/etc/hostname")
	assert.ErrorContains(t, err, "more than 1048576 bytes")
}

// The words reach the shell as they are, and the script does not go through it.
func TestAskArguments(t *testing.T) {
	dir := t.TempDir()
	fakeSSH(t, `printf '%s\n' "$*" > '`+dir+`/args'; cat > '`+dir+`/stdin'; exit 1`)
	_, err := reach(t, "ssh://me@host:2222/run/d.sock").ReadFile(t.Context(), "/it's")
	require.Error(t, err)
	args, err := os.ReadFile(filepath.Join(dir, "args"))
	require.NoError(t, err)
	assert.Contains(t, string(args), `-l me -p 2222 -- host env LC_ALL=C sh -s -- '/it'\''s'`)
	script, err := os.ReadFile(filepath.Join(dir, "stdin"))
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(script, []byte("printf 'homelab\\n'\n")))
}
