package gitrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"homelab/internal/cache"
	"homelab/internal/command"
)

// settings is what the configuration of git says about comparing files. Asking
// git costs a process, so the answer is kept, in memory and on disk, with the
// stamps of every file it can come from.
type settings struct {
	// Plain means that no attribute can apply but those of .gitattributes files
	// in the work tree, and no line ending is converted: what is in a file is
	// what git would store.
	Plain bool
	// Excludes is the file of ignore rules for all repositories; may not exist.
	Excludes   string
	IgnoreCase bool
	FileMode   bool // the executable bit counts
	// Tracking are the branches that have an upstream.
	Tracking []string
	// Odd means that a setting was found which is not understood here: git
	// decides everything.
	Odd bool

	Stamps map[string]fileStamp // of the files it depends on, also of absent ones
}

// changesConfig says whether a variable changes what git reads.
func changesConfig(name string) bool {
	return slices.Contains([]string{"HOME", "XDG_CONFIG_HOME", "PATH"}, name) ||
		strings.HasPrefix(name, "GIT_CONFIG") || strings.HasPrefix(name, "GIT_ATTR")
}

// settingsOf returns the settings in force.
func (r *Repo) settingsOf(ctx context.Context) (*settings, error) {
	r.mu.Lock()
	known := r.settings
	r.mu.Unlock()
	if known == nil {
		known = r.keptSettings()
	}
	if known == nil || !known.current() {
		var err error
		if known, err = r.askSettings(ctx); err != nil {
			return nil, err
		}
		r.keepSettings(known)
	}
	r.mu.Lock()
	r.settings = known
	r.mu.Unlock()
	return known, nil
}

func (s *settings) current() bool {
	for path, stamp := range s.Stamps {
		if stampFile(path) != stamp {
			return false
		}
	}
	return true
}

func (r *Repo) askSettings(ctx context.Context) (*settings, error) {
	// git config leaves the repository's own settings out, without a word, where
	// git does not trust the repository; this does not.
	if _, err := r.git(ctx, "rev-parse", "--git-dir"); err != nil {
		return nil, err
	}
	out, err := r.git(ctx, "config", "--list", "-z", "--show-origin", "--includes")
	if err != nil {
		return nil, err
	}
	s := &settings{Plain: true, FileMode: true, Stamps: map[string]fileStamp{}}
	attributes := ""
	home, hasHome := os.LookupEnv("HOME")
	home = "/" + strings.TrimPrefix(home, "/")
	xdg := os.Getenv("XDG_CONFIG_HOME")
	switch {
	case xdg != "":
	case hasHome:
		xdg = filepath.Join(home, ".config")
	default:
		xdg = os.DevNull // below which nothing is
	}
	for _, path := range r.configFiles(home, xdg) {
		s.Stamps[path] = stampFile(path)
	}
	origin, included := "", r.root
	for record := range records(out) {
		if origin == "" {
			origin = record
			continue
		}
		if file, ok := strings.CutPrefix(origin, "file:"); ok {
			file = resolvePath(r.root, file)
			s.Stamps[file] = stampFile(file)
			included = filepath.Dir(file)
		}
		origin = ""
		key, value, hasValue := strings.Cut(record, "\n")
		on, clear := true, true
		if hasValue {
			on, clear = parseBool(value)
		}
		lower := strings.ToLower(key)
		if lower == "include.path" || strings.HasPrefix(lower, "includeif.") {
			file := s.path(included, value) // it need not be there yet
			s.Stamps[file] = stampFile(file)
		}
		if branch, ok := strings.CutPrefix(key, "branch."); ok && strings.HasSuffix(lower, ".merge") {
			s.Tracking = append(s.Tracking, branch[:len(branch)-len(".merge")])
		}
		switch lower {
		case "core.excludesfile":
			s.Excludes = s.path(r.root, value)
		case "core.attributesfile":
			attributes = s.path(r.root, value)
		case "core.autocrlf":
			s.Plain = s.Plain && !on && clear
		case "core.ignorecase":
			s.IgnoreCase = on || !clear
		case "core.filemode":
			s.FileMode = on
			s.Odd = s.Odd || !clear
		case "attr.tree":
			s.Odd = true
		case "core.symlinks":
			s.Odd = s.Odd || !on
		case "core.precomposeunicode", "core.sparsecheckout":
			s.Odd = s.Odd || on
		}
	}
	if s.Excludes == "" {
		s.Excludes = filepath.Join(xdg, "git", "ignore")
	}
	if attributes == "" {
		attributes = filepath.Join(xdg, "git", "attributes")
	}
	for _, path := range append(systemFiles("gitattributes"), attributes, filepath.Join(r.commonDir, "info", "attributes")) {
		s.Stamps[path] = stampFile(path)
		s.Plain = s.Plain && s.Stamps[path].Size == 0
	}
	s.Odd = s.Odd || os.Getenv("GIT_ATTR_SOURCE") != ""
	return s, nil
}

// configFiles are where settings come from, or could.
func (r *Repo) configFiles(home, xdg string) []string {
	files := systemFiles("gitconfig")
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		if path := os.Getenv(name); path != "" {
			files = append(files, resolvePath(r.root, path))
		}
	}
	return append(files,
		filepath.Join(home, ".gitconfig"), filepath.Join(xdg, "git", "config"),
		filepath.Join(r.commonDir, "config"), filepath.Join(r.gitDir, "config.worktree"), filepath.Join(r.gitDir, "HEAD"))
}

// systemFiles are the places of a file that holds for the whole machine: git
// looks below the prefix it was built for.
func systemFiles(name string) []string {
	files := []string{"/etc/" + name}
	if binary, err := filepath.EvalSymlinks(command.Look("git")); err == nil {
		files = append(files, filepath.Join(filepath.Dir(filepath.Dir(binary)), "etc", name))
	}
	return files
}

// path is a setting that names a file.
func (s *settings) path(root, value string) string {
	if rest, ok := strings.CutPrefix(value, "~/"); ok {
		return filepath.Join(os.Getenv("HOME"), rest)
	}
	if strings.HasPrefix(value, "~") || strings.HasPrefix(value, "%(") || strings.HasPrefix(value, ":(") {
		s.Odd = true
	}
	if value == "" {
		return os.DevNull
	}
	return resolvePath(root, value)
}

// parseBool reads a boolean as git does; clear is false where it is none.
func parseBool(value string) (on, clear bool) {
	switch strings.ToLower(value) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off", "":
		return false, true
	}
	n, err := strconv.Atoi(value)
	return n != 0, err == nil
}

// disk keeps settings for later processes.
func (r *Repo) disk() cache.Dir {
	if r.Cache == "" {
		return cache.Dir{}
	}
	const most = 256
	return cache.Dir{Path: filepath.Join(r.Cache, "git"), Most: most}
}

// settingsKey is what settings are kept under: the repository, and the variables
// that change what git reads.
func (r *Repo) settingsKey() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "homelab git settings 2\n%q %q\n", r.gitDir, r.env)
	for _, variable := range slices.Sorted(slices.Values(os.Environ())) {
		if name, _, _ := strings.Cut(variable, "="); changesConfig(name) {
			fmt.Fprintf(sum, "%q\n", variable)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

func (r *Repo) keptSettings() *settings {
	raw, ok := r.disk().Get(r.settingsKey())
	s := &settings{}
	if !ok || json.Unmarshal(raw, s) != nil || len(s.Stamps) == 0 {
		return nil
	}
	return s
}

func (r *Repo) keepSettings(s *settings) {
	if raw, err := json.Marshal(s); err == nil {
		r.disk().Put(r.settingsKey(), raw)
	}
}
