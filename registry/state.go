package registry

import (
	"cmp"
	"slices"
	"strings"

	"homelab/internal/strictjson"
)

// state checks what the service called name must not lose.
func (v *validation) state(at strictjson.Path, name string, s Service) {
	state := s.State
	items := at.Key("items")
	for i, item := range state.Items {
		v.stateItem(items.Index(i), name, s.HostOf(), item)
	}
	if state.Quiesce != nil {
		v.quiesce(at.Key("quiesce"), state.Quiesce)
	}
	seen := map[string]bool{}
	for i, reauth := range state.Reauth {
		at := at.Key("reauth").Index(i).Key("name")
		switch {
		case strings.TrimSpace(reauth.Name) == "":
			v.report(at, reauth.Name, flawf("write what it is, such as Zigbee network key", "an empty name"))
		case seen[reauth.Name]:
			v.report(at, reauth.Name, flawf("choose another name, or remove one of them", "listed twice"))
		}
		seen[reauth.Name] = true
	}
	v.field(at, "downtimeBudget", state.DowntimeBudget, durationFlaw)
	v.stores(at.Key("stores"), state.Stores)
	v.field(at, "every", state.Every, durationFlaw)
	if r := state.Retention; r != nil {
		at := at.Key("retention")
		notNegative(v, at.Key("last"), r.Last)
		notNegative(v, at.Key("daily"), r.Daily)
		notNegative(v, at.Key("weekly"), r.Weekly)
		notNegative(v, at.Key("monthly"), r.Monthly)
	}
}

func (v *validation) stateItem(at strictjson.Path, service, host string, item StateItem) {
	switch {
	case item.Volume == "" && item.Path == "":
		v.report(at, item, flawf("give it one of volume and path", "neither a volume nor a path"))
	case item.Volume != "" && item.Path != "":
		v.report(at, item, flawf("make it two items", "both a volume and a path"))
	case item.Volume != "":
		f := dockerNameFlaw(item.Volume)
		if owner, taken := take(v.claims.volumes, v.place(host), item.Volume, service); taken && f.none() {
			f = sharedFlaw("the volume", owner, service, v.shared(host, owner))
		}
		v.report(at.Key("volume"), item.Volume, f)
	default:
		f := cleanFlaw(item.Path)
		if f.none() {
			v.claims.paths = append(v.claims.paths, v.newPathClaim(at.Key("path"), host, item.Path, service))
		}
		v.report(at.Key("path"), item.Path, f)
	}
	v.list(at.Key("exclude"), item.Exclude, belowFlaw)
}

// belowFlaw checks a path or glob below a state item.
func belowFlaw(pattern string) flaw {
	f := patternFlaw(pattern)
	if !f.none() {
		f.fix = "write a path or glob below the item"
	}
	return f
}

func sharedFlaw(what, owner, service, host string) flaw {
	if owner == service {
		return flawf("remove one of them", "listed twice")
	}
	return flawf("let one service keep it", "%s is state of %s on host %s already", what, owner, host)
}

// pathClaim is a path of a host that holds state.
type pathClaim struct {
	at            strictjson.Path
	host, service string
	path          string
	key           string // sorts a folder right before what is below it
}

func (v *validation) newPathClaim(at strictjson.Path, host, path, service string) pathClaim {
	key := strings.ReplaceAll(strings.TrimSuffix(path, "/"), "/", "\x00") + "\x00"
	return pathClaim{at, host, service, path, v.place(host) + "\x00" + key}
}

// overlaps reports state paths that two services share, or that lie in one
// another. Within one service a path may lie in another, to be of another
// class.
func (v *validation) overlaps() {
	claims := v.claims.paths
	slices.SortStableFunc(claims, func(a, b pathClaim) int { return cmp.Compare(a.key, b.key) })
	var above []pathClaim // the claims that contain the current one
	for _, c := range claims {
		for len(above) > 0 && !strings.HasPrefix(c.key, above[len(above)-1].key) {
			above = above[:len(above)-1]
		}
		if len(above) > 0 {
			v.overlap(above[len(above)-1], c)
		}
		above = append(above, c)
	}
}

func (v *validation) overlap(outer, inner pathClaim) {
	switch {
	case outer.path == inner.path:
		v.report(inner.at, inner.path, sharedFlaw("the path", outer.service, inner.service, v.shared(inner.host, outer.service)))
	case outer.service != inner.service:
		v.report(inner.at, inner.path, flawf("let one service keep both, or move one of them",
			"the path is in %s, state of %s on host %s", strictjson.Excerpt(outer.path), outer.service, v.shared(inner.host, outer.service)))
	}
}

// Name is the item as people call it: its volume or its path.
func (i StateItem) Name() string { return cmp.Or(i.Volume, i.Path) }
