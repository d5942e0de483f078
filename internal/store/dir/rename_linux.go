package dir

import (
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames within a folder to a name that must be free.
var renameNew = func(folder *os.File, from, to string) error {
	fd := int(folder.Fd())
	return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
}
