package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"homelab/internal/fault"
)

// Become replaces this process by another program of the same release, found
// beside this one or else on PATH. It returns only when that fails.
func Become(name string, args []string, install string) error {
	path := beside(name)
	if path == "" {
		path = Look(name)
	}
	if path == "" {
		return fault.Newf(fault.Precondition, install, "%s is not beside this program, nor on PATH", name)
	}
	if err := syscall.Exec(path, append([]string{name}, args...), os.Environ()); err != nil {
		return fmt.Errorf("become %s: %w", path, err)
	}
	return nil
}

// beside finds a program in the folder of this one, as it was called and as it
// is with symbolic links resolved.
func beside(name string) string {
	var self []string
	if strings.ContainsRune(os.Args[0], filepath.Separator) {
		self = append(self, os.Args[0])
	}
	if executable, err := os.Executable(); err == nil {
		self = append(self, executable)
	}
	for _, path := range self {
		candidate := filepath.Join(filepath.Dir(path), name)
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate
		}
	}
	return ""
}
