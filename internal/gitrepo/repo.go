// Package gitrepo reads a git repository: what is tracked, what changed
// between two trees, and what is different in the work tree. It is the
// [plan.Repo] of the program and the only importer of go-git.
//
// Commits and trees are read in process through go-git's object storer, and
// the index by our own reader, as far as they are of a kind that both
// understand; whether the content of a doubtful file differs is always decided
// by the git command, which alone knows filters, attributes and ignore rules.
// Where the repository cannot be read in process (sha256, reftable, split or
// sparse index, alternates, partial clones…) the git command does everything.
// Nothing here takes a lock or writes, but for what git itself fetches into a
// partial clone.
package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	gitconfig "github.com/go-git/go-git/v5/plumbing/format/config"

	"homelab/internal/fault"
)

// Repo is an open repository. It is safe for concurrent use and keeps what it
// has read of immutable objects, so that a resident program asks cheaply.
type Repo struct {
	// Resident means that the program asks again and again: what is unchanged
	// since the last time is not looked at. Set it before use.
	Resident bool
	// Cache is a folder for what is slow to find out and can be checked; set it
	// before use. Empty: nothing is kept.
	Cache string

	root      string   // top of the work tree, absolute, symbolic links resolved
	gitDir    string   // of this work tree
	commonDir string   // shared by all work trees
	indexFile string   // absolute
	env       []string // for the git command: which repository, when the environment says so

	config  *gitconfig.Config // only while opening: even reading it writes
	sha256  bool              // object ids are
	stamp   fileStamp         // of the config file
	start   string            // where it was looked for; empty: the environment named it
	inodes  [3]uint64         // of its folders
	foreign string            // why this repository cannot be read in process; empty: it can

	objects *objects

	mu    sync.Mutex
	index *index // the last one read; replaced when its file changes
	pairs map[[2]string]mergeBases

	watching sync.Mutex // held while watch is used
	watch    *watch
	closed   bool
	distrust bool // look at every file each time, however soon

	settings *settings
	rules    map[string]*ruleFile // ignore files, by path
}

// repoVariables are the variables by which git can be pointed at a repository,
// or at a part of one. See git(1), "The Git Repository".
var repoVariables = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_NAMESPACE",
	"GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
}

// Open finds the repository that dir belongs to. An empty dir is the current
// folder, and only then do GIT_DIR and its like count: a folder that was named
// wins over the environment.
func Open(ctx context.Context, dir string) (*Repo, error) {
	byEnvironment := false
	if dir == "" {
		for _, name := range repoVariables {
			byEnvironment = byEnvironment || os.Getenv(name) != ""
		}
		dir = "."
	}
	start, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if start, err = filepath.EvalSymlinks(start); err != nil {
		return nil, fault.Newf(fault.Precondition, "name a folder inside a git repository with --repo or HOMELAB_REPO", "cannot open the repository: %w", err)
	}
	r := &Repo{pairs: map[[2]string]mergeBases{}}
	if byEnvironment {
		err = r.discoverByGit(ctx, start, true)
		r.foreign = "the environment points git at a repository"
	} else {
		r.start = start
		err = r.discover(ctx, start)
	}
	if err != nil {
		return nil, err
	}
	r.inodes = r.places()
	if r.foreign == "" {
		r.foreign = r.unsupported()
	}
	if r.foreign == "" {
		r.objects = openObjects(r.commonDir)
	}
	return r, nil
}

// Root is the top of the work tree, absolute.
func (r *Repo) Root() string { return r.root }

// Foreign says why the repository cannot be read in process; empty when it can.
func (r *Repo) Foreign() string { return r.foreign }

// Shallow says whether history is cut.
func (r *Repo) Shallow() bool {
	_, err := os.Stat(filepath.Join(r.commonDir, "shallow"))
	return err == nil
}

// discover walks up from start as git does.
func (r *Repo) discover(ctx context.Context, start string) error {
	for at := start; ; at = filepath.Dir(at) {
		dotGit := filepath.Join(at, ".git")
		info, err := os.Stat(dotGit)
		switch {
		case err == nil && info.IsDir() && isGitDir(dotGit):
			r.root, r.gitDir = at, dotGit
		case err == nil && info.Mode().IsRegular():
			if r.gitDir = gitFile(dotGit); r.gitDir == "" {
				return r.discoverByGit(ctx, start, false)
			}
			r.root = at
		case isGitDir(at):
			// A bare repository, or the inside of a .git folder: git explains.
			return r.discoverByGit(ctx, start, false)
		}
		if r.root != "" {
			break
		}
		if at == filepath.Dir(at) {
			return notARepository(start)
		}
	}
	r.commonDir = r.gitDir
	if link, err := os.ReadFile(filepath.Join(r.gitDir, "commondir")); err == nil {
		r.commonDir = resolvePath(r.gitDir, strings.TrimRight(string(link), "\r\n"))
	}
	r.indexFile = filepath.Join(r.gitDir, "index")
	if err := r.readConfig(); err != nil {
		return r.discoverByGit(ctx, start, false)
	}
	core := r.config.Section("core")
	if core.Option("worktree") != "" {
		// Submodules set it to where we came from; anything else git knows best.
		tree, err := filepath.EvalSymlinks(resolvePath(r.gitDir, core.Option("worktree")))
		if err != nil || tree != r.root {
			return r.discoverByGit(ctx, start, false)
		}
	}
	return nil
}

// discoverByGit asks the git command where everything is.
func (r *Repo) discoverByGit(ctx context.Context, start string, inherit bool) error {
	r.root = start
	out, err := r.gitWith(ctx, inherit, "rev-parse",
		"--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--git-path", "index")
	if err != nil {
		if strings.Contains(err.Error(), "must be run in a work tree") {
			return r.noWorkTree(ctx, inherit)
		}
		return err
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 4 {
		return fault.Newf(fault.Internal, "", "git rev-parse answered %q", out)
	}
	// The last two may be relative to where git was asked.
	r.root, r.gitDir, r.commonDir, r.indexFile = lines[0], lines[1], resolvePath(start, lines[2]), resolvePath(start, lines[3])
	if inherit {
		r.env = []string{"GIT_DIR=" + r.gitDir, "GIT_WORK_TREE=" + r.root}
		for _, name := range []string{"GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"} {
			if value := os.Getenv(name); value != "" {
				r.env = append(r.env, name+"="+value)
			}
		}
	}
	return r.readConfig()
}

// noWorkTree is the error for a folder that belongs to a repository and not to
// its work tree, if it has one.
func (r *Repo) noWorkTree(ctx context.Context, inherit bool) error {
	out, err := r.gitWith(ctx, inherit, "rev-parse", "--is-bare-repository", "--absolute-git-dir")
	if err != nil {
		return err
	}
	bare, gitDir, _ := strings.Cut(strings.TrimRight(string(out), "\n"), "\n")
	if bare == "true" {
		return fault.Newf(fault.Precondition, "clone it, and point --repo at the clone", "%s is a bare repository: it has no work tree", r.root)
	}
	hint := "point --repo at its work tree"
	if dotGit, err := os.ReadFile(filepath.Join(gitDir, "gitdir")); err == nil { // of a linked work tree
		gitDir = resolvePath(gitDir, strings.TrimRight(string(dotGit), "\r\n"))
	}
	if filepath.Base(gitDir) == ".git" {
		hint = "name the work tree: --repo " + filepath.Dir(gitDir)
	}
	return fault.Newf(fault.Precondition, hint, "%s is the inside of a repository, not its work tree", r.root)
}

// Moved says that the repository was reconfigured, or that another one is found
// by now where this one was: it must be opened anew.
func (r *Repo) Moved(ctx context.Context) bool {
	if r.configStamp() != r.stamp || r.places() != r.inodes {
		return true
	}
	if r.start == "" {
		return false // the environment names it
	}
	now := &Repo{}
	err := now.discover(ctx, r.start)
	return err != nil || now.root != r.root || now.gitDir != r.gitDir || now.commonDir != r.commonDir
}

// places are the inodes of the folders that make up the repository.
func (r *Repo) places() [3]uint64 {
	return [3]uint64{stampFile(r.root).Inode, stampFile(r.gitDir).Inode, stampFile(r.commonDir).Inode}
}

func (r *Repo) configStamp() fileStamp { return stampFile(filepath.Join(r.commonDir, "config")) }

func (r *Repo) readConfig() error {
	raw, err := os.ReadFile(filepath.Join(r.commonDir, "config"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r.stamp = r.configStamp()
	r.config = gitconfig.New()
	if err := gitconfig.NewDecoder(bytes.NewReader(raw)).Decode(r.config); err != nil {
		return err
	}
	r.sha256 = strings.EqualFold(r.config.Section("extensions").Option("objectformat"), "sha256")
	return nil
}

// unsupported says why go-git or our index reader would get this repository
// wrong. The list errs on the side of the git command.
func (r *Repo) unsupported() string {
	core := r.config.Section("core")
	switch core.Option("repositoryformatversion") {
	case "", "0":
		// Extensions do not count in version 0, but for partial clones.
	case "1":
		for _, option := range r.config.Section("extensions").Options {
			if key := strings.ToLower(option.Key); key != "noop" && key != "preciousobjects" {
				return "it uses the extension " + option.Key
			}
		}
	default:
		return "its format version is " + core.Option("repositoryformatversion")
	}
	if r.config.Section("extensions").Option("partialclone") != "" {
		return "it is a partial clone"
	}
	for _, file := range []string{"objects/info/alternates", "objects/info/http-alternates"} {
		if info, err := os.Stat(filepath.Join(r.commonDir, file)); err == nil && info.Size() > 0 {
			return "it borrows objects (" + file + ")"
		}
	}
	return ""
}

func isGitDir(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, "commondir")); err == nil {
		return true
	}
	for _, name := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// gitFile reads a .git file ("gitdir: PATH"), as linked work trees and
// submodules have; "" when it is not one.
func gitFile(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	target, ok := strings.CutPrefix(string(raw), "gitdir: ")
	if !ok {
		return ""
	}
	dir := resolvePath(filepath.Dir(path), strings.TrimRight(target, "\r\n"))
	if !isGitDir(dir) {
		return ""
	}
	return dir
}

func resolvePath(from, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(from, path)
}

func notARepository(dir string) error {
	return fault.Newf(fault.Precondition,
		"run it inside the git repository of your homelab, or name one with --repo DIR or HOMELAB_REPO (git init makes one)",
		"%s is not in a git repository", dir)
}
