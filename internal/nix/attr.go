package nix

import (
	"fmt"
	"strings"

	"homelab/internal/fault"
)

// parseAttr takes an attribute path apart as Nix does: names between dots;
// between double quotes a dot belongs to the name.
func parseAttr(attr string) ([]string, error) {
	var names []string
	var name strings.Builder
	quoted, written := false, false
	for _, r := range attr {
		switch {
		case r == '"':
			quoted, written = !quoted, true
		case r == '.' && !quoted:
			names = append(names, name.String())
			name.Reset()
			written = false
		default:
			name.WriteRune(r)
			written = true
		}
	}
	names = append(names, name.String())
	if quoted || !written || attr == "" || strings.HasPrefix(attr, ".") || strings.Contains(attr, "..") || strings.ContainsRune(attr, 0) {
		return nil, fault.Newf(fault.InvalidArgument,
			`write names with dots between them, such as packages.x86_64-linux.grafana-oci, other names in double quotes`,
			"%q is not an attribute path", attr)
	}
	return names, nil
}

// quoteName writes a name of an attribute path as Nix reads it.
func quoteName(name string) string {
	if strings.ContainsAny(name, ". \t\n") || name == "" {
		return `"` + name + `"`
	}
	return name
}

// nixString writes a string of the Nix language.
func nixString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`).Replace(s) + `"`
}

// nixStrings writes a list of strings of the Nix language.
func nixStrings(list []string) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s ", nixString(s))
	}
	return "[ " + b.String() + "]"
}
