package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"homelab/internal/command"
	"homelab/internal/engine/docker/dockertest"
	"homelab/internal/fault"
	"homelab/internal/mirror"
	"homelab/internal/state"
	"homelab/internal/tree/treetest"
	"homelab/registry"
)

// sidecars builds the program of sidecars for this machine, and returns its folder.
func sidecars(t *testing.T) []string {
	t.Helper()
	folder := t.TempDir()
	built, err := command.Run(t.Context(), command.Cmd{
		Name: "go", Args: []string{"build", "-buildvcs=false", "-o", folder + "/", "homelab/cmd/homelab-sidecar"}, Env: []string{"CGO_ENABLED=0"},
	})
	require.NoError(t, err)
	require.Zero(t, built.Exit, "%s", built.Stderr)
	return []string{folder}
}

// lab is an engine with state on its host.
type lab struct {
	socket string
	api    *client.Client
}

func newLab(t *testing.T) lab {
	t.Helper()
	socket := dockertest.StartEngine(t)
	api, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, api.Close()) })
	return lab{socket, api}
}

// volume makes one, and returns the folder of its files.
func (l lab) volume(t *testing.T, name string, options map[string]string) string {
	t.Helper()
	v, err := l.api.VolumeCreate(t.Context(), volume.CreateOptions{Name: name, Driver: "local", DriverOpts: options})
	require.NoError(t, err)
	return v.Mountpoint
}

// left is what there is of sidecars, running or not.
func (l lab) left(ctx context.Context) ([]string, error) {
	containers, err := l.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	found := []string{}
	for _, c := range containers {
		found = append(found, c.Names[0])
	}
	witnesses, err := l.api.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "homelab.sidecar"))})
	for _, v := range witnesses.Volumes {
		found = append(found, v.Name)
	}
	return found, err
}

// nothingLeft says that there is nothing of sidecars.
func (l lab) nothingLeft(t *testing.T) {
	t.Helper()
	found, err := l.left(t.Context())
	require.NoError(t, err)
	assert.Empty(t, found)
}

// copyOf is a copy of an item: it goes with the test.
func copyOf(t *testing.T, s state.Site, item registry.StateItem) (sink *mirror.Sink, place string) {
	t.Helper()
	stream, err := s.Read(t.Context(), item)
	require.NoError(t, err)
	return sinkOf(t, stream)
}

func sinkOf(t *testing.T, stream io.ReadWriteCloser) (sink *mirror.Sink, place string) {
	t.Helper()
	folder := t.TempDir()
	root, err := os.OpenRoot(folder)
	require.NoError(t, err)
	sink, err = mirror.NewSink(stream, mirror.Place{Root: root, Name: "copy", Privileged: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, root.Close()) })
	return sink, filepath.Join(folder, "copy")
}

func pass(t *testing.T, sink *mirror.Sink, final bool) *mirror.Report {
	t.Helper()
	report, err := sink.Pass(t.Context(), final)
	require.NoError(t, err)
	return report
}

// A site gives everything that is easily lost, by every way.
func TestSite(t *testing.T) {
	ssh := dockertest.StartSSH(t)
	t.Setenv("PATH", ssh.Bin+":"+os.Getenv("PATH"))
	l, folders := newLab(t), sidecars(t)
	near, far := open(t, "unix://"+l.socket), open(t, ssh.URL(l.socket))
	for name, s := range map[string]state.FillableSite{
		"in this process":       near.Site(folders),
		"by a sidecar":          near.Aside(folders),
		"by a sidecar over ssh": far.Site(folders),
	} {
		t.Run(name, func(t *testing.T) {
			v := strings.ReplaceAll(name, " ", "-")
			tree := l.volume(t, v, nil)
			treetest.Nasty(t, tree)
			folder := filepath.Join(t.TempDir(), "with space")
			require.NoError(t, os.Mkdir(folder, 0o700))
			treetest.Nasty(t, folder)
			for _, row := range []struct {
				tree string
				item registry.StateItem
			}{{tree, registry.StateItem{Volume: v}}, {folder, registry.StateItem{Path: folder}}} {
				t.Run(row.item.Name(), func(t *testing.T) { copiedWhole(t, s, row.tree, row.item) })
			}

			t.Run("a file", func(t *testing.T) {
				file := filepath.Join(folder, "only")
				require.NoError(t, os.WriteFile(file, []byte("one"), 0o640))
				sink, place := copyOf(t, s, registry.StateItem{Path: file})
				pass(t, sink, true)
				assert.Equal(t, treetest.Read(t, file), treetest.Read(t, place))
				require.NoError(t, sink.Close())
			})
			t.Run("without what is excluded", func(t *testing.T) {
				require.NoError(t, os.MkdirAll(filepath.Join(folder, "cache/deep"), 0o755))
				sink, place := copyOf(t, s, registry.StateItem{Path: folder, Exclude: []string{"cache/**"}})
				pass(t, sink, true)
				assert.FileExists(t, filepath.Join(place, "only"))
				assert.NoDirExists(t, filepath.Join(place, "cache/deep"))
				require.NoError(t, sink.Close())
			})
			t.Run("again", func(t *testing.T) { readOnce(t, s, tree, v) })
			t.Run("back", func(t *testing.T) { filled(t, s, l, tree, v+"-back") })
			for what, row := range map[string]struct {
				item registry.StateItem
				code fault.Code
			}{
				"no such volume":       {registry.StateItem{Volume: "none"}, fault.NotFound},
				"no such path":         {registry.StateItem{Path: folder + "/none"}, fault.NotFound},
				"neither":              {registry.StateItem{}, fault.InvalidArgument},
				"the whole host":       {registry.StateItem{Path: "/"}, fault.InvalidArgument},
				"a path in disguise":   {registry.StateItem{Path: "/srv/../etc"}, fault.InvalidArgument},
				"the host in disguise": {registry.StateItem{Volume: "host-" + v}, fault.Denied},
			} {
				t.Run(what, func(t *testing.T) {
					l.volume(t, "host-"+v, map[string]string{"type": "none", "o": "bind", "device": "/etc"})
					_, err := s.Read(t.Context(), row.item)
					assert.Equal(t, row.code, fault.CodeOf(err), "%v", err)
				})
			}
			_, err := l.api.VolumeInspect(t.Context(), "none")
			assert.Error(t, err, "a volume that was looked for is not made")
			l.nothingLeft(t)
		})
	}
}

// copiedWhole copies a tree while it is written to, and then at rest.
func copiedWhole(t *testing.T, s state.Site, tree string, item registry.StateItem) {
	sink, place := copyOf(t, s, item)
	pass(t, sink, false)
	require.NoError(t, os.WriteFile(filepath.Join(tree, "late"), []byte("late"), 0o600))
	treetest.Times(t, tree, 1_300_000_000, 20)
	report := pass(t, sink, true)
	want := treetest.Read(t, tree)
	assert.Equal(t, int64(len(want)), report.Entries)
	assert.Equal(t, want, treetest.Read(t, place))
	require.NoError(t, sink.Close())
}

// readOnce says that what did not change is not read again, where the file system
// tells what did.
func readOnce(t *testing.T, s state.Site, tree, name string) {
	sink, _ := copyOf(t, s, registry.StateItem{Volume: name})
	first := pass(t, sink, false)
	var stat unix.Statfs_t
	require.NoError(t, unix.Statfs(tree, &stat))
	tells := slices.Contains([]int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC}, int64(stat.Type))
	require.Positive(t, first.Read)
	assert.Eventually(t, func() bool { return (pass(t, sink, false).Read == 0) == tells }, time.Minute, 100*time.Millisecond)
	require.NoError(t, sink.Close())
}

// filled brings a tree to a volume.
func filled(t *testing.T, s state.FillableSite, l lab, tree, name string) {
	place := l.volume(t, name, nil)
	bring := func() error {
		stream, err := s.Fill(t.Context(), registry.StateItem{Volume: name}, true)
		require.NoError(t, err)
		root, err := os.OpenRoot(tree)
		require.NoError(t, err)
		defer root.Close()
		source, err := mirror.NewSource(stream, mirror.Tree{Root: root})
		require.NoError(t, err)
		_, err = source.Pass(t.Context(), true)
		return errors.Join(err, source.Close())
	}
	require.NoError(t, bring())
	assert.Equal(t, treetest.Read(t, tree), treetest.Read(t, place))
	assert.Equal(t, fault.Conflict, fault.CodeOf(bring()), "it is not empty any more")
	_, err := s.Fill(t.Context(), registry.StateItem{Volume: "none"}, true)
	assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
}

// A volume of that name may be here, too, and be another engine's: what is not here
// for certain is not read here.
func TestWhatIsNear(t *testing.T) {
	root := t.TempDir()
	name := func(v string) string { return filepath.Join(root, v, "_data") }
	require.NoError(t, os.MkdirAll(name("wiki"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(name("wiki"), "page"), []byte("a page"), 0o600))
	const plain, local = `"SecurityOptions":[],"OperatingSystem":"Debian"`, `"Driver":"local"`
	rows := map[string]struct {
		info, volume string
		witness      func(name string) string // where the engine puts it
		here, path   bool                     // the volume, and a path of the host
	}{
		"it is":                        {plain, local, name, true, true},
		"the engine is elsewhere":      {plain, local, func(string) string { return "" }, false, false},
		"it tells another place":       {plain, local, func(string) string { return name("wiki") }, false, false},
		"it has users of its own":      {`"SecurityOptions":["name=userns"]`, local, name, false, false},
		"it runs without root":         {`"SecurityOptions":["name=rootless"]`, local, name, false, false},
		"it runs in a machine":         {`"OperatingSystem":"Docker Desktop"`, local, name, false, false},
		"it mounts the volume":         {plain, local + `,"Options":{"type":"nfs","device":":/x"}`, name, false, true},
		"the volume is of a plugin":    {plain, `"Driver":"sshfs"`, name, false, true},
		"the volume is somewhere else": {plain, local + `,"Mountpoint":"/var/empty"`, name, false, true},
	}
	for what, row := range rows {
		t.Run(what, func(t *testing.T) {
			url := volumesOf(t, row.info, name("wiki"), row.volume, row.witness)
			e := open(t, url)
			for item, here := range map[*registry.StateItem]bool{{Volume: "wiki"}: row.here, {Path: name("wiki")}: row.path} {
				stream, err := e.Site(nil).Read(t.Context(), *item)
				if !here {
					assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
					assert.ErrorContains(t, err, "no program")
					continue
				}
				require.NoError(t, err)
				sink, place := sinkOf(t, stream)
				pass(t, sink, true)
				assert.FileExists(t, filepath.Join(place, "page"))
				require.NoError(t, sink.Close())
			}
		})
	}
}

// volumesOf answers as an engine does with a volume wiki, and makes others.
func volumesOf(t *testing.T, info, wiki, more string, place func(name string) string) (url string) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "sock"))
	require.NoError(t, err)
	said := fmt.Sprintf(`"Mountpoint":%q,%s`, wiki, more)
	if strings.Contains(more, "Mountpoint") {
		said = more
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, path, _ := strings.Cut(r.URL.Path[1:], "/")
		switch {
		case strings.HasSuffix(r.URL.Path, "/version"):
			fmt.Fprint(w, `{"Version":"28.0.0","ApiVersion":"1.48","Os":"linux","Arch":"s390x"}`)
		case path == "containers/json":
			fmt.Fprint(w, "[]")
		case path == "volumes":
			fmt.Fprint(w, `{"Volumes":[]}`)
		case path == "info":
			fmt.Fprintf(w, "{%s}", info)
		case path == "volumes/wiki":
			fmt.Fprintf(w, `{"Name":"wiki",%s}`, said)
		case path == "volumes/create":
			body, _ := io.ReadAll(r.Body)
			_, rest, _ := strings.Cut(string(body), `"Name":"`)
			name, _, _ := strings.Cut(rest, `"`)
			if at := place(name); at != "" {
				_ = os.MkdirAll(at, 0o755)
				fmt.Fprintf(w, `{"Name":%q,"Mountpoint":%q}`, name, at)
				return
			}
			fmt.Fprintf(w, `{"Name":%q,"Mountpoint":%q}`, name, "/var/lib/docker/volumes/"+name+"/_data")
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	return "unix://" + listener.Addr().String()
}
