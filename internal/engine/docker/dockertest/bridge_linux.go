package dockertest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Bridged is an engine whose containers have a network: a bridge in a network
// namespace of the engine's own, where nothing of this machine gets but what is
// taken inside.
type Bridged struct {
	Socket string
	net    string // path of the network namespace
}

// StartEngineWithBridge is [StartEngine] with a bridge and a loopback device.
func StartEngineWithBridge(t testing.TB) Bridged {
	t.Helper()
	return startBridged(t)
}

// StartEngineWithFirewall is [StartEngineWithBridge] with the rules that keep networks
// apart.
func StartEngineWithFirewall(t testing.TB) Bridged {
	t.Helper()
	tool(t, "iptables", "iptables")
	return startBridged(t, "--iptables=true")
}

func startBridged(t testing.TB, options ...string) Bridged {
	t.Helper()
	socket := startEngine(t, "", append([]string{"--bip", "10.231.7.1/24"}, options...)...)
	b := Bridged{Socket: socket, net: fmt.Sprintf("/proc/%d/ns/net", engineAt(t, socket).init)}
	var err error
	b.Inside(t, func() { err = loopbackUp() })
	require.NoError(t, err)
	return b
}

// Inside calls do where the network is that of the engine's host: what do connects
// to or listens at in its own goroutine is there. It must not end the test.
func (b Bridged) Inside(t testing.TB, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with the goroutine, so nobody else gets it.
		runtime.LockOSThread()
		if err := enter(b.net); err != nil {
			done <- err
			return
		}
		do()
	}()
	require.NoError(t, <-done)
}

func enter(namespace string) error {
	fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// loopbackUp switches the loopback device on, which a new namespace has off.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	device, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	device.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, device)
}

// StartSSH is the function of that name, with a server inside. It runs only while
// somebody is connected: the ssh command starts it.
func (b Bridged) StartSSH(t testing.TB) SSH {
	t.Helper()
	s, config := prepareSSH(t, "2222") // for show: nobody listens there
	server := fmt.Sprintf("ProxyCommand '%s' --net=%s '%s' -i -e -f '%s' 2>/dev/null\n",
		tool(t, "nsenter", "util-linux"), b.net, tool(t, "sshd", "openssh-server"), config)
	addLine(t, filepath.Join(filepath.Dir(config), "ssh_config"), server)
	return s
}

func addLine(t testing.TB, path, line string) {
	t.Helper()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	write(t, path, string(before)+line, 0o600)
}
