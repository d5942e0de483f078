package bundle

import "strings"

const (
	capability = "security.capability"
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// isCaptured says whether an extended attribute belongs to the data. The others
// are of the host: labels of SELinux, what overlayfs notes, trusted.*.
func isCaptured(name string) bool {
	switch name {
	case capability, aclAccess, aclDefault, "security.NTACL": // the last is of Samba
		return true
	}
	return strings.HasPrefix(name, "user.") && len(name) > len("user.") && len(name) <= maxName && strings.IndexByte(name, 0) < 0
}
