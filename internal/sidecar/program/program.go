// Package program finds the program of sidecars, and makes an image of it.
package program

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"homelab/internal/fault"
)

// machines are the processors that there can be a program for, by Go's names.
var machines = map[string]elf.Machine{
	"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64,
	"ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

// Folders are where programs come with homelab: beside it, and in libexec beside its
// folder.
func Folders() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	paths := []string{self}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		paths = append(paths, real)
	}
	folders := []string{}
	for _, path := range slices.Compact(paths) {
		bin := filepath.Dir(path)
		folders = append(folders, bin, filepath.Join(bin, "..", "libexec"))
	}
	return folders
}

// Program is the program for hosts with some processor.
type Program struct {
	Arch  string // as Go names it
	bytes []byte
}

// Find reads the program for an architecture, as Go names it. It is
// homelab-sidecar-linux-ARCH in one of the folders, or homelab-sidecar, as go install
// calls it. What is not there, is for another processor, or needs libraries, is
// [fault.Precondition].
func Find(arch string, folders []string) (*Program, error) {
	name := "homelab-sidecar-linux-" + arch
	problem := fmt.Errorf("%s is not beside homelab", name)
	for _, candidate := range []string{name, "homelab-sidecar"} {
		for _, folder := range folders {
			path := filepath.Join(folder, candidate)
			raw, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err = cmp.Or(err, fits(raw, arch)); err == nil {
				return &Program{Arch: arch, bytes: raw}, nil
			}
			problem = fmt.Errorf("%s cannot run there: %w", path, err)
		}
	}
	return nil, fault.Newf(fault.Precondition,
		"make build makes those for amd64 and arm64; or build it: CGO_ENABLED=0 GOOS=linux GOARCH="+arch+" go build -o "+name+" ./cmd/homelab-sidecar",
		"there is no program to look at the state on a host with %s: %w", arch, problem)
}

// fits says why a program does not run alone on a processor.
func fits(raw []byte, arch string) error {
	program, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return errors.New("it is no program for Linux")
	}
	if program.Machine != machines[arch] {
		return errors.New("it is for another processor: " + program.Machine.String())
	}
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("it needs libraries that its image has not")
	}
	return nil
}
