package registry

import (
	"maps"
	"slices"
	"strings"

	"homelab/internal/lazy"
	"homelab/internal/strictjson"
)

var (
	// A part in quotes may hold what Nix itself does not read as the end of
	// the attribute or as another part of the flake reference.
	attrSyntax = lazy.Regexp(`^(?:` + attrPart + `)(?:\.(?:` + attrPart + `))*$`)
	// imageSyntax is the name of a repository in a reference to an image, as
	// in the grammar of github.com/distribution/reference.
	imageSyntax = lazy.Regexp(`^(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?` + imagePart + `(?:/` + imagePart + `)*$`)
)

const (
	attrPart  = `[a-zA-Z_][a-zA-Z0-9_'-]*|"[^"#%^\\$\s[:cntrl:]]+"`
	imagePart = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
)

func attrFlaw(attr string) flaw {
	const fix = `write a path of names with dots between them, such as packages.x86_64-linux.grafana-oci, other names in quotes ("1password")`
	switch {
	case attr == "":
		return flawf(fix, "an empty flake attribute")
	case strings.Contains(attr, "#"):
		return flawf("write only what comes after the #: the flake is that of the repository", "not a flake attribute")
	case !attrSyntax().MatchString(attr):
		return flawf(fix, "not a flake attribute")
	}
	return flaw{}
}

func imageFlaw(image string) flaw {
	switch {
	case imageSyntax().MatchString(image):
		return flaw{}
	case strings.Contains(image, "@"):
		return flawf("write the name without the digest", "not the name of a repository of images")
	case strings.LastIndex(image, ":") > strings.LastIndex(image, "/"):
		return flawf("write the name without the tag", "not the name of a repository of images")
	}
	return flawf("write lowercase letters and digits, with '.', '_', '-' and '/' between them", "not the name of a repository of images")
}

func (v *validation) systemFlaw(system string) flaw {
	if KnownSystem(system) {
		return flaw{}
	}
	return flawf(v.suggest(system, Systems), "not a Nix system that homelab knows")
}

func (v *validation) build(at strictjson.Path, b Build) {
	targets := at.Key("targets")
	if len(b.Targets) == 0 {
		v.report(targets, map[string]string{}, flawf(`name the flake attribute of the image for each system, such as "x86_64-linux": "packages.x86_64-linux.grafana-oci"`,
			"a service without targets cannot be built"))
	}
	v.keys(targets, b.Targets, v.systemFlaw)
	for _, system := range slices.Sorted(maps.Keys(b.Targets)) {
		v.required(targets, system, b.Targets[system], attrFlaw)
	}
	v.field(at, "image", b.Image, imageFlaw)
}
