// Package docker is a [deploy.Containers] on Docker's API. It is the only importer of
// the API client, whose last release is 28.5.2: decision 0015 says when the
// successor takes its place.
package docker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"homelab/internal/deploy"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
)

// Engine is an engine that is reached by [dockerhost]. It may be used from several
// goroutines.
type Engine struct {
	host *dockerhost.Engine
	api  *client.Client
	last *recorder
	// isNear is what was found out by near; nil: not asked yet.
	isNear atomic.Pointer[bool]
}

// New makes an engine of a way to it, which stays the caller's to close. It does
// not connect.
func New(host *dockerhost.Engine) (*Engine, error) {
	base, way := host.HTTP()
	scheme, address, _ := strings.Cut(base, "://")
	last := &recorder{way: way.Transport}
	// The host comes first: it configures the transport that ours replaces.
	api, err := client.NewClientWithOpts(
		client.WithHost("tcp://"+address),
		client.WithHTTPClient(&http.Client{Transport: last, CheckRedirect: client.CheckRedirect}),
		client.WithScheme(scheme),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return nil, fault.Newf(fault.InvalidArgument, "see hosts in the registry", "Docker engine %s: %w", host.Endpoint(), err)
	}
	return &Engine{host: host, api: api, last: last}, nil
}

// recorder remembers why the last request had no answer: of some causes the API
// client keeps only "cannot connect".
type recorder struct {
	way     http.RoundTripper
	failure atomic.Pointer[error]
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.way.RoundTrip(request)
	if err != nil {
		r.failure.Store(&err)
	}
	return response, err
}

// explain turns an error of the API client into a fault. What is refused by an
// engine that answers keeps the engine's words.
func (e *Engine) explain(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case client.IsErrConnectionFailed(err):
		if cause := e.last.failure.Load(); cause != nil {
			err = *cause
		}
		return e.host.Explain(ctx, err)
	case ctx.Err() != nil || !answered(err):
		return e.host.Explain(ctx, err)
	}
	return e.refusal(doing, err)
}

// answered says whether an error is an answer of the engine.
func answered(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || errdefs.IsConflict(err) || errdefs.IsInternal(err) ||
		errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) || errdefs.IsNotImplemented(err) || errdefs.IsUnavailable(err) || errdefs.IsUnknown(err)
}

// refusal is what an engine says that does not do what it is asked for.
func (e *Engine) refusal(doing string, err error) error {
	said := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	f := &fault.Error{
		Op: doing, Code: fault.Precondition, Message: "the Docker engine at " + e.host.Endpoint().String() + " says: " + said,
		Hint: "see the log of the engine", Err: errors.Join(deploy.ErrRefused, err),
	}
	switch {
	case strings.Contains(said, "no space left on device"):
		f.Hint, f.Err = "make room on the disk of that host, for example with docker image prune", errors.Join(deploy.ErrNoSpace, f.Err)
	case errdefs.IsNotFound(err):
		f.Code, f.Hint = fault.NotFound, "look what is there: docker image ls"
	case errdefs.IsConflict(err):
		f.Code, f.Hint = fault.Conflict, "look what is there: docker ps --all"
	}
	return f
}

// Platform is part of [deploy.Engine].
func (e *Engine) Platform(ctx context.Context) (deploy.Platform, error) {
	server, err := e.host.Server(ctx)
	if err != nil {
		return deploy.Platform{}, err
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return deploy.Platform{}, e.explain(ctx, "docker info", err)
	}
	e.isNear.Store(new(isNear(info)))
	p := deploy.Platform{ID: info.ID, OS: server.OS, Arch: server.Arch}
	for _, line := range info.DriverStatus {
		p.Containerd = p.Containerd || line[0] == "driver-type" && strings.HasPrefix(line[1], "io.containerd.snapshotter")
	}
	return p, nil
}

// Image is part of [deploy.Engine].
func (e *Engine) Image(ctx context.Context, ref string) (*deploy.HostImage, error) {
	i, err := e.api.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, e.explain(ctx, "docker image inspect", err)
	}
	return &deploy.HostImage{ID: i.ID, Names: named(i.RepoTags), DiffIDs: append([]string{}, i.RootFS.Layers...), OS: i.Os, Arch: i.Architecture, Size: i.Size}, nil
}

// named leaves out the names of what has none.
func named(names []string) []string {
	out := []string{}
	for _, name := range names {
		if !strings.Contains(name, "<none>") {
			out = append(out, name)
		}
	}
	return out
}

// Images is part of [deploy.Engine]. The list does not tell layers, so each image
// is asked about.
func (e *Engine) Images(ctx context.Context) ([]deploy.HostImage, error) {
	list, err := e.api.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, e.explain(ctx, "docker image ls", err)
	}
	return each(ctx, list, func(ctx context.Context, i image.Summary) (*deploy.HostImage, error) { return e.Image(ctx, i.ID) })
}

// each asks about each of a list, and leaves out what is not there any more.
func each[L, T any](ctx context.Context, list []L, ask func(context.Context, L) (*T, error)) ([]T, error) {
	const atOnce = 8
	found := make([]*T, len(list))
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for at, one := range list {
		group.Go(func() (err error) {
			found[at], err = ask(inGroup, one)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := []T{}
	for _, one := range found {
		if one != nil {
			all = append(all, *one)
		}
	}
	return all, nil
}

// Tag is part of [deploy.Engine].
func (e *Engine) Tag(ctx context.Context, ref, name string) error {
	return e.explain(ctx, "docker tag", e.api.ImageTag(ctx, ref, name))
}
