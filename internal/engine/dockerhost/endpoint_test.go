package dockerhost_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/registry"
)

type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func TestResolveRegistry(t *testing.T) {
	files := &registry.TLS{CA: "/ca.pem", Cert: "/cert.pem", Key: "/key.pem"}
	rows := map[string]struct {
		host registry.Host
		want dockerhost.Endpoint
	}{
		"socket": {
			registry.Host{Docker: "unix:///run/other.sock"},
			dockerhost.Endpoint{URL: "unix:///run/other.sock"},
		},
		"the path of a socket is no URL path": {
			registry.Host{Docker: "unix:///run/100%?#.sock"},
			dockerhost.Endpoint{URL: "unix:///run/100%?#.sock"},
		},
		"ssh":            {registry.Host{Docker: "ssh://nas"}, dockerhost.Endpoint{URL: "ssh://nas"}},
		"ssh, in full":   {registry.Host{Docker: "ssh://me@nas:2222/run/d.sock"}, dockerhost.Endpoint{URL: "ssh://me@nas:2222/run/d.sock"}},
		"ssh, IPv6":      {registry.Host{Docker: "ssh://[fe80::1]"}, dockerhost.Endpoint{URL: "ssh://[fe80::1]"}},
		"ssh has no TLS": {registry.Host{Docker: "ssh://nas", TLS: files}, dockerhost.Endpoint{URL: "ssh://nas"}},
		"tcp":            {registry.Host{Docker: "tcp://nas"}, dockerhost.Endpoint{URL: "tcp://nas:2375"}},
		"tcp with TLS":   {registry.Host{Docker: "tcp://nas", TLS: files}, dockerhost.Endpoint{URL: "tcp://nas:2376", TLS: files}},
		"tcp with port":  {registry.Host{Docker: "tcp://nas:1", TLS: files}, dockerhost.Endpoint{URL: "tcp://nas:1", TLS: files}},
	}
	// The registry is explicit: nothing of this may show.
	env := environment{"DOCKER_HOST": "unix:///x", "DOCKER_TLS_VERIFY": "1", "DOCKER_CONTEXT": "x"}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			row.want.Source = "registry"
			got, err := dockerhost.Resolve(row.host, env.get, t.TempDir())
			require.NoError(t, err)
			assert.Equal(t, row.want, got)

			again, err := dockerhost.Resolve(registry.Host{Docker: got.URL, TLS: got.TLS}, env.get, t.TempDir())
			require.NoError(t, err)
			assert.Equal(t, got, again, "an endpoint's URL says the same when it is read again")
		})
	}
}

func TestResolveDockerHost(t *testing.T) {
	home := t.TempDir()
	config := filepath.Join(home, ".docker")
	put(t, filepath.Join(config, "cert.pem"), "")
	put(t, filepath.Join(config, "key.pem"), "")
	rows := map[string]struct {
		env  environment
		want dockerhost.Endpoint
	}{
		"beats contexts": {
			environment{"DOCKER_HOST": "ssh://nas", "DOCKER_CONTEXT": "lab"},
			dockerhost.Endpoint{URL: "ssh://nas"},
		},
		"bare": {
			environment{"DOCKER_HOST": "nas:1234"},
			dockerhost.Endpoint{URL: "tcp://nas:1234"},
		},
		"socket left open": {
			environment{"DOCKER_HOST": "unix://"},
			dockerhost.Endpoint{URL: "unix:///var/run/docker.sock"},
		},
		"certificates alone do not ask for TLS": {
			environment{"DOCKER_HOST": "tcp://nas", "DOCKER_CERT_PATH": config},
			dockerhost.Endpoint{URL: "tcp://nas:2375"},
		},
		"verified": {
			environment{"DOCKER_HOST": "tcp://nas", "DOCKER_TLS_VERIFY": "1"},
			dockerhost.Endpoint{URL: "tcp://nas:2376", TLS: &registry.TLS{
				CA: filepath.Join(config, "ca.pem"), Cert: filepath.Join(config, "cert.pem"), Key: filepath.Join(config, "key.pem")}},
		},
		"verified, no client certificate": {
			environment{"DOCKER_HOST": "tcp://nas", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere"},
			dockerhost.Endpoint{URL: "tcp://nas:2376", TLS: &registry.TLS{CA: "/nowhere/ca.pem"}},
		},
		"encrypted only": {
			environment{"DOCKER_HOST": "tcp://nas", "DOCKER_TLS": "1", "DOCKER_CERT_PATH": "/nowhere"},
			dockerhost.Endpoint{URL: "tcp://nas:2376", TLS: &registry.TLS{}, Insecure: true},
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			row.want.Source = "DOCKER_HOST"
			got, err := dockerhost.Resolve(registry.Host{}, row.env.get, home)
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
}

// What nobody has configured is looked for, also an engine that runs without root.
func TestLocalSockets(t *testing.T) {
	rootless := environment{"XDG_RUNTIME_DIR": "/run/user/1000"}
	assert.Equal(t, []string{"/var/run/docker.sock", "/home/me/.docker/run/docker.sock", "/run/user/1000/docker.sock"}, dockerhost.LocalSockets(rootless.get, "/home/me"))
	for _, runtime := range []string{"", "run"} {
		assert.Len(t, dockerhost.LocalSockets(environment{"XDG_RUNTIME_DIR": runtime}.get, "/home/me"), 2)
	}
	if _, err := os.Lstat("/var/run/docker.sock"); err == nil {
		return // which comes first
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "docker.sock"), "")
	got, err := dockerhost.Resolve(registry.Host{}, environment{"XDG_RUNTIME_DIR": dir}.get, t.TempDir())
	require.NoError(t, err)
	assert.Equal(t, dockerhost.Endpoint{URL: "unix://" + dir + "/docker.sock", Source: "default"}, got)
}

func TestResolveRefuses(t *testing.T) {
	rows := map[string]struct{ url, says string }{
		"another scheme":      {"npipe:////./pipe/docker_engine", "neither unix://"},
		"http":                {"http://nas:2375", "neither unix://"},
		"relative socket":     {"unix://run/docker.sock", "not absolute"},
		"socket too long":     {"unix:///" + strings.Repeat("x", 200), "too long"},
		"no host":             {"tcp://:2375", "host is missing"},
		"option as host":      {"ssh://-oProxyCommand=reboot", "ssh could take for something else"},
		"option as user":      {"ssh://-oProxyCommand=reboot@nas", "ssh could take for something else"},
		"command as host":     {"ssh://nas;reboot", "ssh could take for something else"},
		"command as user":     {"ssh://$(reboot)@nas", "ssh could take for something else"},
		"port":                {"tcp://nas:70000", "port is not a number"},
		"query":               {"ssh://nas?x=1", "not a path"},
		"fragment":            {"ssh://nas#x", "not a path"},
		"password, ssh":       {"ssh://me:hunter2@nas", "a password has no place"},
		"password, tcp":       {"tcp://me:hunter2@nas", "a password has no place"},
		"password, malformed": {"ssh://me:hunter2 %zz@nas", "not a URL"},
		"token":               {"tcp://hunter2@nas", "takes no user"},
		"password, no scheme": {"me:hunter2@nas", "neither unix://"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := dockerhost.Resolve(registry.Host{Docker: row.url}, environment{}.get, t.TempDir())
			f := fault.Of(err)
			require.NotNil(t, f)
			assert.Equal(t, fault.InvalidArgument, f.Code)
			assert.Contains(t, f.Message, row.says)
			assert.Contains(t, f.Message, "(from registry)")
			assert.NotContains(t, f.Message, "hunter2")
			assert.Contains(t, f.Hint, "ssh://[user@]host")

			_, err = dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: row.url})
			assert.Equal(t, fault.InvalidArgument, fault.CodeOf(err), "Dial trusts nobody")
		})
	}
}

func TestLocalSocket(t *testing.T) {
	dir := t.TempDir()
	there, missing := filepath.Join(dir, "there"), filepath.Join(dir, "missing")
	put(t, there, "")
	assert.Equal(t, there, dockerhost.FirstThatExists(missing, there))
	assert.Equal(t, dir, dockerhost.FirstThatExists(dir, there))
	assert.Equal(t, missing, dockerhost.FirstThatExists(missing, missing+"2"))

	got, err := dockerhost.Resolve(registry.Host{}, environment{}.get, dir)
	require.NoError(t, err)
	assert.Equal(t, dockerhost.Endpoint{URL: "unix:///var/run/docker.sock", Source: "default"}, got)
}

func put(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}
