package swap

import (
	"bufio"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"homelab/internal/tree"
)

// mounts lists what is mounted below a folder, or at a name in it and below that.
func mounts(in *os.File, name string) ([]string, error) {
	at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(in.Fd())))
	if err != nil {
		return nil, err
	}
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer table.Close()
	at = path.Join(at, name)
	var found []string
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescape.Replace(fields[4])
		if point == at && name != "." || point != at && strings.HasPrefix(point, strings.TrimSuffix(at, "/")+"/") {
			found = append(found, point)
		}
	}
	return found, lines.Err()
}

// unescape undoes what the kernel does to paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// rename moves an entry to another folder, and over nothing.
func rename(from int, name string, to int) error {
	err := unix.Renameat2(from, name, to, name, unix.RENAME_NOREPLACE)
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	return renameUnlessThere(from, name, to) // a file system that cannot, such as NFS
}

// room is what a file system has left; entries are -1 when it does not count them.
func room(fd int) (bytes, entries int64, err error) {
	var stat unix.Statfs_t
	if err := tree.Retry(func() error { return unix.Fstatfs(fd, &stat) }); err != nil {
		return 0, 0, err
	}
	entries = -1
	if stat.Files > 0 {
		entries = int64(stat.Ffree)
	}
	return int64(stat.Bavail) * stat.Bsize, entries, nil
}
