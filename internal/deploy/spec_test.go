package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/internal/fault"
	"homelab/registry"
)

const pin = "homelab/ha:nix-0123456789abcdfghijklmnpqrsvwxyz"

var defaultCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

// bare is the spec of a service that says nothing of how it runs.
func bare() deploy.Spec {
	return deploy.Spec{
		Service: "ha", Container: "ha", Image: pin,
		Env: map[string]string{}, EnvFiles: []string{}, Ports: []deploy.Port{}, Mounts: []deploy.Mount{}, Networks: []string{},
		MountRule: registry.MountRule{Host: "local", Roots: []string{"/"}, Sockets: []string{}},
		Restart:   "unless-stopped", StopGrace: 10 * time.Second, Limits: deploy.Limits{PIDs: 1024},
		Security: deploy.Security{Capabilities: defaultCapabilities, Devices: []string{}, Sysctls: map[string]string{}},
		LogSize:  10 * 1024 * 1024, LogFiles: 3, Labels: map[string]string{},
	}
}

// specOf is the spec of a service that runs so.
func specOf(t *testing.T, d registry.Deploy) deploy.Spec {
	t.Helper()
	spec, err := deploy.NewSpec("ha", registry.Service{Deploy: &d}, registry.Host{}, pin)
	require.NoError(t, err)
	return spec
}

// full sets every field.
func full() registry.Deploy {
	return registry.Deploy{
		Host: "pi", Container: "homeassistant",
		Ports:     []string{"8123:8123", "[::1]:53:5353/udp", "127.0.0.1:53:5353/udp", "53:5353/tcp"},
		Volumes:   []registry.Volume{{Name: "ha", Target: "/config/"}, {Name: "certs", Target: "/certs", ReadOnly: true}},
		Mounts:    []registry.Mount{{Source: "/srv/media", Target: "/media", ReadOnly: true}, {Source: "/srv/a", Target: "/a"}},
		Env:       map[string]string{"TZ": "Europe/Berlin", "EMPTY": ""},
		EnvFiles:  []string{"/run/agenix/b", "/run/agenix/a"},
		Networks:  []string{"lan", "iot", "dmz"},
		Restart:   "always",
		Resources: &registry.Resources{MemoryBytes: 1 << 30, CPUs: 1.005, PIDs: 7},
		Labels:    map[string]string{"keep": "yes"},
		Privileges: &registry.Privileges{
			Capabilities: []string{"SYS_TIME", "NET_ADMIN", "CHOWN"}, NewPrivileges: true, Devices: []string{"/dev/ttyUSB1", "/dev/ttyUSB0"},
			HostPID: true, HostIPC: true, Unconfined: true, DockerSocket: true, Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
		},
	}
}

func TestSpecDefaults(t *testing.T) {
	assert.Equal(t, bare(), specOf(t, registry.Deploy{}))
}

func TestSpecSaysWhatTheRegistrySays(t *testing.T) {
	d := full()
	host := registry.Host{Docker: "unix:///srv/engine.sock", MountRoots: []string{"/srv"}}
	got, err := deploy.NewSpec("ha", registry.Service{Deploy: &d}, host, pin)
	require.NoError(t, err)
	assert.Equal(t, deploy.Spec{
		Service: "ha", Container: "homeassistant", Image: pin,
		Env:      map[string]string{"TZ": "Europe/Berlin", "EMPTY": ""},
		EnvFiles: []string{"/run/agenix/b", "/run/agenix/a"},
		Ports: []deploy.Port{
			{Host: 53, Container: 5353, Protocol: "tcp"},
			{Address: "127.0.0.1", Host: 53, Container: 5353, Protocol: "udp"},
			{Address: "::1", Host: 53, Container: 5353, Protocol: "udp"},
			{Host: 8123, Container: 8123, Protocol: "tcp"},
		},
		Mounts: []deploy.Mount{
			{Source: "/srv/a", Target: "/a"}, {Volume: "certs", Target: "/certs", ReadOnly: true},
			{Volume: "ha", Target: "/config"}, {Source: "/srv/media", Target: "/media", ReadOnly: true},
		},
		MountRule: registry.MountRule{Host: "pi", Roots: []string{"/srv"}, Sockets: []string{"/srv/engine.sock"}, DockerSocket: true},
		Networks:  []string{"lan", "dmz", "iot"},
		Restart:   "always", StopGrace: 10 * time.Second,
		Limits: deploy.Limits{Memory: 1 << 30, CPUs: 1_005_000_000, PIDs: 7},
		Security: deploy.Security{
			Capabilities:  []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_ADMIN", "NET_BIND_SERVICE", "SETGID", "SETUID", "SYS_TIME"},
			NewPrivileges: true, Devices: []string{"/dev/ttyUSB0", "/dev/ttyUSB1"}, HostPID: true, HostIPC: true, Unconfined: true,
			Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
		},
		LogSize: 10 << 20, LogFiles: 3, Labels: map[string]string{"keep": "yes"},
	}, got)
	assert.Equal(t, full(), d, "the registry is left as it is")

	got.Env["TZ"], got.EnvFiles[0], got.MountRule.Roots[0], got.Security.Sysctls["x"] = "", "", "", ""
	assert.Equal(t, full(), d, "nothing is shared with the registry")
	assert.Equal(t, []string{"/srv"}, host.MountRoots)

	privileged := specOf(t, registry.Deploy{Privileges: &registry.Privileges{Privileged: true}})
	assert.True(t, privileged.Security.Privileged)
	assert.True(t, privileged.MountRule.Privileged)
}

func TestSpecNamesOnlyNetworksToJoin(t *testing.T) {
	host := &registry.Privileges{HostNetwork: true}
	for _, tt := range []struct {
		given, want []string
		privileges  *registry.Privileges
	}{
		{[]string{"bridge"}, []string{}, nil},
		{[]string{"default"}, []string{}, nil},
		{[]string{"none"}, []string{"none"}, nil},
		{[]string{"lan", "bridge"}, []string{"lan", "bridge"}, nil},
		{[]string{"host"}, []string{}, host},
		{nil, []string{}, host},
	} {
		spec := specOf(t, registry.Deploy{Networks: tt.given, Privileges: tt.privileges})
		assert.Equal(t, tt.want, spec.Networks, tt.given)
		assert.Equal(t, tt.privileges != nil, spec.Security.HostNetwork, tt.given)
	}
}

func TestSpecOfWhatCannotRun(t *testing.T) {
	_, err := deploy.NewSpec("ha", registry.Service{}, registry.Host{}, pin)
	assert.Equal(t, fault.New(fault.Precondition, "ha is only built: it has no container", "say in the registry how it runs: services.ha.deploy"), err)
	_, err = deploy.NewSpec("ha", registry.Service{Deploy: &registry.Deploy{Ports: []string{"80"}}}, registry.Host{}, pin)
	assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err))
	assert.ErrorContains(t, err, `port "80": not a published port`)
}

// What is written here is on the containers of users. When it changes, hashVersion
// has to, and all of them are made anew.
func TestHashStaysTheSame(t *testing.T) {
	assert.Equal(t, "39500cebf9333073c7920b4ed42c6189", specOf(t, registry.Deploy{}).Hash())
	assert.Equal(t, "56b439ddc08a9fba7aef299ab57bcbd2", specOf(t, full()).Hash())
}

func TestHashDoesNotKnowTheOrder(t *testing.T) {
	want := specOf(t, full()).Hash()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		d := full()
		shuffle(random, d.Ports)
		shuffle(random, d.Volumes)
		shuffle(random, d.Mounts)
		shuffle(random, d.Networks[1:])
		shuffle(random, d.Privileges.Capabilities)
		shuffle(random, d.Privileges.Devices)
		d.Env, d.Labels = maps.Clone(d.Env), maps.Clone(d.Labels)
		require.Equal(t, want, specOf(t, d).Hash())
	}
	first := full()
	slices.Reverse(first.Networks)
	assert.NotEqual(t, want, specOf(t, first).Hash(), "it starts in another network")
	files := full()
	slices.Reverse(files.EnvFiles)
	assert.NotEqual(t, want, specOf(t, files).Hash(), "another file wins")
}

func shuffle[T any](random *rand.Rand, items []T) {
	random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
}

func TestHashOfASpecThatWasWrittenDown(t *testing.T) {
	for _, spec := range []deploy.Spec{bare(), specOf(t, full()), {}} {
		text, err := json.Marshal(spec)
		require.NoError(t, err)
		var again deploy.Spec
		require.NoError(t, json.Unmarshal(text, &again))
		assert.Equal(t, spec, again)
		assert.Equal(t, spec.Hash(), again.Hash())
		assert.Regexp(t, `^[0-9a-f]{32}$`, spec.Hash())
	}
	empty := bare()
	empty.Env, empty.EnvFiles, empty.Ports, empty.Mounts, empty.Networks, empty.Labels = nil, nil, nil, nil, nil, nil
	empty.Security.Devices, empty.Security.Sysctls = nil, nil
	assert.Equal(t, bare().Hash(), empty.Hash(), "nil is empty")
}

// changed is a spec in which one field is another.
type changed struct {
	field string // its names in JSON
	spec  deploy.Spec
}

// changes changes each field of the spec, also those in lists and in structs.
func changes(t *testing.T, of deploy.Spec) []changed {
	t.Helper()
	copied := func() deploy.Spec {
		text, err := json.Marshal(of)
		require.NoError(t, err)
		var spec deploy.Spec
		require.NoError(t, json.Unmarshal(text, &spec))
		return spec
	}
	var all []changed
	var walk func(field string, find func(root reflect.Value) reflect.Value)
	walk = func(field string, find func(root reflect.Value) reflect.Value) {
		value := find(reflect.ValueOf(&of).Elem())
		if value.Kind() == reflect.Struct {
			for i := range value.NumField() {
				walk(field+"."+value.Type().Field(i).Tag.Get("json"), func(root reflect.Value) reflect.Value { return find(root).Field(i) })
			}
			return
		}
		if value.Kind() == reflect.Slice && value.Len() > 0 {
			walk(field, func(root reflect.Value) reflect.Value { return find(root).Index(0) })
			return
		}
		spec := copied()
		alter(t, find(reflect.ValueOf(&spec).Elem()))
		all = append(all, changed{field[1:], spec})
	}
	walk("", func(root reflect.Value) reflect.Value { return root })
	return all
}

// alter makes another value of one.
func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		v.SetMapIndex(reflect.ValueOf("new"), reflect.ValueOf("x"))
	default:
		require.FailNow(t, "no other value is known", "%s", v.Type())
	}
}

func TestHashKnowsEveryField(t *testing.T) {
	for name, spec := range map[string]deploy.Spec{"bare": bare(), "full": specOf(t, full())} {
		hashes := map[string]string{spec.Hash(): "the spec itself"}
		for _, c := range changes(t, spec) {
			hash := c.spec.Hash()
			if c.field == "image" || strings.HasPrefix(c.field, "mountRule.") {
				assert.Equal(t, spec.Hash(), hash, "%s is nothing of the configuration", c.field)
				continue
			}
			assert.Empty(t, hashes[hash], "%s: %s changes nothing", name, c.field)
			hashes[hash] = c.field
		}
		assert.Greater(t, len(hashes), 20)
	}
}

// resolver knows where paths lead; any other leads to itself.
func resolver(links map[string]string) func(string) (string, error) {
	return func(p string) (string, error) {
		switch real, known := links[p]; {
		case !known:
			return p, nil
		case real == "":
			return "", &fs.PathError{Op: "lstat", Path: p, Err: fs.ErrNotExist}
		case real == "?":
			return "", errors.New("permission denied")
		default:
			return real, nil
		}
	}
}

func TestSafeMounts(t *testing.T) {
	const socketFix = "remove the mount, or set privileges.dockerSocket: with the socket the service is root on the host"
	mounts := func(sources ...string) registry.Deploy {
		d := registry.Deploy{Volumes: []registry.Volume{{Name: "data", Target: "/volume"}}, Privileges: &registry.Privileges{}}
		for i, source := range sources {
			d.Mounts = append(d.Mounts, registry.Mount{Source: source, Target: fmt.Sprintf("/%d", i)})
		}
		return d
	}
	withSocket := mounts("/srv/run", "/srv/sock")
	withSocket.Privileges.DockerSocket = true
	for name, tt := range map[string]struct {
		deploy registry.Deploy
		host   registry.Host
		links  map[string]string
		code   fault.Code
		said   string
	}{
		"none":              {deploy: mounts()},
		"plain":             {deploy: mounts("/srv/a", "/home/me")},
		"a link to no harm": {deploy: mounts("/srv/a"), links: map[string]string{"/srv/a": "/mnt/a"}},
		"links to the socket": {deploy: mounts("/srv/run", "/srv/a", "/srv/sock"), links: map[string]string{"/srv/run": "/run", "/srv/sock": "/run/docker.sock"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: the path holds a socket of a container engine, "/run/docker.sock" ("/srv/run", which leads to "/run"); ` + socketFix + "\n" +
				`mounts[/2]: the path is a socket of a container engine ("/srv/sock", which leads to "/run/docker.sock"); ` + socketFix},
		"links to the socket, granted": {deploy: withSocket, links: map[string]string{"/srv/run": "/run", "/srv/sock": "/run/docker.sock"}},
		"the socket itself": {deploy: mounts("/run/docker.sock"), links: map[string]string{"/run/docker.sock": "/srv/x"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: the path is a socket of a container engine ("/run/docker.sock", which leads to "/srv/x"); ` + socketFix},
		"where the usual socket leads": {deploy: mounts("/home/me/run"), links: map[string]string{"/var/run/docker.sock": "/home/me/run/engine"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: the path holds a socket of a container engine, "/home/me/run/engine" ("/home/me/run"); ` + socketFix},
		"where the engine's own socket leads": {deploy: mounts("/mnt/e"), host: registry.Host{Docker: "unix:///srv/e.sock"}, links: map[string]string{"/srv/e.sock": "/mnt/e/sock"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: the path holds a socket of a container engine, "/mnt/e/sock" ("/mnt/e"); ` + socketFix},
		"a link to the system": {deploy: mounts("/srv/a"), links: map[string]string{"/srv/a": "/root"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: it belongs to the system of the host ("/srv/a", which leads to "/root"); mount a folder of the service's own, such as /srv/NAME, or set privileges.privileged`},
		"a link out of the roots": {deploy: mounts("/srv/a"), host: registry.Host{MountRoots: []string{"/srv"}}, links: map[string]string{"/srv/a": "/mnt/a"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: not below the mountRoots of host local: /srv ("/srv/a", which leads to "/mnt/a"); mount something below one of them, or add the path to hosts.local.mountRoots`},
		"a root that is a link": {deploy: mounts("/srv/a"), host: registry.Host{MountRoots: []string{"/srv"}}, links: map[string]string{"/srv": "/mnt", "/srv/a": "/mnt/a"}},
		"a root as it is written": {deploy: mounts("/mnt/a"), host: registry.Host{MountRoots: []string{"/srv"}}, links: map[string]string{"/srv": "/mnt"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/0]: not below the mountRoots of host local: /srv ("/mnt/a"); mount something below one of them, or add the path to hosts.local.mountRoots`},
		"what is not there": {deploy: mounts("/srv/a", "/srv/b"), links: map[string]string{"/srv/a": "", "/srv/b": "?"}, code: fault.Precondition,
			said: "the mounts of ha cannot be made:\n" +
				`mounts[/0]: "/srv/a": there is no such path on the host` + "\n" + `mounts[/1]: "/srv/b": permission denied`},
		"both": {deploy: mounts("/srv/a", "/srv/b"), links: map[string]string{"/srv/a": "", "/srv/b": "/boot"}, code: fault.Denied,
			said: "the mounts of ha are refused:\n" +
				`mounts[/1]: it belongs to the system of the host ("/srv/b", which leads to "/boot"); mount a folder of the service's own, such as /srv/NAME, or set privileges.privileged` + "\n" +
				`mounts[/0]: "/srv/a": there is no such path on the host`},
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := deploy.NewSpec("ha", registry.Service{Deploy: &tt.deploy}, tt.host, pin)
			require.NoError(t, err)
			before, paths := spec.MountRule, deploy.HostPaths(spec)
			err = deploy.SafeMounts(spec, func(path string) (string, error) {
				assert.Contains(t, paths, path, "it was said what is asked about")
				return resolver(tt.links)(path)
			})
			assert.Equal(t, before, spec.MountRule)
			if tt.code == "" {
				assert.NoError(t, err)
				return
			}
			assert.Equal(t, tt.code, fault.CodeOf(err))
			assert.EqualError(t, err, tt.said)
			assert.NotEmpty(t, fault.Of(err).Hint)
		})
	}
}

func TestSafeMountsOfRealLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "all")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "own"), 0o755))
	for source, want := range map[string]fault.Code{"own": "", "all": fault.Denied, "all/proc": fault.Denied, "gone": fault.Precondition} {
		spec := specOf(t, registry.Deploy{Mounts: []registry.Mount{{Source: filepath.Join(dir, source), Target: "/a"}}})
		assert.Equal(t, want, fault.CodeOf(deploy.SafeMounts(spec, filepath.EvalSymlinks)), source)
	}
}
