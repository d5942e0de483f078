// Package treetest makes trees with everything that is easily lost, and reads what
// trees have, for tests.
package treetest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Attributes is everything that is kept of an entry.
type Attributes struct {
	Mode     uint32
	UID, GID uint32
	Time     string // of its last change
	Size     int64
	Content  string // of a file its digest, of a link its target
	Same     string // the first path of the same file, if it has several
	Holes    string // of a sparse file where its data is
	Xattrs   map[string]string
}

// Read reads a tree.
func Read(t *testing.T, root string) map[string]Attributes {
	t.Helper()
	all, names := map[string]Attributes{}, map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		a := Attributes{
			Mode: uint32(stat.Mode), UID: stat.Uid, GID: stat.Gid, Time: fmt.Sprint(stat.Mtim.Sec, ".", stat.Mtim.Nsec),
			Xattrs: xattrsOf(t, path),
		}
		switch entry.Type() {
		case 0:
			a.Size, a.Holes = stat.Size, holesOf(t, path, &stat)
			a.Content = digestOf(t, path, a.Holes)
			if first, known := names[stat.Ino]; known && stat.Nlink > 1 {
				a.Same = first
			}
			if names[stat.Ino] == "" {
				names[stat.Ino] = relative
			}
		case fs.ModeSymlink:
			a.Content, err = os.Readlink(path)
		}
		all[relative] = a
		return err
	})
	require.NoError(t, err)
	return all
}

func xattrsOf(t *testing.T, path string) map[string]string {
	buffer, value := make([]byte, 64<<10), make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buffer)
	require.NoError(t, err)
	found := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, value)
		require.NoError(t, err)
		found[name] = hex.EncodeToString(value[:n])
	}
	return found
}

// holesOf lists where the data of a sparse file is.
func holesOf(t *testing.T, path string, stat *unix.Stat_t) string {
	if stat.Blocks*512 >= stat.Size {
		return ""
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	text := "data:"
	for at := int64(0); ; {
		from, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return text
		}
		require.NoError(t, err)
		at, err = unix.Seek(fd, from, unix.SEEK_HOLE)
		require.NoError(t, err)
		text += fmt.Sprintf(" %d-%d", from, at)
	}
}

// digestOf is the digest of a file; of what is huge and sparse only of its ends,
// since the rest is holes.
func digestOf(t *testing.T, path, holes string) string {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	sum := sha256.New()
	info, err := f.Stat()
	require.NoError(t, err)
	buffer := make([]byte, min(info.Size(), 1<<20))
	for at := int64(0); at < info.Size(); at += int64(len(buffer)) {
		if holes != "" && info.Size() > 64<<20 && at > 0 && at < info.Size()-2<<20 {
			continue
		}
		n, _ := f.ReadAt(buffer, at)
		sum.Write(buffer[:n])
		if holes != "" && info.Size() > 64<<20 && at == 0 {
			at = info.Size() - 2<<20
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Nasty fills a folder with everything that is easily lost.
func Nasty(t *testing.T, root string) {
	t.Helper()
	write := func(name, content string) string {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	write("plain.txt", "hello\n")
	write("empty", "")
	write("a/b", "in a folder")
	write("a.b", "sorts between a and what is in a")
	write("a-b", "so does this")
	write("block", strings.Repeat("x", 512))
	write("large", strings.Repeat("0123456789abcdef", 4<<10))
	write(strings.Repeat("n", 255), "a long name")
	write(strings.Repeat("folder-with-a-long-name/", 30)+"deep", "a long path")
	write("name\xff\xfe-not-utf8", "bytes")
	write("ünïcödé \n\t\"<&>", "characters")
	require.NoError(t, os.Symlink("../outside/\xff", filepath.Join(root, "link")))
	require.NoError(t, os.Symlink("/"+strings.Repeat("t", 300), filepath.Join(root, "long-link")))
	require.NoError(t, unix.Lchown(filepath.Join(root, "link"), 7, 8))

	for name, mode := range map[string]uint32{"setuid": 0o4755, "setgid": 0o2755, "sticky": 0o1644, "none": 0} {
		require.NoError(t, os.Chown(write("modes/"+name, name), 1000, 2_000_000_000))
		require.NoError(t, unix.Chmod(filepath.Join(root, "modes", name), mode))
	}
	require.NoError(t, unix.Chmod(filepath.Join(root, "modes"), 0o3777))

	require.NoError(t, os.Link(filepath.Join(root, "plain.txt"), filepath.Join(root, "a/plain-too")))
	require.NoError(t, os.Link(filepath.Join(root, "plain.txt"), filepath.Join(root, "z-plain-too")))

	attributed := write("xattrs", "x")
	require.NoError(t, unix.Setxattr(attributed, "user.mime", []byte("text/plain"), 0))
	require.NoError(t, unix.Setxattr(attributed, "user.empty", nil, 0))
	require.NoError(t, unix.Setxattr(attributed, "user.a=b%3D", []byte("\x00\n=\xff"), 0))
	require.NoError(t, unix.Setxattr(attributed, "security.capability", capabilities(), 0))
	require.NoError(t, unix.Setxattr(filepath.Join(root, "a"), "user.folder", []byte("y"), 0))
	require.NoError(t, unix.Setxattr(write("acl/file", "acl"), "system.posix_acl_access", ACL(1234), 0))
	require.NoError(t, unix.Setxattr(filepath.Join(root, "acl"), "system.posix_acl_default", ACL(4321), 0))

	Sparse(t, filepath.Join(root, "sparse"), 1<<20, 0, 256<<10, 700<<10)
	Sparse(t, filepath.Join(root, "hole-only"), 1<<20)
	Sparse(t, filepath.Join(root, "hole-at-start"), 1<<20, 1<<20-4096)
	Sparse(t, filepath.Join(root, "nine-gigabytes-\xe9-"+strings.Repeat("s", 100)), 9<<30+5, 4096, 8<<30+8192)

	require.NoError(t, os.MkdirAll(filepath.Join(root, "void/void"), 0o700))
	Times(t, filepath.Join(root, "plain.txt"), 1_600_000_000, 123_456_789)
	Times(t, filepath.Join(root, "a"), 1_500_000_000, 1)
	Times(t, filepath.Join(root, "empty"), -2, 500_000_000)
	Times(t, filepath.Join(root, "void/void"), 10_000_000_000, 0)
	Times(t, filepath.Join(root, "void"), 0, 0)
	Times(t, filepath.Join(root, "link"), 1_400_000_000, 999_999_999)
	Times(t, root, 1_300_000_000, 20)
}

// Beyond adds what is noted only.
func Beyond(t *testing.T, root string) {
	require.NoError(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	require.NoError(t, unix.Mknod(filepath.Join(root, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	socket, err := net.Listen("unix", filepath.Join(root, "socket"))
	require.NoError(t, err)
	t.Cleanup(func() { socket.Close() })
}

// Sparse makes a file of a size with a block of data at each offset.
func Sparse(t *testing.T, path string, size int64, offsets ...int64) {
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(size))
	for _, at := range offsets {
		_, err := f.WriteAt([]byte(strings.Repeat("d", 4096)), at)
		require.NoError(t, err)
	}
	require.NoError(t, f.Sync())
}

func Times(t *testing.T, path string, sec, nsec int64) {
	at := unix.Timespec{Sec: sec, Nsec: nsec}
	require.NoError(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
}

// ACL lets a user read: see posix_acl_xattr.h of Linux.
func ACL(user uint32) []byte {
	text := binary.LittleEndian.AppendUint32(nil, 2)
	const none = 0xffffffff
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, none}, {2, 4, user}, {4, 4, none}, {0x10, 4, none}, {0x20, 0, none}} {
		text = binary.LittleEndian.AppendUint16(text, e.tag)
		text = binary.LittleEndian.AppendUint16(text, e.perm)
		text = binary.LittleEndian.AppendUint32(text, e.id)
	}
	return text
}

// capabilities is cap_net_bind_service+ep: see capability.h of Linux.
func capabilities() []byte {
	text := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	text = binary.LittleEndian.AppendUint32(text, 1<<10)
	return append(text, make([]byte, 12)...)
}

// Grow fills a folder at random. Its names sort in ways that a slash does not.
func Grow(t *testing.T, random *rand.Rand, folder string, depth int) {
	var files []string
	for range random.IntN(6) {
		name := make([]byte, 1+random.IntN(3))
		for i := range name {
			name[i] = "ab.-\xff\x01~ 0"[random.IntN(9)]
		}
		path := filepath.Join(folder, string(name))
		if _, err := os.Lstat(path); err == nil || string(name) == "." || string(name) == ".." {
			continue
		}
		switch kind := random.IntN(6); {
		case kind == 0 && depth > 0:
			require.NoError(t, os.Mkdir(path, 0o700))
			Grow(t, random, path, depth-1)
		case kind == 1:
			require.NoError(t, os.Symlink(fmt.Sprint("../", random.IntN(9)), path))
		case kind == 2 && len(files) > 0:
			require.NoError(t, os.Link(files[random.IntN(len(files))], path))
			continue
		case kind == 3:
			Sparse(t, path, random.Int64N(1<<20), random.Int64N(1<<20))
			files = append(files, path)
		default:
			content := make([]byte, random.IntN(3000)>>random.IntN(12))
			require.NoError(t, os.WriteFile(path, content, 0o600))
			files = append(files, path)
		}
		require.NoError(t, unix.Lchown(path, random.IntN(1<<22), random.IntN(1<<22)))
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSymlink {
			require.NoError(t, unix.Chmod(path, uint32(random.IntN(1<<12))|0o700))
		}
		Times(t, path, random.Int64N(1<<33), random.Int64N(1e9))
	}
	Times(t, folder, random.Int64N(1<<33), random.Int64N(1e9))
}
