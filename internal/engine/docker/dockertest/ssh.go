package dockertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// SSH is an ssh server on this machine that takes one key.
type SSH struct {
	Host string // 127.0.0.1
	Port string
	User string
	// Bin is a folder with an ssh command that knows the server and has the
	// key. A test puts it first on PATH: ssh finds the configuration of the
	// user through the password database, not through HOME, so a wrapper that
	// names another one is the way to keep the user's out of it.
	Bin string
}

// URL is the engine behind the server that listens on socket.
func (s SSH) URL(socket string) string {
	return fmt.Sprintf("ssh://%s@%s%s", s.User, net.JoinHostPort(s.Host, s.Port), socket)
}

// StartSSH starts an ssh server. It ends with the test.
func StartSSH(t testing.TB) SSH {
	t.Helper()
	s, config := prepareSSH(t, freePort(t))
	server := start(t, command.Cmd{Name: tool(t, "sshd", "openssh-server"), Args: []string{"-D", "-e", "-f", config}})
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	waitFor(t, server, "the ssh server", func(ctx context.Context) bool { return greets(ctx, net.JoinHostPort(s.Host, s.Port)) })
	return s
}

// prepareSSH makes keys, and the configuration of server and client; sshdConfig is
// that of the server, beside ssh_config for the client.
func prepareSSH(t testing.TB, port string) (s SSH, sshdConfig string) {
	t.Helper()
	require.Zero(t, os.Geteuid(), "an ssh server can only be started as root: run the tests as root")
	ssh := tool(t, "ssh", "openssh-client")
	tool(t, "docker", "docker.io") // what the server will be asked to run
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755), "sshd insists on this folder")

	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	s = SSH{Host: "127.0.0.1", Port: port, User: "root", Bin: in("bin")}
	hostKey, clientKey := newKey(t, in("host")), newKey(t, in("client"))

	write(t, in("authorized"), clientKey, 0o600)
	write(t, in("sshd_config"), fmt.Sprintf(`ListenAddress %s:%s
HostKey %s
AuthorizedKeysFile %s
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
`, s.Host, s.Port, in("host"), in("authorized")), 0o600)
	write(t, in("known_hosts"), fmt.Sprintf("[%s]:%s %s", s.Host, s.Port, hostKey), 0o600)
	write(t, in("ssh_config"), fmt.Sprintf(`Host *
IdentityFile %s
IdentitiesOnly yes
UserKnownHostsFile %s
StrictHostKeyChecking yes
`, in("client"), in("known_hosts")), 0o600)
	require.NoError(t, os.Mkdir(s.Bin, 0o755))
	write(t, filepath.Join(s.Bin, "ssh"), fmt.Sprintf("#!/bin/sh\nexec '%s' -F '%s' \"$@\"\n", ssh, in("ssh_config")), 0o755)
	return s, in("sshd_config")
}

// newKey makes a key pair and returns the public half.
func newKey(t testing.TB, path string) string {
	t.Helper()
	made, err := command.Run(context.Background(), command.Cmd{
		Name: tool(t, "ssh-keygen", "openssh-client"),
		Args: []string{"-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path},
	})
	require.NoError(t, err)
	require.Zero(t, made.Exit, "%s", made.Stderr)
	public, err := os.ReadFile(path + ".pub")
	require.NoError(t, err)
	return string(public)
}

// freePort is a port that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

func greets(ctx context.Context, address string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	greeting := make([]byte, 4)
	_, err = conn.Read(greeting)
	return err == nil && strings.HasPrefix(string(greeting), "SSH-")
}

func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), mode))
}
