package deploy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/lazy"
)

// Difference is one field in which a container is not as it is to be.
type Difference struct {
	Field string `json:"field" jsonschema_description:"What differs: ports, env.TZ, mounts[/config]."`
	Want  string `json:"want" jsonschema_description:"As the registry has it."`
	Is    string `json:"is" jsonschema_description:"As the container has it."`
}

// Differences lists where a container is not as the spec wants it, in the order of
// the fields. It compares what an engine tells of a running container: not its
// name, under which it may have been made anew. Service, EnvFiles and Labels are
// compared when is has them, as another spec does.
//
// Unless the environment of is is exact, only the variables of the spec count: a
// container has those of its image and of env files besides. A value is cut at 100
// characters, and … when it looks like a secret.
func (s Spec) Differences(is Spec, envIsExact bool) []Difference {
	c := comparison{}
	tells := is // what it leaves out is not compared
	want, is := s.canonical(), is.canonical()
	if tells.Service != "" {
		c.text("service", want.Service, is.Service)
	}
	c.text("image", want.Image, is.Image)
	c.variables(want.Env, is.Env, envIsExact)
	if tells.EnvFiles != nil {
		c.list("envFiles", want.EnvFiles, is.EnvFiles)
	}
	c.list("ports", texts(want.Ports), texts(is.Ports))
	c.mounts(want.Mounts, is.Mounts)
	c.list("networks", want.Networks, is.Networks)
	c.text("restart", want.Restart, is.Restart)
	c.text("stopGrace", want.StopGrace.String(), is.StopGrace.String())
	c.limits(want.Limits, is.Limits)
	c.security(want.Security, is.Security)
	c.text("logSize", count(want.LogSize), count(is.LogSize))
	c.text("logFiles", count(int64(want.LogFiles)), count(int64(is.LogFiles)))
	if tells.Labels != nil {
		c.object("labels.", want.Labels, is.Labels, false)
	}
	return c.found
}

// envDiffers is [Containers.EnvDiffers] for a container that may have no env files.
func envDiffers(ctx context.Context, e Containers, c *Container, want Spec) ([]string, error) {
	if len(want.EnvFiles) == 0 && c.Labels[LabelEnvFiles] == "" {
		return nil, nil
	}
	return e.EnvDiffers(ctx, c.ID, want)
}

// comparison gathers differences.
type comparison struct{ found []Difference }

func (c *comparison) text(field, want, is string) {
	if want != is {
		c.found = append(c.found, Difference{field, clip(want), clip(is)})
	}
}

func (c *comparison) flag(field string, want, is bool) {
	c.text(field, strconv.FormatBool(want), strconv.FormatBool(is))
}

func (c *comparison) list(field string, want, is []string) {
	if !slices.Equal(want, is) {
		c.found = append(c.found, Difference{field, clip(joined(want)), clip(joined(is))})
	}
}

func (c *comparison) variables(want, is map[string]string, exact bool) {
	if !exact {
		is = maps.Clone(is)
		maps.DeleteFunc(is, func(name, _ string) bool { _, wanted := want[name]; return !wanted })
	}
	c.object("env.", want, is, true)
}

// object compares by key. Values that look like secrets are not shown where the
// values may be secret.
func (c *comparison) object(prefix string, want, is map[string]string, secret bool) {
	keys := slices.Concat(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(is)))
	for _, key := range set(keys) {
		w, wanted := want[key]
		i, there := is[key]
		if wanted == there && w == i {
			continue
		}
		hidden := secret && (looksSecret(key) || withPassword().MatchString(w) || withPassword().MatchString(i))
		c.found = append(c.found, Difference{prefix + key, shown(w, wanted, hidden), shown(i, there, hidden)})
	}
}

func (c *comparison) mounts(want, is []Mount) {
	wanted, there := map[string]string{}, map[string]string{}
	for _, m := range want {
		wanted[m.Target] = m.String()
	}
	for _, m := range is {
		if _, named := wanted[m.Target]; named || !anonymous().MatchString(m.Volume) {
			there[m.Target] = m.String()
		}
	}
	targets := slices.Concat(slices.Collect(maps.Keys(wanted)), slices.Collect(maps.Keys(there)))
	for _, target := range set(targets) {
		c.text("mounts["+target+"]", cmp.Or(wanted[target], absent), cmp.Or(there[target], absent))
	}
}

func (c *comparison) limits(want, is Limits) {
	c.text("limits.memory", bound(want.Memory), bound(is.Memory))
	c.text("limits.cpus", processors(want.CPUs), processors(is.CPUs))
	c.text("limits.pids", bound(want.PIDs), bound(is.PIDs))
}

func (c *comparison) security(want, is Security) {
	c.flag("security.privileged", want.Privileged, is.Privileged)
	c.list("security.capabilities", want.Capabilities, is.Capabilities)
	c.flag("security.newPrivileges", want.NewPrivileges, is.NewPrivileges)
	c.list("security.devices", want.Devices, is.Devices)
	c.flag("security.hostNetwork", want.HostNetwork, is.HostNetwork)
	c.flag("security.hostPid", want.HostPID, is.HostPID)
	c.flag("security.hostIpc", want.HostIPC, is.HostIPC)
	c.flag("security.unconfined", want.Unconfined, is.Unconfined)
	c.object("security.sysctls.", want.Sysctls, is.Sysctls, false)
}

// absent stands for what is not there at all.
const absent = "(nothing)"

// shown is a value for people to see.
func shown(value string, there, hidden bool) string {
	switch {
	case !there:
		return absent
	case hidden:
		return "…"
	}
	return clip(value)
}

// clip cuts a text at 100 characters.
func clip(text string) string {
	const most = 100
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// looksSecret says whether the name of a variable is that of a secret. The
// environment is not for secrets; some are there all the same.
func looksSecret(name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc([]string{"TOKEN", "PASS", "SECRET", "KEY", "CREDENTIAL"}, func(word string) bool { return strings.Contains(name, word) })
}

var (
	// withPassword matches an address with a password in it.
	withPassword = lazy.Regexp(`://[^/\s]*:[^/\s]*@`)
	// anonymous is the name that an engine gives a volume that the image asks for.
	anonymous = lazy.Regexp(`^[0-9a-f]{64}$`)
)

func joined(items []string) string {
	return cmp.Or(strings.Join(items, " "), absent)
}

func texts(ports []Port) []string {
	all := make([]string, len(ports))
	for i, p := range ports {
		all[i] = p.String()
	}
	return all
}

// String is the port as the registry spells it.
func (p Port) String() string {
	text := fmt.Sprintf("%d:%d/%s", p.Host, p.Container, p.Protocol)
	switch {
	case strings.Contains(p.Address, ":"):
		return "[" + p.Address + "]:" + text
	case p.Address != "":
		return p.Address + ":" + text
	}
	return text
}

// String says what is mounted, not where.
func (m Mount) String() string {
	text := m.Source
	if m.Volume != "" {
		text = "volume " + m.Volume
	}
	if m.ReadOnly {
		text += ", read-only"
	}
	return text
}

// bound is a limit in words.
func bound(n int64) string {
	if n == 0 {
		return absent
	}
	return count(n)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// processors is a limit in billionths of a processor, in words.
func processors(n int64) string {
	if n == 0 {
		return absent
	}
	return strconv.FormatFloat(float64(n)/1e9, 'f', -1, 64)
}
