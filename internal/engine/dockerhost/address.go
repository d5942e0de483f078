package dockerhost

import (
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"syscall"

	"homelab/internal/fault"
)

// address is an engine URL, taken apart and checked.
type address struct {
	scheme string // unix, tcp or ssh
	user   string // ssh; empty: as the ssh configuration says
	host   string
	port   string // empty: the default
	path   string // unix: the socket; ssh: the socket on the host, empty: the default one there
}

const addressForms = "write unix:///path, ssh://[user@]host[:port][/path/of/the/socket] or tcp://host:port"

// parseAddress checks an engine URL. No part of a URL it refuses is shown but
// what [redact] leaves: the refused part may be a password.
func parseAddress(raw string) (address, error) {
	refuse := func(why string) (address, error) {
		return address{}, fault.Newf(fault.InvalidArgument, addressForms, "Docker engine %q: %s", redact(raw), why)
	}
	// The path of a socket is taken as it stands: "%" and "?" are part of it.
	if socket, ok := strings.CutPrefix(raw, "unix://"); ok {
		if !path.IsAbs(socket) {
			return refuse("the path of the socket is not absolute")
		}
		if len(socket) >= len(syscall.RawSockaddrUnix{}.Path) {
			return refuse("the path is too long for a socket")
		}
		return address{scheme: "unix", path: socket}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return refuse("not a URL")
	}
	a := address{scheme: u.Scheme, user: u.User.Username(), host: u.Hostname(), port: u.Port(), path: strings.TrimSuffix(u.Path, "/")}
	_, password := u.User.Password()
	_, notAPort := strconv.ParseUint(a.port, 10, 16)
	switch {
	case a.scheme != "tcp" && a.scheme != "ssh":
		return refuse("neither unix://, ssh:// nor tcp://")
	case password:
		return refuse("a password has no place in it")
	case u.RawQuery != "" || u.Fragment != "":
		return refuse("it ends in something that is not a path")
	case a.host == "":
		return refuse("the host is missing")
	case a.port != "" && notAPort != nil:
		return refuse("the port is not a number up to 65535")
	case a.scheme == "tcp" && a.user != "":
		return refuse("tcp:// takes no user")
	case !safeWord(a.host) || a.user != "" && !safeWord(a.user):
		return refuse("the host or user has a character that ssh could take for something else")
	}
	return a, nil
}

// safeWord says whether ssh can be given the word: neither an option nor, where
// the user's ssh configuration hands it to a shell (%h, %r), more than a word.
func safeWord(s string) bool {
	return !strings.HasPrefix(s, "-") && !strings.ContainsAny(s, "'`\"$\\;&<>|(){}!*?#~ \t\r\n\x00")
}

func (a address) String() string {
	if a.scheme == "unix" {
		return "unix://" + a.path
	}
	u := url.URL{Scheme: a.scheme, Host: a.hostport(), Path: a.path}
	if a.user != "" {
		u.User = url.User(a.user)
	}
	return u.String()
}

func (a address) hostport() string {
	if a.port != "" {
		return net.JoinHostPort(a.host, a.port)
	}
	if strings.Contains(a.host, ":") {
		return "[" + a.host + "]"
	}
	return a.host
}

// redact cuts what may be a secret: everything between :// and the last @,
// but for the plain user name of ssh.
func redact(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", raw
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 && (scheme != "ssh://" || strings.Contains(rest[:at], ":")) {
		rest = "…" + rest[at:]
	}
	return scheme + rest
}
