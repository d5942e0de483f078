package plan

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxLock bounds flake.lock in bytes; the largest seen have a few hundred KB.
const maxLock = 16 << 20

// lockFile is a flake.lock. See "Lock files" in nix3-flake(1).
type lockFile struct {
	Nodes map[string]lockNode `json:"nodes"`
	Root  string              `json:"root"`
}

type lockNode struct {
	// An input is the name of a node, or a path of inputs from the root that it
	// follows.
	Inputs map[string]json.RawMessage `json:"inputs"`
	Locked json.RawMessage            `json:"locked"`
	Flake  json.RawMessage            `json:"flake"`
}

// locks has the digest of everything that each root input stands for; nil when
// there is no readable lock file.
type locks struct {
	file    *lockFile
	digests map[string]string // by node
	leads   map[edge]string   // where inputs lead; "" while that is looked for, and for nowhere
}

// edge is an input of a node.
type edge struct{ node, input string }

func parseLock(raw []byte) (*locks, error) {
	l := &locks{file: &lockFile{}, digests: map[string]string{}, leads: map[edge]string{}}
	if err := json.Unmarshal(raw, l.file); err != nil {
		return nil, err
	}
	if _, ok := l.file.Nodes[l.file.Root]; !ok {
		return nil, errors.New("it has no root")
	}
	return l, nil
}

// roots are the names of the flake's own inputs, sorted.
func (l *locks) roots() []string {
	if l == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(l.file.Nodes[l.file.Root].Inputs))
}

// input is the digest of an input of the flake, or of an input's input
// (home-manager/nixpkgs); false when there is none of that name.
func (l *locks) input(name string) (string, bool) {
	if l == nil {
		return "", false
	}
	node := l.follow(strings.Split(name, "/"))
	if node == "" {
		return "", false
	}
	return l.digest(node), true
}

// follow walks a path of input names from the root to a node; "" when it leads
// nowhere.
func (l *locks) follow(names []string) string {
	at := l.file.Root
	for _, name := range names {
		if at = l.lead(edge{at, name}); at == "" {
			return ""
		}
	}
	return at
}

// lead is the node an input stands for: named, or found by following a path from
// the root, whose own inputs may be paths again. Each is looked for once.
func (l *locks) lead(e edge) string {
	if known, ok := l.leads[e]; ok {
		return known
	}
	l.leads[e] = "" // a path that comes back here leads nowhere
	ref, ok := l.file.Nodes[e.node].Inputs[e.input]
	if !ok {
		return ""
	}
	var node string
	var path []string
	if json.Unmarshal(ref, &node) != nil && json.Unmarshal(ref, &path) == nil {
		node = l.follow(path)
	}
	if _, ok := l.file.Nodes[node]; !ok {
		return ""
	}
	l.leads[e] = node
	return node
}

// digest covers a node and every node it leads to.
func (l *locks) digest(node string) string {
	if known, ok := l.digests[node]; ok {
		return known
	}
	l.digests[node] = "cycle" // stands while its inputs are visited; no valid lock has one
	n := l.file.Nodes[node]
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n", canonicalJSON(n.Locked), canonicalJSON(n.Flake))
	for _, name := range slices.Sorted(maps.Keys(n.Inputs)) {
		digest := "dangling"
		if child := l.lead(edge{node, name}); child != "" {
			digest = l.digest(child)
		}
		fmt.Fprintf(sum, "%q %s\n", name, digest)
	}
	l.digests[node] = fmt.Sprintf("%x", sum.Sum(nil))
	return l.digests[node]
}

// canonicalJSON is the same for values that differ in spacing or key order.
func canonicalJSON(raw json.RawMessage) []byte {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return raw
	}
	out, err := json.Marshal(value)
	if err != nil {
		return raw
	}
	return out
}

// inputMoves is what a changed flake.lock means.
type inputMoves struct {
	changed  bool // flake.lock is among the changes
	status   Status
	old, new *locks // nil: not there, or not to be told, and so every input may have moved
}

// lockPath is the flake.lock that the services' inputs are names of.
func (l *Loaded) lockPath() string { return path.Join(l.FlakeDir, "flake.lock") }

func (v *view) inputMoves(ctx context.Context, c *comparison) (inputMoves, error) {
	m := inputMoves{}
	lock := v.loaded.lockPath()
	for _, change := range c.changes {
		if change.Path == lock {
			m.changed, m.status = true, change.Status
		}
	}
	if !m.changed || c.missing {
		return m, nil
	}
	var err error
	if m.new, err = v.readLock(ctx, v.snapshot, lock); err != nil {
		return m, err
	}
	if len(c.commits) != 1 {
		return m, nil // several old sides
	}
	base, err := v.planner.Repo.Tree(ctx, c.commits[0])
	if err != nil {
		return m, err
	}
	m.old, err = v.readLock(ctx, base, lock)
	return m, err
}

func (v *view) readLock(ctx context.Context, snapshot Snapshot, lock string) (*locks, error) {
	raw, err := snapshot.ReadFile(ctx, lock, maxLock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var parsed *locks
	if err == nil {
		parsed, err = parseLock(raw)
	}
	if err != nil {
		v.warnings = append(v.warnings, Warning{"lockUnreadable",
			fmt.Sprintf("%s cannot be read, so every input counts as moved: %s", lock, err), "nix flake lock writes it anew"})
	}
	return parsed, nil
}

// moved says whether an input, or one of its own, is locked to something else.
func (m inputMoves) moved(name string) bool {
	was, had := m.old.input(name)
	is, has := m.new.input(name)
	return had != has || was != is || !had && !has
}

// list names the root inputs that moved.
func (m inputMoves) list() []InputChange {
	out := []InputChange{}
	if !m.changed {
		return out
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(m.old.roots(), m.new.roots())))) {
		_, had := m.old.input(name)
		_, has := m.new.input(name)
		switch {
		case !m.moved(name):
		case !had:
			out = append(out, InputChange{name, Added})
		case !has:
			out = append(out, InputChange{name, Deleted})
		default:
			out = append(out, InputChange{name, Modified})
		}
	}
	return out
}
