package gitrepo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// localFileSystems are those whose changes this kernel makes itself. See
// statfs(2).
var localFileSystems = []int64{
	unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC,
	0x2fc12fc1, // ZFS
	0xca451a4e, // bcachefs
}

const watched = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE |
	unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK

// lost are the events after which nothing is certain: the queue was full, or a
// watched folder went away, was moved or unmounted.
const lost = unix.IN_Q_OVERFLOW | unix.IN_IGNORED | unix.IN_UNMOUNT | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF

// inotify is the [notifier] of Linux. Events of a change are in its queue when
// the call that made the change returns. See inotify(7).
type inotify struct {
	fd     int
	device uint64
	mounts []byte // what is mounted where: no event tells of a mount

	mu       sync.Mutex
	prefixes map[int32]string
}

// newNotifier begins for a work tree; nil where the kernel does not see every
// change, or cannot watch.
func newNotifier(root string) notifier {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(root, &fs) != nil || unix.Stat(root, &st) != nil || !slices.Contains(localFileSystems, int64(fs.Type)) {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile(mountTable)
	if err != nil {
		unix.Close(fd)
		return nil
	}
	return &inotify{fd: fd, device: st.Dev, mounts: mounts, prefixes: map[int32]string{}}
}

func (n *inotify) add(fd int, prefix string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Dev != n.device {
		return errors.New("another file system")
	}
	// By the open descriptor: the name may lead elsewhere by now.
	wd, err := unix.InotifyAddWatch(n.fd, fmt.Sprintf("/proc/self/fd/%d", fd), watched)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, known := n.prefixes[int32(wd)]; known && other != prefix {
		return errors.New("one folder in two places")
	}
	n.prefixes[int32(wd)] = prefix
	return nil
}

// mountTable lists what this process sees mounted. See proc_pid_mountinfo(5).
const mountTable = "/proc/self/mountinfo"

func (n *inotify) changed() ([]string, bool) {
	if mounts, err := os.ReadFile(mountTable); err != nil || !bytes.Equal(mounts, n.mounts) {
		return nil, false
	}
	var prefixes []string
	buffer := make([]byte, 64<<10)
	for {
		size, err := unix.Read(n.fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			slices.Sort(prefixes)
			return slices.Compact(prefixes), true
		case err != nil || size <= 0:
			return nil, false
		}
		for events := buffer[:size]; len(events) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(events))
			mask := binary.NativeEndian.Uint32(events[4:])
			length := int(binary.NativeEndian.Uint32(events[12:]))
			events = events[unix.SizeofInotifyEvent+length:]
			prefix, known := n.prefixes[wd]
			// A folder in another's place: what is watched may be the old one,
			// which tells nothing while somebody holds it open.
			replaced := mask&unix.IN_ISDIR != 0 && mask&(unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO) != 0
			if mask&lost != 0 || !known || replaced {
				return nil, false
			}
			prefixes = append(prefixes, prefix)
		}
	}
}

func (n *inotify) close() { unix.Close(n.fd) }
