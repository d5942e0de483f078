package registry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/registry"
)

func TestLookup(t *testing.T) {
	r, err := registry.Parse(complete(t))
	require.NoError(t, err)
	for asked, want := range map[string]string{"grafana": "grafana", "ha": "home-assistant", "hass": "home-assistant"} {
		got, err := r.Lookup(asked)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err = r.Lookup("grafanna")
	assert.Equal(t, fault.New(fault.UnknownService, `no service is called "grafanna"`, "did you mean grafana?"), err)
	_, err = r.Lookup(strings.Repeat("x", 1<<20))
	assert.EqualError(t, err, `no service is called "`+strings.Repeat("x", 100)+`"`)
	_, err = r.Lookup("zz")
	assert.Equal(t, "valid: grafana, home-assistant, prometheus, watchdog, zigbee, ha, hass", fault.Of(err).Hint)
}

func TestHostAndContainerOf(t *testing.T) {
	r, err := registry.Parse(complete(t))
	require.NoError(t, err)
	type place struct{ host, container string }
	got := map[string]place{}
	for _, name := range r.Names() {
		got[name] = place{r.Services[name].HostOf(), r.Services[name].ContainerOf(name)}
	}
	assert.Equal(t, map[string]place{
		"grafana": {"nas", "grafana"}, "home-assistant": {"pi", "homeassistant"}, "prometheus": {"local", "prometheus"},
		"watchdog": {"local", "watchdog"}, "zigbee": {"local", "zigbee"},
	}, got)
	assert.Equal(t, "local", registry.Service{}.HostOf())
	assert.Equal(t, "a", registry.Service{}.ContainerOf("a"))
	assert.Equal(t, registry.Privileges{Unconfined: true}, r.Services["zigbee"].PrivilegesOf())
	assert.Equal(t, registry.Privileges{}, r.Services["prometheus"].PrivilegesOf())
	assert.Equal(t, registry.Privileges{}, registry.Service{}.PrivilegesOf())
}

func TestSystemOf(t *testing.T) {
	for _, tt := range []struct{ os, arch, want string }{
		{"linux", "amd64", "x86_64-linux"}, {"linux", "arm64", "aarch64-linux"}, {"darwin", "arm64", "aarch64-darwin"},
		{"linux", "arm", "armv7l-linux"}, {"linux", "386", "i686-linux"}, {"windows", "amd64", ""}, {"linux", "mips", ""}, {"", "", ""},
	} {
		assert.Equal(t, tt.want, registry.SystemOf(tt.os, tt.arch), tt.os+"/"+tt.arch)
	}
}
