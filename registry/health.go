package registry

import (
	"strings"
	"time"

	"homelab/internal/strictjson"
)

// health checks a gate, and that it has no settings of another kind: they
// would look as if they counted.
func (v *validation) health(at strictjson.Path, h *Health) {
	probesPort := h.Kind == "http" || h.Kind == "tcp"
	switch {
	case probesPort && h.Port == 0:
		v.report(at.Key("port"), nil, flawf("write the port in the container, from 1 to 65535", "%s needs a port", h.Kind))
	case h.Port < 0 || h.Port > 65535:
		v.report(at.Key("port"), h.Port, flawf("write the port in the container, from 1 to 65535", "not a port"))
	case h.Kind != "" && !probesPort && h.Port != 0:
		v.report(at.Key("port"), h.Port, unused("kind http or tcp"))
	}
	if h.Kind == "exec" {
		v.command(at.Key("command"), h.Command, "exec needs a command")
	}
	if h.Kind != "" && h.Kind != "exec" && h.Command != nil {
		v.report(at.Key("command"), h.Command, unused("kind exec"))
	}
	v.response(at, h)
	v.field(at, "interval", h.Interval, durationFlaw)
	v.field(at, "timeout", h.Timeout, durationFlaw)
	v.field(at, "startPeriod", h.StartPeriod, durationFlaw)
}

// response checks what only an HTTP probe has.
func (v *validation) response(at strictjson.Path, h *Health) {
	isOther := h.Kind != "" && h.Kind != "http"
	switch {
	case h.Path == "":
	case isOther:
		v.report(at.Key("path"), h.Path, unused("kind http"))
	case !strings.HasPrefix(h.Path, "/"):
		v.report(at.Key("path"), h.Path, flawf("write "+strictjson.Excerpt("/"+h.Path), "the path of a URL starts with /"))
	}
	switch {
	case h.Status == 0:
	case isOther:
		v.report(at.Key("status"), h.Status, unused("kind http"))
	case h.Status < 100 || h.Status > 599:
		v.report(at.Key("status"), h.Status, flawf("write a number from 100 to 599", "not an HTTP status"))
	}
}

// unused is a setting that only counts with another one.
func unused(with string) flaw {
	return flawf("remove it", "it only counts with %s", with)
}

// command checks a command with its arguments, which has to be there.
func (v *validation) command(at strictjson.Path, command []string, missing string) {
	switch {
	case len(command) == 0:
		v.report(at, nil, flawf(`write the program and its arguments, such as ["pg_isready", "-q"]`, "%s", missing))
	case strings.TrimSpace(command[0]) == "":
		v.report(at.Index(0), command[0], flawf("write the program", "the program has no name"))
	}
}

func durationFlaw(text string) flaw {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return flawf(`write a number with a unit, such as "30s", "5m" or "1h30m"`, "not a duration")
	case d <= 0:
		return flawf("write more than zero, or leave it out", "the duration is not positive")
	}
	return flaw{}
}
