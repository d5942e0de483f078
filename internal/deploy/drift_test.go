package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/deploy"
	"homelab/registry"
)

// told is a spec as an engine tells it of the container that was made of it.
func told(spec deploy.Spec) deploy.Spec {
	spec.Service, spec.EnvFiles, spec.Labels, spec.MountRule = "", nil, nil, registry.MountRule{}
	return spec
}

func TestNoDifferences(t *testing.T) {
	spec := specOf(t, full())
	assert.Nil(t, spec.Differences(spec, true))
	assert.Nil(t, spec.Differences(told(spec), false))
	is := told(spec)
	is.Container = "homeassistant-next"
	is.Env = map[string]string{"TZ": "Europe/Berlin", "EMPTY": "", "PATH": "/bin", "API_TOKEN": "x"}
	is.Ports = []deploy.Port{is.Ports[3], is.Ports[0], is.Ports[2], is.Ports[1]}
	is.Networks = []string{"lan", "iot", "dmz"}
	is.Mounts = append([]deploy.Mount{{Volume: strings.Repeat("0123456789abcdef", 4), Target: "/asked/for/by/the/image"}}, is.Mounts...)
	assert.Nil(t, spec.Differences(is, false))

	is = told(bare())
	is.Networks = []string{"bridge"}
	is.Env, is.Ports, is.Mounts, is.Security.Devices, is.Security.Sysctls = nil, nil, nil, nil, nil
	assert.Nil(t, bare().Differences(is, true))
}

func TestDifferences(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*deploy.Spec)
		want []deploy.Difference
	}{
		"image":          {func(s *deploy.Spec) { s.Image = "a:b" }, []deploy.Difference{{"image", pin, "a:b"}}},
		"ports":          {func(s *deploy.Spec) { s.Ports = s.Ports[1:3] }, []deploy.Difference{{"ports", "53:5353/tcp 127.0.0.1:53:5353/udp [::1]:53:5353/udp 8123:8123/tcp", "127.0.0.1:53:5353/udp [::1]:53:5353/udp"}}},
		"no ports":       {func(s *deploy.Spec) { s.Ports = nil }, []deploy.Difference{{"ports", "53:5353/tcp 127.0.0.1:53:5353/udp [::1]:53:5353/udp 8123:8123/tcp", "(nothing)"}}},
		"first network":  {func(s *deploy.Spec) { s.Networks = []string{"iot", "lan", "dmz"} }, []deploy.Difference{{"networks", "lan dmz iot", "iot dmz lan"}}},
		"engine network": {func(s *deploy.Spec) { s.Networks = []string{"bridge"} }, []deploy.Difference{{"networks", "lan dmz iot", "(nothing)"}}},
		"restart":        {func(s *deploy.Spec) { s.Restart = "no" }, []deploy.Difference{{"restart", "always", "no"}}},
		"grace":          {func(s *deploy.Spec) { s.StopGrace = time.Minute }, []deploy.Difference{{"stopGrace", "10s", "1m0s"}}},
		"log":            {func(s *deploy.Spec) { s.LogSize, s.LogFiles = 0, 1 }, []deploy.Difference{{"logSize", "10485760", "0"}, {"logFiles", "3", "1"}}},
		"limits": {func(s *deploy.Spec) { s.Limits = deploy.Limits{CPUs: 500_000_000, PIDs: 0} }, []deploy.Difference{
			{"limits.memory", "1073741824", "(nothing)"}, {"limits.cpus", "1.005", "0.5"}, {"limits.pids", "7", "(nothing)"}}},
		"mounts": {func(s *deploy.Spec) {
			s.Mounts = []deploy.Mount{{Volume: "ha", Target: "/config", ReadOnly: true}, {Volume: "certs", Target: "/certs", ReadOnly: true},
				{Source: "/srv/media", Target: "/media", ReadOnly: true}, {Source: "/", Target: "/host"}}
		}, []deploy.Difference{
			{"mounts[/a]", "/srv/a", "(nothing)"}, {"mounts[/config]", "volume ha", "volume ha, read-only"}, {"mounts[/host]", "(nothing)", "/"}}},
		"env": {func(s *deploy.Spec) { s.Env = map[string]string{"EMPTY": "x", "OTHER": "y"} }, []deploy.Difference{
			{"env.EMPTY", "", "x"}, {"env.TZ", "Europe/Berlin", "(nothing)"}}},
		"security": {func(s *deploy.Spec) {
			s.Security = deploy.Security{Privileged: true, HostNetwork: true, Sysctls: map[string]string{"net.ipv4.ip_forward": "0"}}
		}, []deploy.Difference{
			{"security.privileged", "false", "true"},
			{"security.capabilities", "CHOWN DAC_OVERRIDE FOWNER KILL NET_ADMIN NET_BIND_SERVICE SETGID SETUID SYS_TIME", "(nothing)"},
			{"security.newPrivileges", "true", "false"}, {"security.devices", "/dev/ttyUSB0 /dev/ttyUSB1", "(nothing)"},
			{"security.hostNetwork", "false", "true"}, {"security.hostPid", "true", "false"}, {"security.hostIpc", "true", "false"},
			{"security.unconfined", "true", "false"}, {"security.sysctls.net.ipv4.ip_forward", "1", "0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, full())
			is := told(specOf(t, full()))
			tt.edit(&is)
			assert.Equal(t, tt.want, spec.Differences(is, false))
		})
	}
}

func TestDifferencesOfTwoSpecs(t *testing.T) {
	spec, is := specOf(t, full()), specOf(t, full())
	is.Service, is.EnvFiles, is.Labels["keep"], is.Env["NEW"] = "other", []string{}, "no", "1"
	assert.Equal(t, []deploy.Difference{
		{"service", "ha", "other"}, {"env.NEW", "(nothing)", "1"}, {"envFiles", "/run/agenix/b /run/agenix/a", "(nothing)"}, {"labels.keep", "yes", "no"},
	}, spec.Differences(is, true))
}

func TestDifferencesHideSecrets(t *testing.T) {
	long := strings.Repeat("é", 101)
	for name, tt := range map[string]struct{ want, is, shown, shownIs string }{
		"API_TOKEN":    {"a", "b", "…", "…"},
		"db_password":  {"a", "b", "…", "…"},
		"DB_PASS":      {"a", "b", "…", "…"},
		"secretThing":  {"a", "b", "…", "…"},
		"AWS_KEY_ID":   {"a", "b", "…", "…"},
		"CREDENTIALS":  {"a", "b", "…", "…"},
		"DATABASE_URL": {"postgres://me:hunter2@db/x", "postgres://db/x", "…", "…"},
		"OLD_URL":      {"postgres://db/x", "postgres://me:hunter2@db/x", "…", "…"},
		"PUBLIC_URL":   {"http://me@pi:80/a:b", "http://pi/@x", "http://me@pi:80/a:b", "http://pi/@x"},
		"TZ":           {"a", "b", "a", "b"},
		"LONG":         {long, long + "x", strings.Repeat("é", 99) + "…", strings.Repeat("é", 99) + "…"},
		"FITS":         {long[2:], "", long[2:], ""},
	} {
		spec, is := bare(), bare()
		spec.Env, is.Env = map[string]string{name: tt.want}, map[string]string{name: tt.is}
		assert.Equal(t, []deploy.Difference{{"env." + name, tt.shown, tt.shownIs}}, spec.Differences(is, false))
		is.Env = nil
		assert.Equal(t, "(nothing)", spec.Differences(is, false)[0].Is)
	}
}

// Whatever is told of a container is compared.
func TestDifferencesKnowEveryField(t *testing.T) {
	spec := specOf(t, full())
	for _, c := range changes(t, spec) {
		field, _, _ := strings.Cut(c.field, ".")
		differences := spec.Differences(c.spec, true)
		if field == "container" || field == "mountRule" {
			assert.Empty(t, differences, c.field)
			continue
		}
		require.NotEmpty(t, differences, c.field)
		for _, d := range differences {
			assert.True(t, strings.HasPrefix(d.Field, field), "%s: %s", c.field, d.Field)
			assert.NotEqual(t, d.Want, d.Is, c.field)
		}
	}
}
