package nix

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// GitRef is the flake reference of the flake in folder dir of the repository
// at root, an absolute path. An empty rev means the work tree, of which Nix
// sees what git tracks; an empty dir means the root. Every other rev is a full
// commit id, present in the repository.
func GitRef(root, rev, dir string) string {
	var query []string
	if dir = path.Clean(dir); dir != "." {
		query = append(query, "dir="+escape(dir, "/"))
	}
	if rev != "" {
		query = append(query, "rev="+rev)
	}
	// Nix refuses shallow repositories unless asked. Asking elsewhere would
	// take revCount away from the flake.
	if shallow(root) {
		query = append(query, "shallow=1")
	}
	ref := "git+file://" + escapePath(root)
	if len(query) > 0 {
		ref += "?" + strings.Join(query, "&")
	}
	return ref
}

// escapePath leaves alone what a path of a URL may hold (RFC 3986, pchar): old
// versions of Nix do not decode local paths, so less is more.
func escapePath(path string) string { return escape(path, "/!$&'()*+,;=:@") }

// escape percent-encodes all bytes of s but letters, digits, -._~ and those of
// keep.
func escape(s, keep string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if letter || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// shallow says whether the repository was cloned without its whole history. A
// linked worktree shares that with the repository it belongs to.
func shallow(root string) bool {
	gitDir := filepath.Join(root, ".git")
	if link, err := os.ReadFile(gitDir); err == nil {
		gitDir = resolve(root, strings.TrimPrefix(string(link), "gitdir: "))
	}
	if common, err := os.ReadFile(filepath.Join(gitDir, "commondir")); err == nil {
		gitDir = resolve(gitDir, string(common))
	}
	_, err := os.Stat(filepath.Join(gitDir, "shallow"))
	return err == nil
}

func resolve(base, path string) string {
	path = strings.TrimSpace(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// place is what a flake reference says about where the flake is.
type place struct {
	root    string // of the repository; empty when it is not a local one
	dir     string // of the flake in the repository; empty: the root
	pinned  bool   // to a revision
	escaped bool   // the root needs percent-encoding
}

func placeOf(ref string) place {
	address, query, _ := strings.Cut(ref, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return place{}
	}
	p := place{dir: values.Get("dir"), pinned: values.Has("rev")}
	if encoded, ok := strings.CutPrefix(address, "git+file://"); ok {
		if p.root, err = url.PathUnescape(encoded); err != nil {
			return place{}
		}
		p.escaped = p.root != encoded
	}
	return p
}
