package image

import (
	"strings"

	"homelab/internal/fault"
	"homelab/internal/lazy"
)

// imageName is a name as the engines understand it
// (github.com/distribution/reference, normalize.go and regexp.go). That takes
// some with a domain that is none, such as a.b_c/d, which lead nowhere.
type imageName struct {
	given  string
	domain string // such as docker.io
	path   string // such as library/app
	tag    string
}

// full is the name with nothing left to defaults.
func (n imageName) full() string { return n.domain + "/" + n.path + ":" + n.tag }

var (
	domainForm = lazy.Regexp(`^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$`)
	pathForm   = lazy.Regexp(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)
	tagForm    = lazy.Regexp(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)
)

// parseNames reads names of the form REPOSITORY:TAG.
func parseNames(names []string) ([]imageName, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.InvalidArgument, "an image needs a name to be sent to an engine", "name it REPOSITORY:TAG")
	}
	parsed := make([]imageName, 0, len(names))
	for _, name := range names {
		n, ok := parseName(name)
		if !ok {
			return nil, fault.Newf(fault.InvalidArgument, "use REPOSITORY:TAG, such as app:v1 or registry.example:5000/team/app:v1, the repository in lower case",
				"%.300q is not a name that an engine takes", name)
		}
		parsed = append(parsed, n)
	}
	return parsed, nil
}

func parseName(given string) (imageName, bool) {
	const longest = 255 // of domain and path
	name, tag := splitTag(given)
	n := imageName{given: given, domain: "docker.io", path: name, tag: tag}
	// What comes before the first slash is a domain only if it looks like one.
	if first, rest, ok := strings.Cut(name, "/"); ok &&
		(strings.ContainsAny(first, ".:") || first == "localhost" || strings.ToLower(first) != first) {
		n.domain, n.path = first, rest
	}
	if n.domain == "index.docker.io" {
		n.domain = "docker.io"
	}
	if n.domain == "docker.io" && !strings.Contains(n.path, "/") {
		n.path = "library/" + n.path
	}
	return n, !strings.Contains(given, "@") && !isHex(name) && len(n.domain)+1+len(n.path) <= longest &&
		domainForm().MatchString(n.domain) && pathForm().MatchString(n.path) && tagForm().MatchString(n.tag)
}
