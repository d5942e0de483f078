package registry_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/registry"
)

// privileged is an edit of what grafana may do.
func privileged(p registry.Privileges) func(*registry.Registry) {
	return deployed(registry.Deploy{Privileges: &p})
}

func TestValidatePrivileges(t *testing.T) {
	const at = "$.services.grafana.deploy.privileges"
	const device = "write the path of a device of the host, such as /dev/ttyUSB0"
	const sysctlForm = "write its name with dots, such as net.ipv4.ip_forward"
	const sysctls = "set it on the host; a container has net.*, fs.mqueue.*, kernel.msgmax, kernel.msgmnb, kernel.msgmni, kernel.sem, " +
		"kernel.shm_rmid_forced, kernel.shmall, kernel.shmmax, kernel.shmmni"
	checkRules(t, []rule{
		{"none", privileged(registry.Privileges{}), nil},
		{"capabilities", privileged(registry.Privileges{Capabilities: []string{
			"NET_ADMIN", "CAP_SYS_TIME", "sys_nice", "ALL", "cap_all", "NET_ADMINS", "NET_ADMIN",
		}}), registry.Problems{
			problem(at+".capabilities[1]", `"CAP_SYS_TIME"`, "not the plain name of the capability", "write SYS_TIME"),
			problem(at+".capabilities[2]", `"sys_nice"`, "not the plain name of the capability", "write SYS_NICE"),
			problem(at+".capabilities[3]", `"ALL"`, "not a capability", "list those that it needs, or set privileged"),
			problem(at+".capabilities[4]", `"cap_all"`, "not a capability", "list those that it needs, or set privileged"),
			problem(at+".capabilities[5]", `"NET_ADMINS"`, "not a capability of Linux", "did you mean NET_ADMIN, MAC_ADMIN, SYS_ADMIN?"),
			problem(at+".capabilities[6]", `"NET_ADMIN"`, "listed twice", "remove one of them")}},
		{"devices", privileged(registry.Privileges{Devices: []string{
			"/dev/ttyUSB0", "/dev/serial/by-path/pci-0000:00:14.0", "ttyUSB0", "", "/dev", "/srv/tty", "/device", "/dev/../srv/tty", "/dev//tty",
			"/dev/ttyUSB1:/dev/ttyUSB0", "/dev/ttyUSB0",
		}}), registry.Problems{
			problem(at+".devices[2]", `"ttyUSB0"`, "not an absolute path", device),
			problem(at+".devices[3]", `""`, "an empty path", device),
			problem(at+".devices[4]", `"/dev"`, "the path is not below /dev", device),
			problem(at+".devices[5]", `"/srv/tty"`, "the path is not below /dev", device),
			problem(at+".devices[6]", `"/device"`, "the path is not below /dev", device),
			problem(at+".devices[7]", `"/dev/../srv/tty"`, "the path is not below /dev", device),
			problem(at+".devices[8]", `"/dev//tty"`, "not the plain spelling of the path", `write "/dev/tty"`),
			problem(at+".devices[9]", `"/dev/ttyUSB1:/dev/ttyUSB0"`, "a device has the same path in the container", `write "/dev/ttyUSB1"`),
			problem(at+".devices[10]", `"/dev/ttyUSB0"`, "listed twice", "remove one of them")}},
		{"sysctls", privileged(registry.Privileges{Sysctls: map[string]string{
			"net.core.somaxconn": "1024", "kernel.shm_rmid_forced": "1", "kernel.sem": "250 32000 32 200", "fs.mqueue.msg_max": "10",
			"net": "1", "net/../kernel/panic": "1", "net..x": "1", "kernel.panic": "1", "kernel.shmmaxx": "1", "vm.swappiness": "1", "network.x": "1",
			"net.a": " ", "net.b": "1\n2",
		}}), registry.Problems{
			problem(at+`.sysctls["kernel.panic"]`, `"kernel.panic"`, "a setting of the whole host, not of a container", sysctls),
			problem(at+`.sysctls["kernel.shmmaxx"]`, `"kernel.shmmaxx"`, "a setting of the whole host, not of a container", sysctls),
			problem(at+`.sysctls.net`, `"net"`, "not the name of a kernel setting", sysctlForm),
			problem(at+`.sysctls["net..x"]`, `"net..x"`, "not the name of a kernel setting", sysctlForm),
			problem(at+`.sysctls["net.a"]`, `" "`, "not the value of a kernel setting", "write the value on one line"),
			problem(at+`.sysctls["net.b"]`, `"1\n2"`, "not the value of a kernel setting", "write the value on one line"),
			problem(at+`.sysctls["net/../kernel/panic"]`, `"net/../kernel/panic"`, "not the name of a kernel setting", sysctlForm),
			problem(at+`.sysctls["network.x"]`, `"network.x"`, "a setting of the whole host, not of a container", sysctls),
			problem(at+`.sysctls["vm.swappiness"]`, `"vm.swappiness"`, "a setting of the whole host, not of a container", sysctls)}},
		{"settings of the host's own namespaces", privileged(registry.Privileges{
			HostNetwork: true, HostIPC: true, Sysctls: map[string]string{"net.core.somaxconn": "1", "kernel.sem": "1", "fs.mqueue.msg_max": "1"},
		}), registry.Problems{
			problem(at+`.sysctls["fs.mqueue.msg_max"]`, `"fs.mqueue.msg_max"`, "with the IPC of the host it is a setting of the host", "remove it, or hostIpc"),
			problem(at+`.sysctls["kernel.sem"]`, `"kernel.sem"`, "with the IPC of the host it is a setting of the host", "remove it, or hostIpc"),
			problem(at+`.sysctls["net.core.somaxconn"]`, `"net.core.somaxconn"`, "in the network of the host it is a setting of the host", "remove it, or hostNetwork")}},
		{"what privileged has", privileged(registry.Privileges{
			Privileged: true, Unconfined: true, Capabilities: []string{"NET_ADMIN"}, Devices: []string{"/dev/serial/by-id/x"}, NewPrivileges: true,
		}), registry.Problems{
			problem(at+".capabilities", `["NET_ADMIN"]`, "privileged has every capability", "remove them, or privileged"),
			problem(at+".unconfined", `true`, "privileged is unconfined already", "remove it, or privileged")}},
	})
}

func TestValidateNetworks(t *testing.T) {
	const at = "$.services.grafana.deploy."
	hostNetwork := &registry.Privileges{HostNetwork: true}
	checkRules(t, []rule{
		{"several", deployed(registry.Deploy{Networks: []string{"lan", "bridge"}, Ports: []string{"80:80"}}), nil},
		{"none", deployed(registry.Deploy{Networks: []string{"none"}}), nil},
		{"that of the host", deployed(registry.Deploy{Networks: []string{"host"}, Privileges: hostNetwork}), nil},
		{"that of the host, not named", deployed(registry.Deploy{Privileges: hostNetwork}), nil},
		{"that of the host, not granted", deployed(registry.Deploy{Networks: []string{"host"}}), registry.Problems{
			problem(at+"networks[0]", `"host"`, "it is the network of the host itself", "set privileges.hostNetwork, or join another network")}},
		{"that of the host and others", deployed(registry.Deploy{Networks: []string{"lan", "host", "none"}, Privileges: hostNetwork}), registry.Problems{
			problem(at+"networks[0]", `"lan"`, "the container is in the network of the host, and can join no other", "remove it, or privileges.hostNetwork"),
			problem(at+"networks[2]", `"none"`, "the container is in the network of the host, and can join no other", "remove it, or privileges.hostNetwork")}},
		{"that of the host, with ports", deployed(registry.Deploy{Ports: []string{"80:80"}, Privileges: hostNetwork}), registry.Problems{
			problem(at+"ports", `["80:80"]`, "in the network of the host nothing is published: the container listens on the host itself",
				"remove them, or privileges.hostNetwork")}},
		{"that of another container", deployed(registry.Deploy{Networks: []string{"container:loki"}, Privileges: &registry.Privileges{Privileged: true}}), registry.Problems{
			problem(at+"networks[0]", `"container:loki"`, "the network of another container is never joined", "name a network that both containers join")}},
		{"none and others, with ports", deployed(registry.Deploy{Networks: []string{"none", "lan"}, Ports: []string{"80:80"}}), registry.Problems{
			problem(at+"networks[0]", `"none"`, "none is no network, and goes with no other", "remove it, or the others"),
			problem(at+"ports", `["80:80"]`, "a container without a network publishes nothing", "remove them, or the network none")}},
	})
}

func TestLabelsOfHomelabAreTaken(t *testing.T) {
	checkRules(t, []rule{
		{"labels", deployed(registry.Deploy{Labels: map[string]string{"homelab.service": "loki", "homelab": "", "com.homelab.x": ""}}), registry.Problems{
			problem(`$.services.grafana.deploy.labels["homelab.service"]`, `"homelab.service"`,
				"labels that begin with homelab. say what homelab knows of a container", "choose another name")}},
	})
}

// Linux has 41: capability.h ends with CAP_CHECKPOINT_RESTORE, 40.
func TestCapabilitiesAreThoseOfLinux(t *testing.T) {
	assert.Len(t, registry.Capabilities, 41)
	assert.True(t, slices.IsSorted(registry.Capabilities))
	assert.Len(t, slices.Compact(slices.Clone(registry.Capabilities)), 41)
}
