package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// pkg is a package of the module without its tests. Paths of the module's own
// packages are relative to it.
type pkg struct {
	path    string
	imports []string
	uses    []string // names of other packages, and builtin functions, such as fmt.Println
}

// forTests says whether the package is there for tests only.
func (p pkg) forTests() bool { return isForTests(p.path) }

func isForTests(p string) bool { return strings.HasSuffix(path.Base(p), "test") }

// check lists what breaks the house, each with the reason of its rule.
func check(packages []pkg) []string {
	var broken []string
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	own := map[string]bool{}
	for _, p := range packages {
		own[p.path] = true
	}
	for _, p := range packages {
		here, ok := floors[p.path]
		if !ok {
			say("%s has no floor: give it one, with a reason", p.path)
			continue
		}
		for _, imported := range p.imports {
			if own[imported] {
				checkFloor(p, here, imported, say)
			}
			for _, r := range imports {
				if under(imported, r.what) && !slices.Contains(r.only, p.path) && !p.forTests() {
					say("%s imports %s: %s", p.path, imported, r.why)
				}
			}
			for _, library := range testLibraries {
				if under(imported, library) && !p.forTests() {
					say("%s imports %s outside its tests", p.path, imported)
				}
			}
		}
		for _, used := range p.uses {
			for _, r := range names {
				if used == r.what && !slices.Contains(r.only, p.path) {
					say("%s uses %s: %s", p.path, used, r.why)
				}
			}
		}
	}
	for known := range floors {
		if !own[known] {
			say("%s has a floor and does not exist", known)
		}
	}
	slices.Sort(broken)
	return broken
}

func checkFloor(p pkg, here floor, imported string, say func(string, ...any)) {
	there, ok := floors[imported]
	switch {
	case !ok: // said at the package itself
	case isForTests(imported) && !p.forTests():
		say("%s imports %s outside its tests", p.path, imported)
	case there.number > here.number:
		say("%s (floor %d) imports %s (floor %d) above it: %s", p.path, here.number, imported, there.number, here.why)
	case there.number == here.number:
		for _, allowed := range siblings {
			if allowed.from == p.path && allowed.to == imported {
				return
			}
		}
		say("%s imports %s beside it on floor %d: %s", p.path, imported, here.number, here.why)
	}
}

func under(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }
