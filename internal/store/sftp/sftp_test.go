package sftp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/state/statetest"
	"homelab/internal/store/sftp"
	"homelab/registry"
)

func TestFiles(t *testing.T) {
	statetest.Files(t, func(t *testing.T, folder string) statetest.Place { return startSSH(t).place(folder) })
}

func TestStore(t *testing.T) {
	statetest.Store(t, func(t *testing.T) statetest.Ground {
		folder := t.TempDir()
		at := startSSH(t).address(folder)
		return statetest.Ground{
			Open:  func(context.Context) (state.Store, error) { return state.NewStore(sftp.New(at)), nil },
			Data:  func(t *testing.T) map[string]int64 { return statetest.FilesBelow(t, folder) },
			Flips: 10,
			Cuts:  10,
		}
	})
}

func TestWhatIsWrong(t *testing.T) {
	server := startSSH(t)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "file"), nil, 0o600))
	rows := map[string]struct {
		at      func(registry.Store) registry.Store
		code    fault.Code
		message string
	}{
		"no folder": {func(s registry.Store) registry.Store { s.Path += "/nas"; return s }, fault.Precondition, "there is no "},
		"a file":    {func(s registry.Store) registry.Store { s.Path += "/file"; return s }, fault.Precondition, ""},
		"no host":   {func(s registry.Store) registry.Store { s.Port = "1"; return s }, fault.HostUnreachable, "Connection refused"},
		"no key":    {func(s registry.Store) registry.Store { s.User = "nobody"; return s }, fault.Denied, "Permission denied"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			at := row.at(server.address(folder))
			files := sftp.New(at)
			defer files.Close()
			_, err := files.List(t.Context(), "")
			assert.Equal(t, row.code, fault.CodeOf(err), "%v", err)
			assert.ErrorContains(t, err, row.message)
			assert.NotEmpty(t, fault.Of(err).Hint)
			err = files.Put(t.Context(), "a/x", strings.NewReader("x"))
			assert.Equal(t, row.code, fault.CodeOf(err), "%v", err)
		})
	}
	assert.NoDirExists(t, filepath.Join(folder, "nas"))
}

func TestOnlyTheUserCanRead(t *testing.T) {
	folder := t.TempDir()
	files := sftp.New(startSSH(t).address(folder))
	defer files.Close()
	require.NoError(t, files.Put(t.Context(), "a/x", strings.NewReader("x")))
	for name, mode := range map[string]os.FileMode{"a": 0o700, "a/x": 0o600} {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), name)
	}
}

// Nobody can tell whether a writer on another machine lives; one that wrote nothing
// for a day does not.
func TestLeftoversAreSwept(t *testing.T) {
	folder := t.TempDir()
	files := sftp.New(startSSH(t).address(folder))
	defer files.Close()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "a"), 0o700))
	for name, age := range map[string]time.Duration{".new-old": 25 * time.Hour, ".new-young": 23 * time.Hour} {
		path := filepath.Join(folder, "a", name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}
	require.NoError(t, files.Put(t.Context(), "a/x", strings.NewReader("x")))
	assert.NoFileExists(t, filepath.Join(folder, "a", ".new-old"))
	assert.FileExists(t, filepath.Join(folder, "a", ".new-young"))
}

// One connection does for one thing after the other, and a server that was started
// anew is found again.
func TestConnectionsAreKept(t *testing.T) {
	server := startSSH(t)
	folder := t.TempDir()
	files := sftp.New(server.address(folder))
	defer files.Close()
	for i := range 5 {
		require.NoError(t, files.Put(t.Context(), fmt.Sprintf("a/%d", i), strings.NewReader("x")))
		_, err := files.List(t.Context(), "")
		require.NoError(t, err)
	}
	assert.Equal(t, 1, server.connections(t))
	server.kill()
	server.start()
	_, err := files.List(t.Context(), "")
	require.NoError(t, err)
}

// server is an ssh server on this machine that takes one key, of root.
type server struct {
	t            *testing.T
	folder, port string
	pipe         *command.Pipe
}

func startSSH(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, folder: t.TempDir(), port: freePort(t)}
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755), "sshd insists on this folder")
	hostKey, clientKey := s.newKey("host"), s.newKey("client")
	s.write("authorized", clientKey)
	s.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s", s.port, hostKey))
	s.write("sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1:%s
HostKey %s
AuthorizedKeysFile %s
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
`, s.port, s.in("host"), s.in("authorized")))
	s.write("ssh_config", fmt.Sprintf(`Host *
IdentityFile %s
IdentitiesOnly yes
UserKnownHostsFile %s
StrictHostKeyChecking yes
`, s.in("client"), s.in("known_hosts")))
	// ssh finds the user's configuration without HOME: a wrapper names another.
	ssh := command.Look("ssh")
	require.NotEmpty(t, ssh, "the OpenSSH client is missing")
	s.write("ssh", fmt.Sprintf("#!/bin/sh\necho >>'%s'\nexec '%s' -F '%s' \"$@\"\n", s.in("log"), ssh, s.in("ssh_config")))
	require.NoError(t, os.Chmod(s.in("ssh"), 0o755))
	t.Setenv("PATH", s.folder+":"+os.Getenv("PATH"))
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) in(name string) string { return filepath.Join(s.folder, name) }

func (s *server) write(name, content string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.in(name), []byte(content), 0o600))
}

func (s *server) newKey(name string) string {
	s.t.Helper()
	made, err := command.Run(s.t.Context(), command.Cmd{Name: "ssh-keygen", Args: []string{"-q", "-t", "ed25519", "-N", "", "-C", "", "-f", s.in(name)}})
	require.NoError(s.t, err)
	require.Zero(s.t, made.Exit, "%s", made.Stderr)
	public, err := os.ReadFile(s.in(name + ".pub"))
	require.NoError(s.t, err)
	return string(public)
}

func (s *server) start() {
	sshd := command.Look("sshd")
	if sshd == "" {
		sshd = "/usr/sbin/sshd"
	}
	var err error
	s.pipe, err = command.Start(context.Background(), command.Cmd{Name: sshd, Args: []string{"-D", "-e", "-f", s.in("sshd_config")}})
	require.NoError(s.t, err)
	require.Eventually(s.t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// kill ends the server and those of its processes that serve a connection.
func (s *server) kill() {
	for _, pid := range append(below(s.pipe.PID), s.pipe.PID) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	_ = s.pipe.Close()
}

// below lists the processes that a process started, and those that these did.
func below(pid int) []int {
	var all []int
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			all = append(append(all, below(child)...), child)
		}
	}
	return all
}

func (s *server) connections(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(s.in("log"))
	require.NoError(t, err)
	return len(log)
}

func (s *server) address(folder string) registry.Store {
	return registry.Store{Kind: "sftp", Address: "sftp://root@127.0.0.1:" + s.port + folder, User: "root", Host: "127.0.0.1", Port: s.port, Path: folder}
}

func (s *server) place(folder string) statetest.Place {
	open := func(at registry.Store) func(context.Context) (state.Files, error) {
		return func(context.Context) (state.Files, error) { return sftp.New(at), nil }
	}
	stranger := s.address(folder)
	stranger.User = "nobody"
	return statetest.Place{Folder: folder, Open: open(s.address(folder)), Stranger: open(stranger), Kill: s.kill, Start: s.start}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}
