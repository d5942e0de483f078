package registry

import (
	"maps"
	"path"
	"slices"
	"strings"

	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

// Capabilities are those of Linux (capabilities(7)), without CAP_.
var Capabilities = []string{
	"AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
	"DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE",
	"LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST",
	"NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT",
	"SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "WAKE_ALARM",
}

// privileges checks what a container may do beyond the defaults.
func (v *validation) privileges(at strictjson.Path, p Privileges) {
	v.list(at.Key("capabilities"), p.Capabilities, v.capabilityFlaw)
	v.list(at.Key("devices"), p.Devices, deviceFlaw)
	v.sysctls(at.Key("sysctls"), p)
	if p.Privileged && len(p.Capabilities) > 0 {
		v.report(at.Key("capabilities"), p.Capabilities, flawf("remove them, or privileged", "privileged has every capability"))
	}
	if p.Privileged && p.Unconfined {
		v.report(at.Key("unconfined"), p.Unconfined, flawf("remove it, or privileged", "privileged is unconfined already"))
	}
}

func (v *validation) capabilityFlaw(name string) flaw {
	if slices.Contains(Capabilities, name) {
		return flaw{}
	}
	plain := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	switch {
	case plain == "ALL":
		return flawf("list those that it needs, or set privileged", "not a capability")
	case slices.Contains(Capabilities, plain):
		return flawf("write "+plain, "not the plain name of the capability")
	}
	return flawf(v.suggest(plain, Capabilities), "not a capability of Linux")
}

func deviceFlaw(device string) flaw {
	const fix = "write the path of a device of the host, such as /dev/ttyUSB0"
	if f := absoluteFlaw(device); !f.none() {
		return flaw{f.message, fix}
	}
	source, _, pair := strings.Cut(device, ":/")
	switch {
	case pair:
		return flawf("write "+strictjson.Excerpt(source), "a device has the same path in the container")
	case path.Clean(device) == "/dev" || !isBelow(path.Clean(device), "/dev"):
		return flawf(fix, "the path is not below /dev")
	}
	return cleanFlaw(device)
}

// sysctlSyntax is that of a kernel setting, its components apart by dots: the
// engine makes a path below /proc/sys of it.
var sysctlSyntax = lazy.Regexp(`^[a-z]+(\.[a-zA-Z0-9_-]+)+$`)

// sysctlsOfIPC are those that a container has with a namespace of its own for
// IPC, besides fs.mqueue.*.
var sysctlsOfIPC = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shm_rmid_forced", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
}

func (v *validation) sysctls(at strictjson.Path, p Privileges) {
	for _, name := range slices.Sorted(maps.Keys(p.Sysctls)) {
		value := p.Sysctls[name]
		if f := v.sysctlFlaw(name, p); !f.none() {
			v.report(at.Key(name), name, f)
		} else if strings.TrimSpace(value) == "" || strings.ContainsAny(value, "\n\x00") {
			v.report(at.Key(name), value, flawf("write the value on one line", "not the value of a kernel setting"))
		}
	}
}

func (v *validation) sysctlFlaw(name string, p Privileges) flaw {
	ofNetwork := strings.HasPrefix(name, "net.")
	ofIPC := strings.HasPrefix(name, "fs.mqueue.") || slices.Contains(sysctlsOfIPC, name)
	switch {
	case !sysctlSyntax().MatchString(name):
		return flawf("write its name with dots, such as net.ipv4.ip_forward", "not the name of a kernel setting")
	case ofNetwork && p.HostNetwork:
		return flawf("remove it, or hostNetwork", "in the network of the host it is a setting of the host")
	case ofIPC && p.HostIPC:
		return flawf("remove it, or hostIpc", "with the IPC of the host it is a setting of the host")
	case !ofNetwork && !ofIPC:
		return flawf("set it on the host; a container has net.*, fs.mqueue.*, "+strings.Join(sysctlsOfIPC, ", "),
			"a setting of the whole host, not of a container")
	}
	return flaw{}
}

// networks checks what the container joins, and that it has ports only where
// they can be published.
func (v *validation) networks(at strictjson.Path, s Service) {
	d, hostNetwork := s.Deploy, s.PrivilegesOf().HostNetwork
	v.list(at.Key("networks"), d.Networks, func(name string) flaw {
		return networkFlaw(name, hostNetwork, len(d.Networks) == 1)
	})
	switch {
	case len(d.Ports) == 0:
	case hostNetwork:
		v.report(at.Key("ports"), d.Ports, flawf("remove them, or privileges.hostNetwork",
			"in the network of the host nothing is published: the container listens on the host itself"))
	case slices.Contains(d.Networks, "none"):
		v.report(at.Key("ports"), d.Ports, flawf("remove them, or the network none", "a container without a network publishes nothing"))
	}
}

// networkFlaw checks one network; alone says that it is the only one.
func networkFlaw(name string, hostNetwork, alone bool) flaw {
	switch {
	case strings.HasPrefix(name, "container:"):
		return flawf("name a network that both containers join", "the network of another container is never joined")
	case name == "host" && !hostNetwork:
		return flawf("set privileges.hostNetwork, or join another network", "it is the network of the host itself")
	case name != "host" && hostNetwork:
		return flawf("remove it, or privileges.hostNetwork", "the container is in the network of the host, and can join no other")
	case name == "none" && !alone:
		return flawf("remove it, or the others", "none is no network, and goes with no other")
	}
	return dockerNameFlaw(name)
}

// Names say in words what is there, for people who are to agree to it.
func (p Privileges) Names() []string {
	var names []string
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{p.Privileged, "privileged"}, {p.NewPrivileges, "newPrivileges"}, {p.HostNetwork, "hostNetwork"}, {p.HostPID, "hostPid"},
		{p.HostIPC, "hostIpc"}, {p.Unconfined, "unconfined"}, {p.DockerSocket, "dockerSocket"},
	} {
		if flag.set {
			names = append(names, flag.name)
		}
	}
	for _, capability := range p.Capabilities {
		names = append(names, "capability "+capability)
	}
	for _, device := range p.Devices {
		names = append(names, "device "+device)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Sysctls)) {
		names = append(names, "sysctl "+name+"="+p.Sysctls[name])
	}
	return names
}
