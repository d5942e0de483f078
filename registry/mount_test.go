package registry_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/registry"
)

// messages are what is said of the mount of a path, by a service with these
// privileges on that host.
func messages(p registry.Privileges, h registry.Host, source string, readOnly bool) []string {
	s := registry.Service{Deploy: &registry.Deploy{Host: "pi", Privileges: &p}}
	said := []string{}
	for _, problem := range s.MountRule(h).Problems("$", registry.Mount{Source: source, ReadOnly: readOnly}) {
		said = append(said, problem.Message)
	}
	return said
}

const (
	isSocket     = "the path is a socket of a container engine"
	rootless     = "the path holds the sockets of rootless container engines"
	isSystem     = "it belongs to the system of the host"
	everything   = "it is all there is on the host"
	holdsSocket  = "the path holds a socket of a container engine, "
	socketHolder = holdsSocket + `"/run/docker.sock"`
)

func inSystem(folder string) string {
	return "it is in " + folder + ", which belongs to the system of the host"
}

func holdsSystem(path string) string {
	return "it holds " + path + ", which belongs to the system of the host"
}

func readable(folder string) string {
	return "it is of " + folder + ", which belongs to the system of the host and can only be read"
}

func TestMountsOfTheHost(t *testing.T) {
	for source, want := range map[string][]string{
		"/srv/grafana":                       nil,
		"/home/me/media":                     nil,
		"/mnt":                               nil,
		"/run/dbus":                          nil,
		"/run/user/1000/pulse":               nil,
		"/run/users/docker":                  nil,
		"/var/lib/ha":                        nil,
		"/var/log":                           nil,
		"/running":                           nil,
		"/process":                           nil,
		"/srv/etc":                           nil,
		"/run/docker.sock":                   {isSocket},
		"/var/run/docker.sock":               {isSocket},
		"/VAR/run/Docker.sock":               {isSocket},
		"/private/var/run/docker.sock":       {isSocket},
		"/run/docker.sock/x":                 {isSocket},
		"/srv/other/docker.sock":             {isSocket},
		"/srv/podman.sock":                   {isSocket},
		"/srv/my-containerd.sock":            {isSocket},
		"/run/crio/crio.sock":                {isSocket},
		"/run/user/1000/docker.sock":         {isSocket},
		"/var/run/user/0/podman/podman.sock": {isSocket},
		"/run":                               {socketHolder},
		"/var/run":                           {socketHolder},
		"/private/var/run":                   {socketHolder},
		"/run/containerd":                    {holdsSocket + `"/run/containerd/containerd.sock"`},
		"/run/podman":                        {holdsSocket + `"/run/podman/podman.sock"`},
		"/run/crio":                          {holdsSocket + `"/run/crio/crio.sock"`},
		"/run/k3s/containerd":                {holdsSocket + `"/run/k3s/containerd/containerd.sock"`},
		"/run/docker":                        {holdsSocket + `"/run/docker/containerd/containerd.sock"`},
		"/run/user":                          {rootless},
		"/run/user/1000":                     {rootless},
		"/var/run/user/1000/podman":          {rootless},
		"/":                                  {socketHolder, everything},
		"/var":                               {holdsSocket + `"/var/run/docker.sock"`, holdsSystem("/var/lib/docker")},
		"/var/lib":                           {holdsSystem("/var/lib/docker")},
		"/proc":                              {isSystem},
		"/proc/1/root/srv":                   {inSystem("/proc")},
		"/sys":                               {isSystem},
		"/sys/fs/cgroup":                     {inSystem("/sys")},
		"/dev":                               {isSystem},
		"/dev/ttyUSB0":                       {inSystem("/dev")},
		"/boot":                              {isSystem},
		"/boot/efi":                          {inSystem("/boot")},
		"/root":                              {isSystem},
		"/root/.ssh":                         {inSystem("/root")},
		"/var/lib/docker":                    {isSystem},
		"/var/lib/docker/volumes/a/_data":    {inSystem("/var/lib/docker")},
		"/var/lib/containerd":                {isSystem},
		"/var/lib/containers/storage":        {inSystem("/var/lib/containers")},
		"/etc":                               {holdsSystem("/etc/shadow")},
		"/private/etc":                       {holdsSystem("/etc/shadow")},
		"/etc/shadow":                        {isSystem},
		"/etc/ssh/ssh_host_rsa_key":          {inSystem("/etc/ssh")},
		"/etc/ssl":                           {holdsSystem("/etc/ssl/private")},
		"/etc/localtime":                     {readable("/etc")},
		"/usr":                               {readable("/usr")},
		"/usr/bin":                           {readable("/usr")},
		"/bin/sh":                            {readable("/bin")},
		"/nix":                               {readable("/nix")},
		"relative":                           {"not an absolute path"},
		"/srv/../etc":                        {"not the plain spelling of the path"},
		"":                                   {"an empty path"},
	} {
		if want == nil {
			want = []string{}
		}
		assert.Equal(t, want, messages(registry.Privileges{}, registry.Host{}, source, false), source)
	}
}

func TestWhatIsReadOnlyMayBeMounted(t *testing.T) {
	for _, source := range []string{"/etc/localtime", "/etc/ssl/certs", "/usr/share/zoneinfo", "/usr", "/nix/store"} {
		assert.Empty(t, messages(registry.Privileges{}, registry.Host{}, source, true), source)
	}
	for _, source := range []string{"/", "/etc", "/etc/shadow", "/proc", "/root", "/run/docker.sock", "/var/lib/docker"} {
		assert.NotEmpty(t, messages(registry.Privileges{}, registry.Host{}, source, true), source)
	}
}

func TestPrivilegesAllowMounts(t *testing.T) {
	socket, all := registry.Privileges{DockerSocket: true}, registry.Privileges{Privileged: true}
	assert.Empty(t, messages(socket, registry.Host{}, "/run/docker.sock", false))
	assert.Empty(t, messages(socket, registry.Host{}, "/run/user/1000", false))
	assert.Equal(t, []string{everything}, messages(socket, registry.Host{}, "/", false))
	assert.Equal(t, []string{isSocket}, messages(all, registry.Host{}, "/run/docker.sock", false), "each by itself")
	assert.Equal(t, []string{socketHolder}, messages(all, registry.Host{}, "/", false))
	for _, source := range []string{"/proc", "/etc", "/etc/shadow", "/usr/bin", "/dev/snd"} {
		assert.Empty(t, messages(all, registry.Host{}, source, false), source)
	}
	assert.Empty(t, messages(registry.Privileges{Privileged: true, DockerSocket: true}, registry.Host{}, "/", false))
}

func TestTheSocketOfTheEngineIsKnown(t *testing.T) {
	for docker, want := range map[string][]string{
		"unix:///srv/engine/e.sock":          {holdsSocket + `"/srv/engine/e.sock"`},
		"unix:///srv//engine/x/../e.sock":    {holdsSocket + `"/srv/engine/e.sock"`},
		"ssh://me@pi:2222/srv/engine/E.sock": {holdsSocket + `"/srv/engine/E.sock"`},
		"ssh://me@pi":                        {},
		"ssh://me@pi/":                       {},
		"tcp://pi:2376":                      {},
		"":                                   {},
	} {
		h := registry.Host{Docker: docker}
		assert.Equal(t, want, messages(registry.Privileges{}, h, "/srv/engine", false), docker)
		assert.Empty(t, messages(registry.Privileges{DockerSocket: true}, h, "/srv/engine", false), docker)
	}
	h := registry.Host{Docker: "unix:///srv/engine/e.sock"}
	assert.Equal(t, []string{isSocket}, messages(registry.Privileges{}, h, "/srv/engine/e.sock", false))
}

func TestMountRoots(t *testing.T) {
	const outside = "not below the mountRoots of host pi: /srv, /etc/localtime"
	roots := registry.Host{MountRoots: []string{"/srv", "/etc/localtime"}}
	for source, want := range map[string][]string{
		"/srv":             {},
		"/srv/a":           {},
		"/etc/localtime":   {readable("/etc")},
		"/srv2":            {outside},
		"/mnt/a":           {outside},
		"/run/docker.sock": {isSocket, outside},
		"/":                {socketHolder, everything, outside},
	} {
		assert.Equal(t, want, messages(registry.Privileges{}, roots, source, false), source)
	}
	assert.Equal(t, []string{outside}, messages(registry.Privileges{Privileged: true, DockerSocket: true}, roots, "/mnt", false), "no privilege widens the roots")
	assert.Equal(t, []string{"nothing of host pi is mounted: its mountRoots are empty"},
		messages(registry.Privileges{}, registry.Host{MountRoots: []string{}}, "/srv", false))
	assert.Empty(t, messages(registry.Privileges{}, registry.Host{MountRoots: []string{"/"}}, "/srv", false))
	assert.NotEmpty(t, registry.MountRule{}.Problems("$", registry.Mount{Source: "/srv"}), "the zero rule allows nothing")
}

// A rule that was written down is the same when it is read.
func TestMountRuleAsJSON(t *testing.T) {
	for _, h := range []registry.Host{{}, {MountRoots: []string{}}, {MountRoots: []string{"/srv"}, Docker: "unix:///a/b"}} {
		rule := registry.Service{Deploy: &registry.Deploy{Host: "pi"}}.MountRule(h)
		written, err := json.Marshal(rule)
		assert.NoError(t, err)
		var again registry.MountRule
		assert.NoError(t, json.Unmarshal(written, &again))
		assert.Equal(t, rule, again)
	}
}

func TestValidateMounts(t *testing.T) {
	const at = "$.services.grafana.deploy.mounts"
	const socketFix = "remove the mount, or set privileges.dockerSocket: with the socket the service is root on the host"
	checkRules(t, []rule{
		{"refused", deployed(registry.Deploy{Mounts: []registry.Mount{
			{Source: "/srv/a", Target: "/a"}, {Source: "/", Target: "/b", ReadOnly: true}, {Source: "/dev/snd", Target: "/c"}, {Source: "/etc/a", Target: "/d"},
		}}), registry.Problems{
			problem(at+"[1].source", `"/"`, socketHolder, socketFix),
			problem(at+"[1].source", `"/"`, everything, "mount a folder of the service's own, such as /srv/NAME, or set privileges.privileged"),
			problem(at+"[2].source", `"/dev/snd"`, inSystem("/dev"), "name the device in privileges.devices, or set privileges.privileged"),
			problem(at+"[3].source", `"/etc/a"`, readable("/etc"), "set readOnly, or mount a folder of the service's own, such as /srv/NAME")}},
		{"outside of the roots", func(r *registry.Registry) {
			r.Hosts["pi"] = registry.Host{Docker: "ssh://pi.lan", MountRoots: []string{"/data"}}
			deployed(registry.Deploy{Host: "pi", Mounts: []registry.Mount{{Source: "/srv/a", Target: "/a"}, {Source: "/data/a", Target: "/b"}}})(r)
		}, registry.Problems{
			problem(at+"[0].source", `"/srv/a"`, "not below the mountRoots of host pi: /data", "mount something below one of them, or add the path to hosts.pi.mountRoots")}},
		{"the roots", func(r *registry.Registry) {
			r.Hosts["pi"] = registry.Host{MountRoots: []string{"/srv", "srv", "/srv/", "/srv"}}
		}, registry.Problems{
			problem("$.hosts.pi.mountRoots[1]", `"srv"`, "not an absolute path", "write an absolute path"),
			problem("$.hosts.pi.mountRoots[2]", `"/srv/"`, "not the plain spelling of the path", `write "/srv"`),
			problem("$.hosts.pi.mountRoots[3]", `"/srv"`, "listed twice", "remove one of them")}},
	})
}
