package registry

import "slices"

// Systems are the Nix systems a target can name.
var Systems = []string{
	"aarch64-darwin", "aarch64-linux", "armv6l-linux", "armv7l-linux", "i686-linux",
	"powerpc64le-linux", "riscv64-linux", "s390x-linux", "x86_64-darwin", "x86_64-linux",
}

// KnownSystem says whether s is one of [Systems].
func KnownSystem(s string) bool { return slices.Contains(Systems, s) }

// SystemOf maps the operating system and architecture that Go and the Docker
// engine report (GOOS, GOARCH) to a Nix system, or "" when there is none.
func SystemOf(os, arch string) string {
	cpu := map[string]string{
		"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l", "386": "i686",
		"ppc64le": "powerpc64le", "riscv64": "riscv64", "s390x": "s390x",
	}[arch]
	system := cpu + "-" + os
	if !KnownSystem(system) {
		return ""
	}
	return system
}
