package registry

import (
	"net/netip"
	"strconv"
	"strings"

	"homelab/internal/fault"
)

// Port is a published port.
type Port struct {
	Address   string // of the host, normalised; empty for every address
	Host      int
	Container int
	Protocol  string // tcp or udp
}

const portForm = `write [ADDRESS:]HOST:CONTAINER[/udp], such as "8123:8123" or "127.0.0.1:5353:53/udp"`

// ParsePort reads [ADDRESS:]HOST:CONTAINER[/tcp|udp], an IPv6 address in
// brackets. Its error is a [fault.InvalidArgument].
func ParsePort(s string) (Port, error) {
	numbers, protocol, given := strings.Cut(s, "/")
	if given && protocol != "tcp" && protocol != "udp" {
		return Port{}, fault.New(fault.InvalidArgument, "the protocol is not tcp or udp", "write /tcp or /udp at the end, or nothing for tcp")
	}
	if !given {
		protocol = "tcp"
	}
	address, numbers, err := cutAddress(numbers)
	if err != nil {
		return Port{}, err
	}
	host, container, two := strings.Cut(numbers, ":")
	switch {
	case !two:
		return Port{}, fault.New(fault.InvalidArgument, "not a published port", portForm)
	case strings.Contains(numbers, "-"):
		return Port{}, fault.New(fault.InvalidArgument, "ranges of ports are not read", "list each port by itself")
	}
	port := Port{Address: address, Protocol: protocol}
	if port.Host, err = portNumber(host); err != nil {
		return Port{}, err
	}
	if port.Container, err = portNumber(container); err != nil {
		return Port{}, err
	}
	return port, nil
}

// cutAddress splits the address, if there is one, from HOST:CONTAINER.
func cutAddress(s string) (address, numbers string, err error) {
	if inner, after, closed := strings.Cut(strings.TrimPrefix(s, "["), "]"); strings.HasPrefix(s, "[") && closed {
		address, numbers = inner, strings.TrimPrefix(after, ":")
	} else if strings.Count(s, ":") < 2 {
		return "", s, nil
	} else if strings.Count(s, ":") > 2 {
		return "", "", fault.New(fault.InvalidArgument, "too many colons", "write an IPv6 address in brackets: [::1]:8080:80")
	} else {
		address, numbers, _ = strings.Cut(s, ":")
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" {
		return "", "", fault.New(fault.InvalidArgument, "the address is not an IP address", "write an IP address of the host, such as 127.0.0.1, or leave it out for every address")
	}
	return ip.Unmap().String(), numbers, nil
}

func portNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fault.New(fault.InvalidArgument, "a port is not a number from 1 to 65535", portForm)
	}
	return int(n), nil
}

// everywhere says whether the port is published on every address.
func (p Port) everywhere() bool {
	return p.Address == "" || p.Address == "0.0.0.0" || p.Address == "::"
}
