package docker

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// readsAll says whether this process may read every file of this machine, and sees
// their true owners: it is root, and not in a world of its own.
func readsAll() bool {
	users, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && os.Geteuid() == 0 && strings.Join(strings.Fields(string(users)), " ") == "0 0 4294967295"
}

// deviceOf is the device that a folder is on; 0: there is none.
func deviceOf(path string) uint64 {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return 0
	}
	return stat.Dev
}

// sharesMounts says whether whoever listens at a socket has the mounts and the root of
// this process.
func sharesMounts(ctx context.Context, socket string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	asked := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return asked == nil && err == nil && peer.Pid > 0 &&
		same(fmt.Sprintf("/proc/%d/ns/mnt", peer.Pid), "/proc/self/ns/mnt") && same(fmt.Sprintf("/proc/%d/root", peer.Pid), "/proc/self/root")
}

// same says whether two paths lead to the same thing.
func same(a, b string) bool {
	first, errFirst := os.Stat(a)
	second, errSecond := os.Stat(b)
	return errFirst == nil && errSecond == nil && os.SameFile(first, second)
}
