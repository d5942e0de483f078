package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"homelab/internal/fault"
	"homelab/internal/image"
	"homelab/registry"
)

// Artifact is an image that was built for a service.
type Artifact struct {
	Service string
	Out     string       // its store path
	Image   *image.Image // what was read from it, with its layers
	Name    string       // REPOSITORY:TAG that the image gets, beside the pin
	// Open gives its bytes: those of the file, or what its script writes.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Loaded says what it took to have an image on a host.
type Loaded struct {
	ID      string   `json:"id" jsonschema_description:"ID of the image on the host: the digest of its config, or of its manifest where the engine keeps images in containerd's store."`
	Names   []string `json:"names" jsonschema_description:"Names of the image on the host: its own, and one with the hash of its store path, which keeps it when the first moves on."`
	Skipped bool     `json:"skipped" jsonschema_description:"True when the host had it: nothing was sent."`
	Sent    int64    `json:"bytesSent" jsonschema_description:"Bytes sent."`
	Layers  int      `json:"layers" jsonschema_description:"Layers of the image."`
	Reused  int      `json:"reused" jsonschema_description:"Layers that the host had, and that were not sent."`
	Whole   bool     `json:"whole" jsonschema_description:"True when the engine refused an archive without the layers it has, so that all were sent after all."`
	Seconds float64  `json:"seconds" jsonschema_description:"How long it took."`
}

// Pin is the name that an image keeps on a host for as long as it is wanted: that
// of its repository, with the hash of its store path for a tag. The name that a
// build gives may move to the next build, and what has no name is garbage.
func (a Artifact) Pin() string {
	base := a.Out[strings.LastIndexByte(a.Out, '/')+1:]
	hash, _, _ := strings.Cut(base, "-")
	return Repository(a.Name) + ":nix-" + hash
}

// Repository is REPOSITORY of REPOSITORY:TAG; a colon before a slash belongs to a port.
func Repository(image string) string {
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		return image[:at]
	}
	return image
}

// OwnRepository is that of the images of a service when nothing else names one.
func OwnRepository(service string) string { return "homelab/" + service }

// Load has an image on a host: it sends what is not there, and checks what came
// of it. Report gets bytes sent and to send; it may be nil.
//
// The error is a fault: [fault.Precondition] for an image that the host cannot
// run, a full disk, or an archive that the engine does not take; [fault.Conflict]
// for an artifact that changed since it was read; else what the engine or
// [image.Transfer] says.
func Load(ctx context.Context, e Engine, host string, a Artifact, report func(sent, total int64)) (*Loaded, error) {
	begun := time.Now()
	platform, err := e.Platform(ctx)
	if err != nil {
		return nil, err
	}
	if err := fits(a, host, platform); err != nil {
		return nil, err
	}
	l := &loading{Engine: e, host: host, artifact: a, platform: platform, report: report, result: &Loaded{
		Names: []string{a.Name, a.Pin()}, Layers: len(a.Image.Layers),
	}}
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	l.result.Seconds = float64(time.Since(begun).Round(time.Millisecond)) / float64(time.Second)
	return l.result, nil
}

// fits says whether the host can run the image. An image that does not say what
// it is for is taken at its word.
func fits(a Artifact, host string, p Platform) error {
	i := a.Image
	if i.OS != "" && i.OS != p.OS || i.Architecture != "" && i.Architecture != p.Arch {
		return fault.Newf(fault.Precondition,
			fmt.Sprintf("build it for %s: set hosts.%s.system in the registry, or check build.targets of %s", registry.SystemOf(p.OS, p.Arch), host, a.Service),
			"the image of %s is for %s/%s, and host %s runs %s/%s: it would end with \"exec format error\"", a.Service, i.OS, i.Architecture, host, p.OS, p.Arch)
	}
	return nil
}

// loading is one load under way.
type loading struct {
	Engine
	host     string
	artifact Artifact
	platform Platform
	report   func(sent, total int64)
	result   *Loaded
}

func (l *loading) load(ctx context.Context) error {
	there, err := l.find(ctx)
	if err != nil {
		return err
	}
	if there != nil {
		l.result.Skipped, l.result.Reused = true, l.result.Layers
		return l.name(ctx, there)
	}
	reused, err := l.reusable(ctx)
	if err != nil {
		return err
	}
	err = l.send(ctx, reused, false)
	if err == nil {
		there, err = l.verified(ctx)
	}
	if err != nil && worthAnother(ctx, err) {
		// It may have lost a layer since. Or one is not what its digest says: engines do
		// not say so plainly, so this time they are hashed on their way.
		l.result.Whole, reused = reused > 0, 0
		if err = l.send(ctx, 0, true); err == nil {
			there, err = l.verified(ctx)
		}
	}
	if err != nil {
		return err
	}
	l.result.Reused = reused
	return l.name(ctx, there)
}

// worthAnother says whether sending everything could help.
func worthAnother(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.Is(err, ErrRefused) && !errors.Is(err, ErrNoSpace)
}

var (
	// ErrRefused is in the errors of an engine that answers, and does not do what it
	// was asked for.
	ErrRefused = errors.New("the engine refuses")
	// ErrNoSpace is there besides when its disk is full.
	ErrNoSpace = errors.New("the disk of the engine is full")
	// ErrInUse is there besides when a container needs what was to go.
	ErrInUse = errors.New("a container uses it")
)

// errArtifact is in the errors that are those of the artifact.
var errArtifact = errors.New("the artifact cannot be sent")

// find finds the very image on the host: by its pin, or with a graph driver by
// its ID, which is then the digest of its config. Equal layers alone do not make
// equal images.
func (l *loading) find(ctx context.Context) (*HostImage, error) {
	refs := []string{l.artifact.Pin()}
	if !l.platform.Containerd && l.artifact.Image.Digest != "" {
		refs = append(refs, l.artifact.Image.Digest)
	}
	for _, ref := range refs {
		there, err := l.Image(ctx, ref)
		if err != nil || there != nil && l.same(there) {
			return there, err
		}
	}
	return nil, nil
}

// same says whether an image on the host is the artifact: it has its layers, and with
// a graph driver its config.
func (l *loading) same(there *HostImage) bool {
	if digest := l.artifact.Image.Digest; !l.platform.Containerd && digest != "" && there.ID != digest {
		return false
	}
	return slices.EqualFunc(there.DiffIDs, l.artifact.Image.Layers, func(id string, layer image.Layer) bool { return id == layer.DiffID })
}

// reusable is how many layers need not be sent, from the bottom: an engine knows a
// layer that it has unpacked by all that is below it.
func (l *loading) reusable(ctx context.Context) (int, error) {
	images, err := l.Images(ctx)
	if err != nil {
		return 0, err
	}
	layers, common := l.artifact.Image.Layers, 0
	for _, i := range images {
		n := 0
		for n < len(layers) && n < len(i.DiffIDs) && i.DiffIDs[n] == layers[n].DiffID {
			n++
		}
		common = max(common, n)
	}
	return common, nil
}

// send streams the image into the engine, without so many of its lowest layers, and
// holds the others against their digests, or leaves that to the engine.
func (l *loading) send(ctx context.Context, without int, verify bool) error {
	// The name that moves is given when the image has been looked at: containerd's
	// store takes one whose layers it lacks.
	t := image.Transfer{
		Image: l.artifact.Image, Names: []string{l.artifact.Pin()}, Open: l.artifact.Open,
		Omit: func(layer int) bool { return layer < without }, Unverified: !verify,
	}
	write := t.WriteDocker
	if l.platform.Containerd {
		write = func(ctx context.Context, w io.Writer) error {
			_, err := t.WriteOCI(ctx, w)
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reader, writer := io.Pipe()
	counted := &counter{to: writer, total: t.Size(), report: l.report}
	written := make(chan error, 1)
	go func() {
		err := write(ctx, counted)
		if err != nil {
			err = fmt.Errorf("%w: %w", errArtifact, err)
		}
		_ = writer.CloseWithError(err) // never fails; nil is the end
		written <- err
	}()
	err := l.Load(ctx, reader, t.Names...)
	stop()
	_ = reader.CloseWithError(errStopped) // never fails: it frees the writer when the engine hung up
	failed := <-written
	l.result.Sent += counted.sent.Load()
	if failed != nil && !errors.Is(failed, errStopped) && !errors.Is(failed, context.Canceled) {
		return failed // the cause; what the engine says follows from it
	}
	return err
}

var errStopped = errors.New("the engine takes no more")

// counter counts what is sent.
type counter struct {
	to     io.Writer
	total  int64
	sent   atomic.Int64
	told   time.Time
	report func(sent, total int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	sent := c.sent.Add(int64(n))
	const calm = 200 * time.Millisecond
	if c.report != nil && time.Since(c.told) >= calm {
		c.told = time.Now()
		c.report(min(sent, c.total), c.total)
	}
	return n, err
}

// verified finds what was loaded, and checks that it is the artifact: engines
// have been seen to take an archive and say nothing of what is wrong with it.
func (l *loading) verified(ctx context.Context) (*HostImage, error) {
	there, err := l.Image(ctx, l.artifact.Pin())
	switch {
	case err != nil:
		return nil, err
	case there == nil:
		return nil, refused(fault.Precondition, "try it again; see the log of the engine",
			"the engine of host %s took the image of %s, and does not have it", l.host, l.artifact.Service)
	case !l.same(there):
		return nil, refused(fault.Conflict, "see what else loads images there under the name "+l.artifact.Pin(),
			"on host %s, %s is another image than the one that was sent", l.host, l.artifact.Pin())
	}
	return there, nil
}

func refused(code fault.Code, hint, format string, args ...any) error {
	f := fault.Newf(code, hint, format, args...)
	f.Err = ErrRefused
	return f
}

// name gives an image the names that it lacks.
func (l *loading) name(ctx context.Context, there *HostImage) error {
	l.result.ID = there.ID
	for _, name := range l.result.Names {
		if !slices.Contains(there.Names, name) {
			if err := l.Tag(ctx, there.ID, name); err != nil {
				return err
			}
		}
	}
	return nil
}
