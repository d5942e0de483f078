package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/deploy/deploytest"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/mirror"
	"homelab/registry"
)

// visit is what another process is to do with a site.
type visit struct {
	URL     string
	Folders []string
	Item    registry.StateItem
	Copy    string // where the copy goes; empty: it does a pass, says so, and stays
}

const visitVariable = "HOMELAB_TEST_VISIT"

func (v visit) pay(ctx context.Context) error {
	way, err := dockerhost.Dial(ctx, dockerhost.Endpoint{URL: v.URL})
	if err != nil {
		return err
	}
	e, err := docker.New(way)
	if err != nil {
		return err
	}
	if v.Copy == "" {
		_, err := e.Aside(v.Folders).Read(ctx, v.Item)
		fmt.Println("reads", err)
		select {}
	}
	stream, err := e.Site(v.Folders).Read(ctx, v.Item)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(v.Copy))
	if err != nil {
		return err
	}
	sink, err := mirror.NewSink(stream, mirror.Place{Root: root, Name: filepath.Base(v.Copy)})
	if err != nil {
		return err
	}
	if _, err := sink.Pass(ctx, true); err != nil {
		return err
	}
	return sink.Close()
}

// command is a process that pays the visit.
func (v visit) command(t *testing.T, before ...string) command.Cmd {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	words := append(before, self)
	return command.Cmd{Name: words[0], Args: words[1:], Env: []string{visitVariable + "=" + string(text)}}
}

// A process on the engine's host, whose mounts are those of the engine, reads paths by
// itself; one that has others does not, wherever volumes are.
func TestPathsAreNearOnTheHostItself(t *testing.T) {
	l := newLab(t)
	v := visit{URL: "unix://" + l.socket, Item: registry.StateItem{Path: filepath.Join(t.TempDir(), "srv")}, Copy: filepath.Join(t.TempDir(), "copy")}
	require.NoError(t, os.Mkdir(v.Item.Path, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(v.Item.Path, "page"), []byte("a page"), 0o600))

	result, err := command.Run(t.Context(), v.command(t))
	require.NoError(t, err)
	assert.Equal(t, 1, result.Exit)
	assert.Contains(t, string(result.Stderr), "no program")

	result, err = command.Run(t.Context(), v.command(t, dockertest.OnHost(t, l.socket)...))
	require.NoError(t, err)
	require.Zero(t, result.Exit, "%s", result.Stderr)
	assert.FileExists(t, filepath.Join(v.Copy, "page"))
}

// big is a volume whose first pass takes a while.
func (l lab) big(t *testing.T) registry.StateItem {
	t.Helper()
	noise := bytes.Repeat([]byte("0123456789abcde\n"), 8<<20)
	require.NoError(t, os.WriteFile(filepath.Join(l.volume(t, "big", nil), "file"), noise, 0o600))
	return registry.StateItem{Volume: "big"}
}

// tripped does something when so much was read, while it is read on: an engine may not
// kill a container before somebody has taken what that printed.
type tripped struct {
	io.ReadWriteCloser
	left int
	do   func()
	done sync.WaitGroup
}

func (r *tripped) Read(p []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(p)
	if was := r.left; was > 0 {
		if r.left -= n; r.left <= 0 {
			r.done.Go(r.do)
		}
	}
	return n, err
}

// A stream that breaks off in the midst is an error, and nothing is left behind.
func TestSidecarIsCut(t *testing.T) {
	ssh := dockertest.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	folders := sidecars(t)
	for name, way := range map[string]func(socket string) string{"socket": func(s string) string { return "unix://" + s }, "ssh": ssh.URL} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			item, e := l.big(t), open(t, way(l.socket))
			during := func(t *testing.T, do func()) error {
				t.Helper()
				stream, err := e.Aside(folders).Read(t.Context(), item)
				require.NoError(t, err)
				trip := &tripped{ReadWriteCloser: stream, left: 1 << 20, do: do}
				sink, _ := sinkOf(t, trip)
				_, err = sink.Pass(t.Context(), false)
				trip.done.Wait()
				_ = sink.Close() // an engine that is dead cannot say that it is gone
				return err
			}
			t.Run("the container is killed", func(t *testing.T) {
				assert.Error(t, during(t, func() {
					for _, c := range l.running(t) {
						assert.NoError(t, l.api.ContainerKill(context.Background(), c, "KILL"))
					}
				}))
				l.nothingLeft(t)
			})
			t.Run("who asked gives up", func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				stream, err := e.Aside(folders).Read(ctx, item)
				require.NoError(t, err)
				sink, _ := sinkOf(t, &tripped{ReadWriteCloser: stream, left: 1 << 20, do: stop})
				_, err = sink.Pass(ctx, false)
				assert.ErrorIs(t, err, context.Canceled)
				require.NoError(t, sink.Close())
				l.nothingLeft(t)
			})
			t.Run("who asked is killed", func(t *testing.T) {
				v := visit{URL: way(l.socket), Folders: folders, Item: item}
				visitor, err := command.Start(context.Background(), v.command(t))
				require.NoError(t, err)
				said := make([]byte, len("reads <nil>"))
				_, err = io.ReadFull(visitor, said)
				require.NoError(t, err)
				require.Equal(t, "reads <nil>", string(said))
				require.Len(t, l.running(t), 1)
				process, err := os.FindProcess(visitor.PID)
				require.NoError(t, err)
				require.NoError(t, process.Kill())
				require.NoError(t, visitor.Close())
				l.soonNothingLeft(t)
			})
			t.Run("the engine is killed", func(t *testing.T) {
				var revive func()
				assert.Error(t, during(t, func() { revive = dockertest.Kill(t, l.socket) }))
				revive()
				require.NoError(t, e.Sweep(t.Context()))
				l.soonNothingLeft(t)
			})
		})
	}
}

func (l lab) running(t *testing.T) []string {
	containers, err := l.api.ContainerList(context.Background(), container.ListOptions{})
	assert.NoError(t, err)
	ids := []string{}
	for _, c := range containers {
		ids = append(ids, c.ID)
	}
	return ids
}

// soonNothingLeft waits until the engine has noticed.
func (l lab) soonNothingLeft(t *testing.T) {
	t.Helper()
	assert.Eventually(t, func() bool {
		left, err := l.left(t.Context())
		return err == nil && len(left) == 0
	}, time.Minute, 20*time.Millisecond)
}

// What a crash leaves that was never started is swept away; what runs is not.
func TestSidecarsAreSwept(t *testing.T) {
	l, folders := newLab(t), sidecars(t)
	e := open(t, "unix://"+l.socket)
	l.volume(t, "wiki", nil)
	stream, err := e.Aside(folders).Read(t.Context(), registry.StateItem{Volume: "wiki"})
	require.NoError(t, err)
	runs := l.running(t)
	require.Len(t, runs, 1)
	there, err := l.api.ContainerInspect(t.Context(), runs[0])
	require.NoError(t, err)
	_, err = l.api.ContainerCreate(t.Context(), there.Config, docker.Confined(registry.StateItem{Volume: "wiki"}), nil, nil, "never-started")
	require.NoError(t, err)
	_, err = l.api.ContainerCreate(t.Context(), &container.Config{Image: there.Config.Image}, nil, nil, nil, "somebody-elses")
	require.NoError(t, err)

	require.NoError(t, e.Sweep(t.Context()))
	left, err := l.left(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{there.Name, "/somebody-elses"}, left)
	ours, err := e.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, ours, "it is no service's")
	require.NoError(t, stream.Close())
	left, err = l.left(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"/somebody-elses"}, left)
}

// The image goes to an engine once.
func TestSidecarIsLoadedOnce(t *testing.T) {
	l, folders := newLab(t), sidecars(t)
	e := open(t, "unix://"+l.socket)
	l.volume(t, "wiki", nil)
	began := time.Now().Add(-time.Hour)
	for range 2 {
		stream, err := e.Aside(folders).Read(t.Context(), registry.StateItem{Volume: "wiki"})
		require.NoError(t, err)
		require.NoError(t, stream.Close())
	}
	until := fmt.Sprint(time.Now().Add(time.Second).Unix())
	loads, failed := l.api.Events(t.Context(), events.ListOptions{Since: fmt.Sprint(began.Unix()), Until: until, Filters: filters.NewArgs(filters.Arg("event", "load"))})
	count := 0
	for over := false; !over; {
		select {
		case <-loads:
			count++
		case err := <-failed:
			require.ErrorIs(t, err, io.EOF)
			over = true
		}
	}
	assert.Equal(t, 1, count)
}

// What a sidecar is, a shell in its place shows: it reads what belongs to anybody, and
// writes nothing.
func TestSidecarIsConfined(t *testing.T) {
	l := newLab(t)
	e := open(t, "unix://"+l.socket)
	load(t, e, deploytest.Behaviour{})
	tree := l.volume(t, "wiki", nil)
	secret := filepath.Join(tree, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hidden"), 0))
	require.NoError(t, os.Chown(secret, 1000, 1000))
	script := `cat /item/secret; echo
for c in 'touch /item/new' 'rm /item/secret' 'chmod 777 /item/secret' 'touch /new' 'mount -o remount,rw /item'; do
  $c 2>/dev/null && echo "$c went well"
done
ls /sys/class/net; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; true`
	assert.Equal(t, "hidden\nlo\nCapEff:\t0000000000000004\nNoNewPrivs:\t1\nSeccomp:\t2\n", l.shell(t, docker.Confined(registry.StateItem{Volume: "wiki"}), script))
}

// shell is what a shell prints that is confined like a sidecar.
func (l lab) shell(t *testing.T, limits *container.HostConfig, script string) string {
	t.Helper()
	limits.AutoRemove, limits.LogConfig = false, container.LogConfig{Type: "json-file"}
	made, err := l.api.ContainerCreate(t.Context(), &container.Config{Image: "real/app:v1", Entrypoint: []string{"/bin/sh", "-c", script}}, limits, nil, nil, "")
	require.NoError(t, err)
	require.NoError(t, l.api.ContainerStart(t.Context(), made.ID, container.StartOptions{}))
	over, failed := l.api.ContainerWait(t.Context(), made.ID, container.WaitConditionNotRunning)
	select {
	case <-over:
	case err := <-failed:
		require.NoError(t, err)
	}
	printed, err := l.api.ContainerLogs(t.Context(), made.ID, container.LogsOptions{ShowStdout: true})
	require.NoError(t, err)
	defer printed.Close()
	text := &strings.Builder{}
	require.NoError(t, docker.CopyLogs(text, printed, false))
	return text.String()
}
