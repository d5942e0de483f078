package plan

import (
	"path"
	"path/filepath"
	"strings"

	"homelab/internal/fault"
)

// location is a setting, understood.
type location struct {
	flake   bool
	outside bool   // not part of the repository: the same at every revision
	ref     string // flake reference, when outside
	attr    string
	path    string // of the file, or of the flake's folder, in the repository or absolute
}

func (l location) String() string {
	switch {
	case !l.flake:
		return l.path
	case l.outside:
		return "flake " + l.ref + "#" + l.attr
	case l.path == "":
		return "flake .#" + l.attr
	}
	return "flake ./" + l.path + "#" + l.attr
}

// locate understands the setting.
func (s *Source) locate() (location, error) {
	ref, isFlake := strings.CutPrefix(s.Setting, "flake:")
	if !isFlake {
		inside, err := filepath.Rel(s.Root, s.Setting)
		if err != nil || inside == ".." || strings.HasPrefix(inside, "../") {
			return location{path: s.Setting, outside: true}, nil
		}
		return location{path: filepath.ToSlash(inside)}, nil
	}
	ref, attr, _ := strings.Cut(ref, "#")
	if attr == "" {
		attr = DefaultAttr
	}
	if ref == "" || ref == "." || strings.HasPrefix(ref, "./") {
		dir := path.Clean(strings.TrimPrefix(ref, "./"))
		if dir == "." {
			dir = ""
		}
		if dir != ".." && !strings.HasPrefix(dir, "../") {
			return location{flake: true, path: dir, attr: attr}, nil
		}
		ref = dir
	}
	if dir, inside := s.inside(ref); inside {
		return location{flake: true, path: dir, attr: attr}, nil
	}
	if strings.HasPrefix(ref, "-") || ref == ".." || strings.HasPrefix(ref, "../") {
		return location{}, fault.Newf(fault.InvalidArgument, "write flake:.#homelab, flake:./folder#attr or flake:github:owner/repo#attr",
			"--registry: %q is not a flake reference homelab takes", s.Setting)
	}
	return location{flake: true, outside: true, ref: ref, attr: attr}, nil
}

// inside says whether an absolute flake reference names a folder of this
// repository, and which: then it is read as of every revision. One with
// parameters (a revision, a branch) is taken as it is.
func (s *Source) inside(ref string) (dir string, ok bool) {
	for _, scheme := range []string{"git+file://", "git+file:", "path:"} {
		if rest, found := strings.CutPrefix(ref, scheme); found {
			ref = rest
			break
		}
	}
	if !filepath.IsAbs(ref) || strings.Contains(ref, "?") {
		return "", false
	}
	resolved, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return "", false
	}
	dir, err = filepath.Rel(s.Root, resolved)
	if err != nil || dir == ".." || strings.HasPrefix(dir, "../") {
		return "", false
	}
	if dir == "." {
		dir = ""
	}
	return filepath.ToSlash(dir), true
}
