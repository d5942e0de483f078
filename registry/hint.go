package registry

import (
	"fmt"
	"strings"

	"homelab/internal/hint"
	"homelab/internal/strictjson"
)

// patternFlaw checks a path or glob as the matcher will read it.
func patternFlaw(pattern string) flaw {
	err := hint.Check(pattern)
	if err == nil {
		return flaw{}
	}
	message, fix, _ := strings.Cut(err.Error(), ": ")
	if relative := strings.TrimLeft(pattern, "/"); relative != pattern && relative != "" {
		fix += ", such as " + strictjson.Excerpt(relative)
	}
	return flaw{"the path " + message, fix}
}

func hintFlaw(pattern string) flaw {
	if strings.HasPrefix(pattern, "!") {
		return flawf(fmt.Sprintf("write %s in exclude", strictjson.Excerpt(pattern[1:])), `a hint cannot start with "!"`)
	}
	return patternFlaw(pattern)
}

func excludeFlaw(pattern string) flaw {
	if strings.HasPrefix(pattern, "!") {
		return flawf("write "+strictjson.Excerpt(pattern[1:]), `what is in exclude is excluded without "!"`)
	}
	return patternFlaw(pattern)
}

// hints checks the hints of the service at at, and what it excludes.
func (v *validation) hints(at strictjson.Path, s Service) {
	if len(s.Hints) == 0 {
		v.report(at.Key("hints"), []string{}, flawf("list the files and folders that its image is built from",
			"a service without hints would never be rebuilt"))
	}
	v.list(at.Key("hints"), s.Hints, hintFlaw)
	v.list(at.Key("exclude"), s.Exclude, excludeFlaw)
}

func (v *validation) globalHints() {
	root := strictjson.Root.Key("globalHints")
	seen := map[string]int{}
	for i, global := range v.registry.GlobalHints {
		at := root.Index(i)
		f := hintFlaw(global.Path)
		if first, twice := seen[global.Path]; twice && f.none() {
			f = flawf("remove one of them, and let the other name the services of both", "the path is at %s already", root.Index(first))
		} else {
			seen[global.Path] = i
		}
		if !f.none() {
			v.report(at.Key("path"), global.Path, f)
		}
		if global.Services != nil && len(global.Services) == 0 {
			v.report(at.Key("services"), global.Services, flawf("leave it out for every service, or name some", "an empty list"))
		}
		v.references(at.Key("services"), global.Services, "")
	}
}
