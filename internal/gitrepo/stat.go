package gitrepo

import (
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sys/unix"
)

// fileStamp tells two versions of a file apart without reading it.
type fileStamp struct {
	Inode uint64   `json:"inode"`
	Size  int64    `json:"size"`
	Mtime [2]int64 `json:"mtime"` // seconds, nanoseconds
	Ctime [2]int64 `json:"ctime"`
}

func stampOf(st *unix.Stat_t) fileStamp {
	return fileStamp{
		Inode: uint64(st.Ino), Size: st.Size,
		Mtime: [2]int64{int64(st.Mtim.Sec), int64(st.Mtim.Nsec)},
		Ctime: [2]int64{int64(st.Ctim.Sec), int64(st.Ctim.Nsec)},
	}
}

// stampFile is the stamp of a file, zero when there is none.
func stampFile(path string) fileStamp {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return fileStamp{}
	}
	return stampOf(&st)
}

// emptyBlob is the id of an empty file.
var emptyBlob = plumbing.NewHash("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")

// unchanged says that the file is certainly the one git last looked at. It is
// stricter than git's own comparison: what it denies is decided by git, what it
// grants git would grant.
func (e *indexEntry) unchanged(st *unix.Stat_t, indexTime int64) bool {
	if e.mode != modeOf(st) {
		return false
	}
	stamp := stampOf(st)
	return sameTime(e.mtime, stamp.Mtime) && sameTime(e.ctime, stamp.Ctime) &&
		e.size == uint32(stamp.Size) && e.ino == uint32(stamp.Inode) &&
		e.uid == st.Uid && e.gid == st.Gid &&
		// Git writes the size 0 for a file that it could not be sure of.
		(e.size != 0 || e.hash == emptyBlob) &&
		// Written in the second the index was: it may have changed since,
		// unnoticed. See "racy git" in git's technical documentation.
		stamp.Mtime[0] < indexTime
}

// sameTime compares seconds and, where the index has them, nanoseconds.
func sameTime(recorded [2]uint32, actual [2]int64) bool {
	return recorded[0] == uint32(actual[0]) && (recorded[1] == 0 || recorded[1] == uint32(actual[1]))
}

// modeOf is the mode git would record for a file, or 0 for what it does not
// track: folders, sockets, devices.
func modeOf(st *unix.Stat_t) filemode.FileMode {
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		if uint32(st.Mode)&0o100 != 0 {
			return filemode.Executable
		}
		return filemode.Regular
	case unix.S_IFLNK:
		return filemode.Symlink
	}
	return 0
}

func isFolder(st *unix.Stat_t) bool { return uint32(st.Mode)&unix.S_IFMT == unix.S_IFDIR }
