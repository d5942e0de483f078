package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"

	"homelab/internal/fault"
	"homelab/internal/sidecar"
	"homelab/registry"
)

// here is what an engine has on this machine, for certain.
type here struct {
	volumes string // the folder of its volumes; empty: none is known to be here
	device  uint64 // that it is on
	paths   bool   // paths of its host are those of this process
}

// near is where this process reads an item; empty: it does not. What is not certain
// is not near: a volume of that name may be here, too, and be another engine's.
func (s *site) near(ctx context.Context, item registry.StateItem) (string, error) {
	if s.far {
		return "", nil
	}
	at, err := s.whatIsHere(ctx)
	switch {
	case err != nil || at.volumes == "":
		return "", err
	case item.Path != "" && at.paths:
		real, err := filepath.EvalSymlinks(item.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", pathGone(item.Path)
		}
		if err != nil {
			return "", nil // the engine may tell why
		}
		return real, nil
	case item.Path != "":
		return "", nil
	}
	v, err := s.volume(ctx, item.Volume)
	if err != nil {
		return "", err
	}
	// One with options is mounted by the engine, and only while it is used.
	place := filepath.Join(at.volumes, v.Name, "_data")
	if v.Driver != "local" || len(v.Options) > 0 || v.Mountpoint != place || deviceOf(place) != at.device {
		return "", nil
	}
	return place, nil
}

func (s *site) volume(ctx context.Context, name string) (volume.Volume, error) {
	v, err := s.engine.api.VolumeInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return v, fault.Newf(fault.NotFound, "look what is there: docker volume ls; or correct state.items in the registry",
			"the Docker engine at %s has no volume %s", s.engine.host.Endpoint(), name)
	}
	return v, s.engine.explain(ctx, "docker volume inspect", err)
}

func pathGone(path string) error {
	return fault.Newf(fault.NotFound, "correct state.items in the registry", "there is no %s on the host", path)
}

// whatIsHere finds out once.
func (s *site) whatIsHere(ctx context.Context) (here, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked {
		return s.here, nil
	}
	found, err := s.engine.whatIsHere(ctx)
	s.asked, s.here = err == nil, found
	return found, err
}

// whatIsHere has the engine make a volume, whose name nobody can have guessed, and
// looks for it on this machine. The socket is no proof: ssh and containers pass on
// sockets of engines that are elsewhere. An engine that gives its containers other
// users than those of the machine would be read with the wrong owners.
//
// Paths are another matter: a process in a container may see the folder of the
// volumes, and has paths of its own. They are those of the engine's host when whoever
// listens at the socket has the same file systems mounted as this process.
func (e *Engine) whatIsHere(ctx context.Context) (found here, err error) {
	if !e.host.Local() || !readsAll() {
		return here{}, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return here{}, e.explain(ctx, "docker info", err)
	}
	if !isNear(info) || mapsUsers(info) {
		return here{}, nil
	}
	name := "homelab-witness-" + rand.Text()
	witness, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: map[string]string{labelSidecar: "witness"}})
	if err != nil {
		return here{}, e.explain(ctx, "docker volume create", err)
	}
	defer func() { err = errors.Join(err, e.forget(ctx, name)) }()
	folder := filepath.Dir(filepath.Dir(witness.Mountpoint))
	if witness.Mountpoint != filepath.Join(folder, name, "_data") {
		return here{}, nil
	}
	device := deviceOf(witness.Mountpoint)
	if device == 0 {
		return here{}, nil
	}
	return here{volumes: folder, device: device, paths: sharesMounts(ctx, strings.TrimPrefix(e.host.Endpoint().URL, "unix://"))}, nil
}

// mapsUsers says whether user 0 of a container is another one of the host.
func mapsUsers(info system.Info) bool {
	return slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=userns") })
}

// forget removes a volume that was made just now, also when ctx is over.
func (e *Engine) forget(ctx context.Context, volume string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return e.explain(ctx, "docker volume rm", e.api.VolumeRemove(ctx, volume, false))
}

// serve does in this process what a sidecar would.
func serve(ctx context.Context, path string, order sidecar.Order) io.ReadWriteCloser {
	mine, theirs := net.Pipe()
	s := &served{Conn: mine, wrote: order.Write, over: make(chan struct{})}
	go func() {
		defer close(s.over)
		s.failed = order.Serve(ctx, theirs, path)
	}()
	return s
}

// served is a stream to a goroutine that serves.
type served struct {
	net.Conn
	wrote  bool
	over   chan struct{}
	failed error // once it is over
}

// Read tells why there is no more.
func (s *served) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err == io.EOF {
		if <-s.over; s.failed != nil {
			return n, s.failed
		}
	}
	return n, err
}

// Close waits until nothing is done any more. What was written has to be on the disk.
func (s *served) Close() error {
	err := s.Conn.Close()
	if <-s.over; s.wrote {
		err = errors.Join(err, s.failed)
	}
	return err
}
