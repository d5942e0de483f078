package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"homelab/internal/fault"
	"homelab/registry"
)

// Evaluator evaluates flakes. internal/nix is the real one. However many ask at
// once, it evaluates no more at a time than memory allows.
type Evaluator interface {
	// Available says why flakes cannot be evaluated here; nil when they can.
	Available(ctx context.Context) error
	// EvalJSON evaluates an attribute of a flake to JSON. fault.NotFound when the
	// flake does not have it, fault.EvalFailed when it does not evaluate. Success
	// proves that the flake's inputs are locked: the value depends on the flake's
	// tracked files alone.
	EvalJSON(ctx context.Context, flakeRef, attr string) ([]byte, error)
	// Targets evaluates attributes of a flake to derivations. The map has each of
	// attrs, with a fault where that one fails; what keeps the flake as a whole
	// from evaluating is the error.
	Targets(ctx context.Context, flakeRef string, attrs []string) (map[string]Evaluated, error)
	// Sources lists, for each of some derivations, the sources that it and all
	// that it is built from are made of: store paths that are no derivations.
	// fault.NotFound when a derivation is not in the store any more.
	Sources(ctx context.Context, drvs []string) (map[string][]StoreSource, error)
	// Identity changes when another version of Nix evaluates.
	Identity() string
	// GitRef is the flake reference of a folder of the repository at root, at a
	// commit, or as the work tree is for an empty one.
	GitRef(root, commit, dir string) string
}

// StoreSource is a file or folder that was copied to the store.
type StoreSource struct {
	Path    string // in the store
	NarHash string // of its content: sha256-… in base64 (SRI)
	NarSize int64  // of the archive of its content, in bytes
}

// name is what the store path is called, without its digest.
func (s StoreSource) name() string {
	_, name, _ := strings.Cut(path.Base(s.Path), "-")
	return name
}

// DefaultAttr and DefaultFile are where a registry is looked for.
const (
	DefaultAttr = "homelab"
	DefaultFile = "homelab.json"
)

// Source finds the registry: the one that was named, else the flake's homelab,
// else homelab.json. It reads it as of any revision, and evaluates one state of
// the repository once.
type Source struct {
	// Setting is flake:REF#attr, an absolute path, or empty for the default.
	Setting string
	// Root is the top of the work tree.
	Root string
	Nix  Evaluator
	// CacheDir keeps evaluated registries; empty: nothing is kept.
	CacheDir string

	mu     sync.Mutex
	parsed map[string]*Loaded // by digest of the content, or by evaluation
}

// Loaded is a registry with where it came from.
type Loaded struct {
	Registry *registry.Registry
	Digest   string // of its JSON
	Where    string // for people: "homelab.json", "flake .#homelab"
	File     string // path in the repository, for JSON
	FlakeDir string // folder of the flake in the repository; "" is the root
	Flake    bool
	outside  bool   // not part of the repository
	ref      string // of the flake, when outside
	Warnings []Warning
}

// state is what a registry is read as of.
type state struct {
	snapshot Snapshot
	commit   Commit   // of the tree, or that the work tree is based on
	work     bool     // the work tree
	edits    []Change // what it has on top of commit; only for a flake
	// again looks at the work tree anew; nil for a commit, which does not change.
	again func(context.Context) (state, error)
}

// settled says whether the state still has the key it had before something was
// evaluated: only then is that what the value belongs to. An empty key never is.
func (s state) settled(ctx context.Context, key string, keyOf func(context.Context, state) (string, error)) bool {
	if key == "" || s.again == nil {
		return key != ""
	}
	now, err := s.again(ctx)
	if err != nil {
		return false
	}
	again, err := keyOf(ctx, now)
	return err == nil && again == key
}

// untracked says whether a path is there and git does not track it.
func (s state) untracked(path string) bool {
	return slices.ContainsFunc(s.edits, func(c Change) bool { return c.Path == path && c.Status == Untracked })
}

// Read finds and reads the registry as of one state. Nothing there is
// fault.NotFound and says what was looked for.
func (s *Source) Read(ctx context.Context, at state) (*Loaded, error) {
	if s.Setting != "" {
		where, err := s.locate()
		if err != nil {
			return nil, err
		}
		return s.readAt(ctx, where, at)
	}
	return s.readDefault(ctx, at)
}

func (s *Source) readDefault(ctx context.Context, at state) (*Loaded, error) {
	file := location{path: DefaultFile}
	_, err := at.snapshot.ReadFile(ctx, "flake.nix", registry.MaxSize)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		loaded, err := s.readAt(ctx, file, at)
		if fault.CodeOf(err) == fault.NotFound {
			return nil, fault.Newf(fault.NotFound, registryHint,
				"no registry: looked for the flake's %s (there is no flake.nix) and for %s (not there)", DefaultAttr, DefaultFile)
		}
		return loaded, err
	}
	why, hint := "", registryHint
	flake := location{flake: true, attr: DefaultAttr}
	if missing := s.Nix.Available(ctx); missing != nil {
		why = missing.Error()
		hint += "; or " + fault.Of(missing).Hint
	} else {
		loaded, err := s.readAt(ctx, flake, at)
		if fault.CodeOf(err) != fault.NotFound {
			return loaded, err
		}
		why = "flake.nix does not have it"
		if at.untracked("flake.nix") {
			why = "Nix does not see flake.nix: git does not track it"
			hint = "git add flake.nix"
		}
	}
	loaded, err := s.readAt(ctx, file, at)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.Newf(fault.NotFound, hint,
			"no registry: looked for the flake's %s (%s) and for %s (not there)", DefaultAttr, why, DefaultFile)
	}
	if err != nil {
		return nil, err
	}
	with := *loaded
	with.Warnings = append(with.Warnings, Warning{"registryFallback",
		fmt.Sprintf("%s was read instead of the flake's %s: %s", DefaultFile, DefaultAttr, why),
		"set HOMELAB_REGISTRY=" + DefaultFile + " if that is meant"})
	return &with, nil
}

const registryHint = "export the attrset `homelab` from flake.nix, write homelab.json at the root of the repository, or name a registry with --registry or HOMELAB_REGISTRY; examples/homelab shows one"

func (s *Source) readAt(ctx context.Context, where location, at state) (*Loaded, error) {
	loaded, err := s.load(ctx, where, at)
	if err != nil {
		if fault.CodeOf(err) == fault.InvalidArgument {
			return nil, &invalid{where.String(), err}
		}
		return nil, err
	}
	with := *loaded
	with.Where, with.Flake, with.outside, with.ref = where.String(), where.flake, where.outside, where.ref
	if !where.outside && where.flake {
		with.FlakeDir = where.path
	} else if !where.outside {
		with.File = where.path
		// A file beside a flake belongs to it; any other to the flake at the root.
		if dir := path.Dir(where.path); dir != "." {
			if _, err := at.snapshot.ReadFile(ctx, dir+"/flake.nix", registry.MaxSize); err == nil {
				with.FlakeDir = dir
			}
		}
	}
	return &with, nil
}

// invalid is the error of a registry that is there and cannot be used.
type invalid struct {
	where string
	err   error
}

func (e *invalid) Error() string { return "registry " + e.where + ": " + e.err.Error() }

func (e *invalid) Unwrap() error { return e.err }

func (s *Source) load(ctx context.Context, where location, at state) (*Loaded, error) {
	if where.flake {
		return s.evaluate(ctx, where, at)
	}
	var raw []byte
	var err error
	if where.outside {
		raw, err = readOutside(where.path)
	} else {
		raw, err = at.snapshot.ReadFile(ctx, where.path, registry.MaxSize)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, fault.Newf(fault.NotFound, registryHint, "there is no registry %s", where)
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.Newf(fault.Precondition, "make it readable for the user who runs homelab", "registry %s cannot be read: %w", where, err)
	case errors.Is(err, syscall.ELOOP):
		return nil, fault.New(fault.InvalidArgument, "it is a link that leads back to itself", "put a file there, or a link to one")
	case err != nil:
		return nil, err
	}
	return s.parse(digestOf(raw), raw)
}

// onDisk is the work tree as far as a registry in a plain file needs it.
type onDisk struct {
	Snapshot
	root string
}

func (d onDisk) ReadFile(_ context.Context, path string, _ int64) ([]byte, error) {
	return readOutside(filepath.Join(d.root, path))
}

// plain says that the registry of the work tree is a plain file: reading it
// needs no look at the work tree.
func (s *Source) plain() bool {
	if s.Setting != "" {
		return !strings.HasPrefix(s.Setting, "flake:")
	}
	_, err := os.Lstat(filepath.Join(s.Root, "flake.nix"))
	return errors.Is(err, fs.ErrNotExist)
}

// readPlain reads the registry of a work tree where it is a plain file.
func (s *Source) readPlain(ctx context.Context) (*Loaded, error) {
	return s.Read(ctx, state{snapshot: onDisk{root: s.Root}, work: true})
}

func readOutside(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault.Newf(fault.InvalidArgument, "name a file, such as homelab.json, or flake:.#homelab", "%s is not a file", file)
	}
	if info.Size() > registry.MaxSize {
		return nil, fault.Newf(fault.InvalidArgument, "a registry names services: keep data elsewhere",
			"it has %d bytes, more than the %d homelab reads", info.Size(), registry.MaxSize)
	}
	return os.ReadFile(file)
}

// maxParsed bounds the registries kept in memory: head and a few bases.
const maxParsed = 8

func (s *Source) remembered(key string) *Loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parsed[key]
}

func (s *Source) parse(key string, raw []byte) (*Loaded, error) {
	if loaded := s.remembered(key); loaded != nil {
		return loaded, nil
	}
	parsed, err := registry.Parse(raw)
	if err != nil {
		return nil, err
	}
	loaded := &Loaded{Registry: parsed, Digest: digestOf(raw)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed == nil || len(s.parsed) >= maxParsed {
		s.parsed = map[string]*Loaded{}
	}
	s.parsed[key] = loaded
	return loaded, nil
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
