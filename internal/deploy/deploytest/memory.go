// Package deploytest has an engine in memory, and the suite that it and the real
// one pass.
package deploytest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// Memory is an engine in memory. The zero value is one with a graph driver, on
// Linux and the processor of this machine.
type Memory struct {
	Containerd bool
	// Fail, when it is set, is asked before each call with the call's name, and
	// its error is the answer: nothing was done then. An error that the caller of
	// the engine knows from no engine plays a crash between two calls. The names
	// are platform, image, images, load, tag, untag; container, list, create, env, start,
	// stop, pause, unpause, remove, rename, restart, exec, execstate, writers, dial, logs
	// and network; isolate, fresh and clear, while a copy is made by create.
	Fail func(call string) error
	// Forget loads nothing, and says nothing of it.
	Forget bool
	// Behave says what the containers of an image do, by a name of it; of others
	// the image itself says it, see [Behaviour].
	Behave map[string]Behaviour
	// Files are files of the host, by path: env files are read there. One that is not
	// among them is empty, but below [Nowhere].
	Files map[string]string
	// Taken are ports of the host that somebody else holds.
	Taken map[int]bool
	// Command, when it is set, is what [Memory.Exec] runs.
	Command func(c deploy.Container, command []string) (exit int, output string)

	mu         sync.Mutex
	images     map[string]*deploy.HostImage // by ID
	behaviours map[string]Behaviour         // by ID of the image
	lost       map[string]bool              // diff IDs
	loads      int
	containers map[string]*contained // by ID
	networks   map[string]bool
	volumes    map[string]deploy.Volume
	execs      map[string]deploy.ExecState
}

// Loads is how often an archive was taken, or tried.
func (m *Memory) Loads() int { return m.loads }

// Lose takes the content of a layer away that an image still names.
func (m *Memory) Lose(diffID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost[diffID] = true
}

func (m *Memory) asked(call string) error {
	if m.Fail != nil {
		return m.Fail(call)
	}
	return nil
}

// Platform is part of [deploy.Engine].
func (m *Memory) Platform(ctx context.Context) (deploy.Platform, error) {
	if err := errors.Join(ctx.Err(), m.asked("platform")); err != nil {
		return deploy.Platform{}, err
	}
	return deploy.Platform{OS: "linux", Arch: runtime.GOARCH, Containerd: m.Containerd}, nil
}

// Image is part of [deploy.Engine].
func (m *Memory) Image(ctx context.Context, ref string) (*deploy.HostImage, error) {
	if err := errors.Join(ctx.Err(), m.asked("image")); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(ref); i != nil {
		found := *i
		found.Names = slices.Clone(i.Names)
		return &found, nil
	}
	return nil, nil
}

func (m *Memory) find(ref string) *deploy.HostImage {
	for id, i := range m.images {
		if id == ref || slices.Contains(i.Names, ref) {
			return i
		}
	}
	return nil
}

// Images is part of [deploy.Engine].
func (m *Memory) Images(ctx context.Context) ([]deploy.HostImage, error) {
	if err := errors.Join(ctx.Err(), m.asked("images")); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []deploy.HostImage{}
	for _, i := range m.images {
		all = append(all, *i)
	}
	return all, nil
}

// Tag is part of [deploy.Engine].
func (m *Memory) Tag(ctx context.Context, ref, name string) error {
	if err := errors.Join(ctx.Err(), m.asked("tag")); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(ref)
	if i == nil {
		return refuse("no such image: %s", ref)
	}
	m.name(i, name)
	return nil
}

// Untag is part of [deploy.Engine].
func (m *Memory) Untag(ctx context.Context, name string) (bool, error) {
	if err := errors.Join(ctx.Err(), m.asked("untag")); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(name)
	if i == nil || i.ID == name {
		return false, nil
	}
	for _, c := range m.containers {
		switch {
		case c.ImageID != i.ID:
		case c.Spec.Image == name:
			return false, inUse("image %s is in use: container %s was made from it", name, c.ID)
		case len(i.Names) == 1:
			return false, inUse("image %s is in use: it is the last name of an image that a container uses", name)
		}
	}
	i.Names = slices.DeleteFunc(i.Names, func(n string) bool { return n == name })
	if len(i.Names) == 0 {
		delete(m.images, i.ID)
	}
	return len(i.Names) == 0, nil
}

func inUse(format string, args ...any) error {
	f := fault.Newf(fault.Conflict, "remove the container first", format, args...)
	f.Err = errors.Join(deploy.ErrInUse, deploy.ErrRefused)
	return f
}

func (m *Memory) name(i *deploy.HostImage, name string) {
	for _, other := range m.images {
		other.Names = slices.DeleteFunc(other.Names, func(n string) bool { return n == name })
	}
	i.Names = append(i.Names, name)
}

// Load is part of [deploy.Engine].
func (m *Memory) Load(ctx context.Context, archive io.Reader, _ ...string) error {
	m.loads++
	if err := errors.Join(ctx.Err(), m.asked("load")); err != nil {
		return err
	}
	entries, err := untar(archive)
	if err != nil || m.Forget {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.images == nil {
		m.images, m.lost, m.behaviours = map[string]*deploy.HostImage{}, map[string]bool{}, map[string]Behaviour{}
	}
	if m.Containerd && entries["index.json"] != nil {
		return m.loadOCI(entries)
	}
	return m.loadDocker(entries)
}

func untar(archive io.Reader) (map[string][]byte, error) {
	entries := map[string][]byte{}
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return entries, nil
		case err != nil:
			return nil, err
		}
		if entries[header.Name], err = io.ReadAll(reader); err != nil {
			return nil, err
		}
		if header.Typeflag == tar.TypeDir {
			delete(entries, header.Name)
		}
	}
}

// refuse is what an engine says of an archive that it cannot use.
func refuse(format string, args ...any) error {
	f := fault.Newf(fault.Precondition, "see the log of the engine", format, args...)
	f.Err = deploy.ErrRefused
	return f
}

func (m *Memory) loadDocker(entries map[string][]byte) error {
	var manifest []packed
	if err := json.Unmarshal(entries["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		return refuse("not an archive with one image: %v", err)
	}
	raw := entries[manifest[0].Config]
	var c config
	if err := json.Unmarshal(raw, &c); err != nil || len(c.RootFS.DiffIDs) != len(manifest[0].Layers) {
		return refuse("a config that cannot be used: %v", err)
	}
	for at, path := range manifest[0].Layers {
		content, sent := entries[path]
		switch {
		case sent && sum(content) != c.RootFS.DiffIDs[at]:
			return refuse("wrong diff ID of layer %d", at)
		case !sent && (m.Containerd || !m.knows(c.RootFS.DiffIDs[:at+1])):
			return refuse("open %s: no such file or directory", path)
		}
	}
	m.keep(sum(raw), c, manifest[0].RepoTags, int64(len(raw)))
	return nil
}

// knows says whether some image begins with these layers, and has them.
func (m *Memory) knows(chain []string) bool {
	if slices.ContainsFunc(chain, func(id string) bool { return m.lost[id] }) {
		return false
	}
	for _, i := range m.images {
		if len(i.DiffIDs) >= len(chain) && slices.Equal(i.DiffIDs[:len(chain)], chain) {
			return true
		}
	}
	return false
}

func (m *Memory) loadOCI(entries map[string][]byte) error {
	type descriptor struct {
		Digest      string
		Annotations map[string]string
	}
	blob := func(digest string) []byte { return entries["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")] }
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(entries["index.json"], &index); err != nil || len(index.Manifests) == 0 {
		return refuse("an index that cannot be used: %v", err)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	digest := index.Manifests[0].Digest
	if err := json.Unmarshal(blob(digest), &manifest); err != nil {
		return refuse("a manifest that cannot be used: %v", err)
	}
	var c config
	if err := json.Unmarshal(blob(manifest.Config.Digest), &c); err != nil {
		return refuse("a config that cannot be used: %v", err)
	}
	for at, layer := range manifest.Layers {
		content := blob(layer.Digest)
		switch {
		case content != nil && sum(content) != layer.Digest:
			return refuse("wrong digest of %s", layer.Digest)
		case content == nil && !m.knows(c.RootFS.DiffIDs[:at+1]):
			return refuse("content digest %s: not found", layer.Digest)
		}
	}
	names := []string{}
	for _, d := range index.Manifests {
		names = append(names, d.Annotations["io.containerd.image.name"])
	}
	m.keep(digest, c, names, int64(len(blob(digest))))
	return nil
}

// keep has an image under names. Of its size only that something has one counts.
func (m *Memory) keep(id string, c config, names []string, size int64) {
	i := m.images[id]
	if i == nil {
		i = &deploy.HostImage{ID: id, DiffIDs: c.RootFS.DiffIDs, OS: c.OS, Arch: c.Architecture, Names: []string{}, Size: size}
		m.images[id], m.behaviours[id] = i, behaviour(c.Config.Labels)
	}
	for _, diffID := range c.RootFS.DiffIDs {
		delete(m.lost, diffID)
	}
	for _, name := range names {
		// As engines show a name of Docker's own registry.
		m.name(i, strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/"))
	}
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(digest[:])
}
