//go:build !linux

package gitrepo

import "golang.org/x/sys/unix"

// eachName calls visit for every name in what getdirentries wrote.
func eachName(buffer []byte, visit func(name []byte)) {
	_, _, names := unix.ParseDirent(buffer, -1, nil)
	for _, name := range names {
		visit([]byte(name))
	}
}
