package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"homelab/internal/fault"
	"homelab/internal/sidecar"
	"homelab/internal/sidecar/program"
	"homelab/registry"
)

// labelSidecar is on what is there to reach state, and tells for what. It is no
// service's.
const labelSidecar = "homelab.sidecar"

const (
	// patience is how long what is over may take to be gone.
	patience = 10 * time.Second
	// flushPatience is how long writing to the disk may take.
	flushPatience = 10 * time.Minute
	// sidecarAge is how old one is that nobody is about to start.
	sidecarAge = time.Minute
	// sidecarPIDs bounds the threads of the program.
	sidecarPIDs = 256
)

// errand is what a sidecar is for.
type errand struct {
	about string // its label
	at    mount.Mount
	may   []string
	order sidecar.Order
}

// What a sidecar may do with files, whoever they are of.
var (
	mayRead  = []string{"DAC_READ_SEARCH"}
	maySwap  = []string{"DAC_OVERRIDE", "CHOWN", "FOWNER", "FSETID"}
	mayWrite = []string{"DAC_READ_SEARCH", "DAC_OVERRIDE", "CHOWN", "FOWNER", "FSETID", "SETFCAP"}
)

// stateOf reads or writes an item as a whole.
func stateOf(item registry.StateItem, order sidecar.Order) errand {
	may := mayRead
	if order.Write {
		may = mayWrite
	}
	at := pathAt(item.Path, order.Write)
	if item.Volume != "" {
		at = volumeAt(item.Volume, order.Write)
	}
	return errand{"state of " + item.Name(), at, may, order}
}

func pathAt(path string, write bool) mount.Mount {
	return mount.Mount{Type: mount.TypeBind, Source: path, Target: sidecar.Item, ReadOnly: !write}
}

func volumeAt(volume string, write bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: volume, Target: sidecar.Item, ReadOnly: !write,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true},
	}
}

// aside has a container of ours do something.
func (s *site) aside(ctx context.Context, do errand) (*beside, error) {
	e := s.engine
	image, err := s.image(ctx)
	if err != nil {
		return nil, err
	}
	args, err := do.order.Args()
	if err != nil {
		return nil, err
	}
	const doing = "docker create"
	config := &container.Config{
		Image: image, Cmd: args, Labels: map[string]string{labelSidecar: do.about},
		OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	}
	made, err := e.api.ContainerCreate(ctx, config, do.confined(), nil, nil, "homelab-sidecar-"+strings.ToLower(rand.Text()))
	if err != nil {
		return nil, e.notCreated(ctx, doing, do.at, err)
	}
	stream, err := e.begin(ctx, made.ID, do.order)
	if err != nil {
		return nil, errors.Join(err, e.drop(ctx, made.ID))
	}
	return stream, nil
}

// confined lets a container at one place, and at nothing else. What it prints is the
// state: nobody is to keep it.
func (do errand) confined() *container.HostConfig {
	most := int64(sidecarPIDs)
	return &container.HostConfig{
		AutoRemove: true, ReadonlyRootfs: true, NetworkMode: "none", Mounts: []mount.Mount{do.at},
		CapDrop: []string{"ALL"}, CapAdd: do.may,
		// A label of SELinux would keep it from what other containers have written.
		SecurityOpt: []string{optNoNewPrivileges, "label=disable"},
		LogConfig:   container.LogConfig{Type: "none"},
		Resources:   container.Resources{PidsLimit: &most},
	}
}

// notCreated tells what is not there from what else went wrong.
func (e *Engine) notCreated(ctx context.Context, doing string, at mount.Mount, err error) error {
	if at.Type == mount.TypeBind && strings.Contains(err.Error(), "bind source path does not exist") {
		return pathGone(at.Source)
	}
	return e.explain(ctx, doing, err)
}

// begin starts a sidecar, and talks to it from its first word on.
func (e *Engine) begin(ctx context.Context, id string, order sidecar.Order) (*beside, error) {
	conn, err := e.attach(ctx, "docker attach", id)
	if err != nil {
		return nil, err
	}
	if err := e.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return nil, errors.Join(e.explain(ctx, "docker start", err), conn.Close())
	}
	stream := &beside{attachment: conn}
	stream.end = sync.OnceValue(func() error { return e.end(ctx, id, conn, order.Write) })
	stream.unbind = context.AfterFunc(ctx, func() { _ = stream.end() })
	return stream, nil
}

// beside is a stream to a sidecar.
type beside struct {
	*attachment
	end    func() error
	unbind func() bool
}

// Close waits until the container is gone.
func (b *beside) Close() error {
	b.unbind()
	return b.end()
}

// end closes the stream to a sidecar, which ends then, and waits until it is gone;
// one that stays is removed. It does so when ctx is over, too. One that has written
// has also to say that this went well, and may take long for its last.
func (e *Engine) end(ctx context.Context, id string, conn io.Closer, wrote bool) error {
	most := patience
	if wrote {
		most = flushPatience
	}
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer stop()
	// Asked first: one that is gone cannot say how it ended.
	over, failed := e.api.ContainerWait(limited, id, container.WaitConditionRemoved)
	if err := conn.Close(); err != nil {
		return errors.Join(err, e.drop(ctx, id))
	}
	select {
	case result := <-over:
		if wrote && result.StatusCode != 0 {
			return notWritten("it failed")
		}
		return nil
	case err := <-failed:
		if wrote {
			return errors.Join(notWritten(err.Error()), e.drop(ctx, id))
		}
		if errdefs.IsNotFound(err) {
			return nil
		}
	}
	return e.drop(ctx, id)
}

func notWritten(why string) error {
	return fault.Newf(fault.Precondition, "remove what was written, then call again", "the sidecar does not say that everything is on the disk: %s", why)
}

// drop removes a sidecar whatever it does, also when ctx is over.
func (e *Engine) drop(ctx context.Context, id string) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer stop()
	err := e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // it goes by itself
		return nil
	}
	return e.explain(ctx, "docker rm", err)
}

// alone removes all sidecars that are about something, and waits until they are gone.
func (e *Engine) alone(ctx context.Context, about string) error {
	theirs := filters.NewArgs(filters.Arg("label", labelSidecar+"="+about))
	found, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: theirs})
	if err != nil {
		return e.explain(ctx, "docker ps", err)
	}
	for _, c := range found {
		if err := e.drop(ctx, c.ID); err != nil {
			return err
		}
		limited, stop := context.WithTimeout(ctx, patience)
		over, failed := e.api.ContainerWait(limited, c.ID, container.WaitConditionRemoved)
		select {
		case <-over:
		case err = <-failed:
		}
		stop()
		if err != nil && !errdefs.IsNotFound(err) {
			return e.explain(ctx, "docker wait", err)
		}
	}
	return nil
}

// image is that of the program, which is loaded where it is missing.
func (s *site) image(ctx context.Context) (string, error) {
	e := s.engine
	server, err := e.host.Server(ctx)
	if err != nil {
		return "", err
	}
	if server.OS != "linux" {
		return "", fault.Newf(fault.Precondition, "have the service on a host with Linux", "the Docker engine at %s runs containers of %s", e.host.Endpoint(), server.OS)
	}
	p, err := program.Find(server.Arch, s.folders)
	if err != nil {
		return "", err
	}
	name := p.Image()
	there, err := e.Image(ctx, name)
	if err != nil || there != nil {
		return name, err
	}
	archive, err := p.Archive()
	if err != nil {
		return "", err
	}
	return name, e.Load(ctx, archive, name)
}

// sweep removes what a crash has left: containers that do not run, and volumes that
// were a witness. Those that are young somebody may still be about to start, or look
// for. One that runs ends when nobody talks to it any more.
func (e *Engine) sweep(ctx context.Context, young time.Duration) error {
	ours := filters.NewArgs(filters.Arg("label", labelSidecar))
	containers, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return e.explain(ctx, "docker ps", err)
	}
	volumes, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: ours})
	if err != nil {
		return e.explain(ctx, "docker volume ls", err)
	}
	if len(containers)+len(volumes.Volumes) == 0 {
		return nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return e.explain(ctx, "docker info", err)
	}
	old := instant(info.SystemTime).Add(-young) // by the clock of the engine
	for _, c := range containers {
		if c.State != container.StateRunning && time.Unix(c.Created, 0).Before(old) {
			// What cannot go now goes the next time: it is in nobody's way.
			_ = e.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true})
		}
	}
	for _, v := range volumes.Volumes {
		if instant(v.CreatedAt).Before(old) {
			_ = e.api.VolumeRemove(ctx, v.Name, false) // likewise
		}
	}
	return nil
}
