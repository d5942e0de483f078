package registry

import (
	"net/http"
	"net/url"
	"slices"

	"homelab/internal/strictjson"
)

// quiesce checks that freeze and thaw are what the kind needs.
func (v *validation) quiesce(at strictjson.Path, q *Quiesce) {
	if q.Kind != "" && q.Preset != "" {
		v.report(at.Key("preset"), q.Preset, flawf("keep one of them", "a preset brings its own kind"))
	}
	freeze, thaw := at.Key("freeze"), at.Key("thaw")
	switch q.Kind {
	case "exec":
		v.command(freeze, q.Freeze, "exec needs a command to freeze")
		v.command(thaw, q.Thaw, "exec needs a command to thaw")
	case "http":
		v.call(freeze, q.Freeze)
		v.call(thaw, q.Thaw)
	case "dump":
		v.command(freeze, q.Freeze, "dump needs a command that writes the dump")
		if q.Thaw != nil {
			v.command(thaw, q.Thaw, "an empty command")
		}
	case "", "none", "stop", "pause", "snapshot":
		if q.Freeze != nil {
			v.report(freeze, q.Freeze, unused("kind exec, http or dump"))
		}
		if q.Thaw != nil {
			v.report(thaw, q.Thaw, unused("kind exec, http or dump"))
		}
	}
	v.field(at, "timeout", q.Timeout, durationFlaw)
}

// call checks an HTTP call, [METHOD, URL].
func (v *validation) call(at strictjson.Path, call []string) {
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	if len(call) != 2 {
		v.report(at, call, flawf(`write a method and a URL, such as ["POST", "http://localhost:8086/freeze"]`, "not an HTTP call"))
		return
	}
	if !slices.Contains(methods, call[0]) {
		v.report(at.Index(0), call[0], flawf(v.suggest(call[0], methods), "not an HTTP method"))
	}
	u, err := url.Parse(call[1])
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		v.report(at.Index(1), withoutPassword(call[1]), flawf("write http://host:port/path", "not a URL"))
	}
}
