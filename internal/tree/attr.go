package tree

import "strings"

// Capability is the attribute that gives a program privileges.
const Capability = "security.capability"

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// MaxName is how many bytes a name has at most, of a file or of an attribute.
const MaxName = 255

// Xattr is an extended attribute.
type Xattr struct{ Name, Value string }

// Keeps says whether a copy keeps an extended attribute of that name; with privileged
// also what gives a program rights.
func Keeps(name string, privileged bool) bool {
	return IsCaptured(name) && (privileged || name != Capability)
}

// IsCaptured says whether an extended attribute belongs to the data. The others
// are of the host: labels of SELinux, what overlayfs notes, trusted.*.
func IsCaptured(name string) bool {
	switch name {
	case Capability, aclAccess, aclDefault, "security.NTACL": // the last is of Samba
		return true
	}
	return strings.HasPrefix(name, "user.") && len(name) > len("user.") && len(name) <= MaxName && strings.IndexByte(name, 0) < 0
}
