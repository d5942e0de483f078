package deploytest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"homelab/internal/command"
)

// Archive makes a docker-archive with an image of some layers: each has one file
// with that content. Variant makes another image of the same layers.
func Archive(name, variant string, layers ...string) []byte {
	contents := [][]byte{}
	for _, content := range layers {
		contents = append(contents, tarball(file{name: "file-" + content[:1], mode: 0o644, content: []byte(content)}))
	}
	return dockerArchive(name, runtime.GOARCH, settings{Env: []string{"VARIANT=" + variant}, Cmd: []string{"/bin/true"}}, contents)
}

// file is an entry of an archive: a symbolic link when link is set.
type file struct {
	name    string
	mode    int64
	content []byte
	link    string
}

func tarball(files ...file) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}
		if f.link != "" {
			header.Typeflag, header.Linkname = tar.TypeSymlink, f.link
		}
		// A buffer takes everything.
		_ = w.WriteHeader(header)
		_, _ = w.Write(f.content)
	}
	_ = w.Close()
	return out.Bytes()
}

// config is that of an image, and settings are those of its containers, as Docker
// writes them.
type config struct {
	OS           string   `json:"os"`
	Architecture string   `json:"architecture"`
	Config       settings `json:"config"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

type settings struct {
	Entrypoint  []string          `json:",omitempty"`
	Cmd         []string          `json:",omitempty"`
	Env         []string          `json:",omitempty"`
	Labels      map[string]string `json:",omitempty"`
	Healthcheck *check            `json:",omitempty"`
}

type check struct {
	Test                           []string
	Interval, Timeout, StartPeriod time.Duration `json:",omitempty"`
	Retries                        int
}

// packed is an image in the manifest of a docker-archive.
type packed struct {
	Config           string
	RepoTags, Layers []string
}

func dockerArchive(name, arch string, s settings, layers [][]byte) []byte {
	files, diffIDs, paths := []file{}, []string{}, []string{}
	for _, layer := range layers {
		id := sum(layer)
		path := strings.TrimPrefix(id, "sha256:") + "/layer.tar"
		if !slices.Contains(paths, path) {
			files = append(files, file{name: path, mode: 0o644, content: layer})
		}
		diffIDs, paths = append(diffIDs, id), append(paths, path)
	}
	c := config{OS: "linux", Architecture: arch, Config: s}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", diffIDs
	raw, _ := json.Marshal(c) // strings and numbers only
	configName := strings.TrimPrefix(sum(raw), "sha256:") + ".json"
	manifest, _ := json.Marshal([]packed{{Config: configName, RepoTags: []string{name}, Layers: paths}})
	return tarball(append(files, file{name: configName, mode: 0o644, content: raw}, file{name: "manifest.json", mode: 0o644, content: manifest})...)
}

// Behaviour is what the containers of a test image do. A real engine runs it as a
// shell script, [Memory] reads it from a label of the image. The zero value runs
// until it is asked to end.
type Behaviour struct {
	Says   []string `json:"says,omitempty"`   // lines that it prints first
	Tells  []string `json:"tells,omitempty"`  // variables that it prints then: NAME is VALUE
	Warns  string   `json:"warns,omitempty"`  // a line on its standard error besides
	Page   string   `json:"page,omitempty"`   // what its web server at [PagePort] answers; empty: it has none
	Ends   bool     `json:"ends,omitempty"`   // it ends at once, with Exit
	Exit   int      `json:"exit,omitempty"`   // its exit status
	Deaf   bool     `json:"deaf,omitempty"`   // it takes no notice of being asked to end
	Health string   `json:"health,omitempty"` // what its HEALTHCHECK comes to: healthy, unhealthy or starting; empty: it has none
	// Foreign is a program for another processor.
	Foreign bool `json:"foreign,omitempty"`
	// Slow takes [SlowStop] to end when it is asked to, whether or not somebody waits
	// for it. Only Memory has such ones: others are Deaf for a grace.
	Slow bool `json:"slow,omitempty"`
	// Stuck cannot be killed either: Stop fails. Only Memory has such ones.
	Stuck bool `json:"stuck,omitempty"`
}

// SlowStop is how long a [Behaviour] that is Slow takes to end.
const SlowStop = 100 * time.Millisecond

// PagePort is where a container with a page listens.
const PagePort = 8080

// labelBehaviour is the label of an image with its behaviour.
const labelBehaviour = "deploytest.behaviour"

func behaviour(labels map[string]string) (b Behaviour) {
	_ = json.Unmarshal([]byte(labels[labelBehaviour]), &b) // an image of another kind has none
	return b
}

// BehaviourArchive makes a docker-archive with an image that behaves so, on real
// engines too.
func BehaviourArchive(t testing.TB, name string, b Behaviour) []byte {
	t.Helper()
	label, err := json.Marshal(b)
	require.NoError(t, err)
	s := settings{Labels: map[string]string{labelBehaviour: string(label)}, Healthcheck: b.check()}
	files := []file{{name: "www/index.html", mode: 0o644, content: []byte(b.Page)}}
	return busybox(t, name, b.script(), b.Foreign, s, files)
}

// script is what a container of it runs.
func (b Behaviour) script() string {
	trap := "exit 0"
	if b.Deaf {
		trap = ""
	}
	var s strings.Builder
	fmt.Fprintf(&s, "trap '%s' TERM\n", trap) // before it says anything
	for _, line := range b.Says {
		fmt.Fprintf(&s, "echo %s\n", quote(line))
	}
	for _, name := range b.Tells {
		fmt.Fprintf(&s, "echo \"%s is $%s\"\n", name, name)
	}
	if b.Warns != "" {
		fmt.Fprintf(&s, "echo %s >&2\n", quote(b.Warns))
	}
	if b.Ends {
		fmt.Fprintf(&s, "exit %d\n", b.Exit)
		return s.String()
	}
	if b.Page != "" {
		fmt.Fprintf(&s, "/bin/busybox httpd -f -p %d -h /www &\n", PagePort)
	}
	// The shell would not hear of a signal while it waits in the foreground.
	s.WriteString("while :; do /bin/busybox sleep 1 & wait $!; done\n")
	return s.String()
}

// check is the HEALTHCHECK that comes to the health that is wanted; nil: it has none.
func (b Behaviour) check() *check {
	const often = 100 * time.Millisecond
	c := &check{Test: []string{"CMD", "/bin/busybox", "false"}, Interval: often, Timeout: time.Minute, Retries: 1}
	switch b.Health {
	case "":
		return nil
	case "healthy":
		c.Test[2] = "true"
	case "starting":
		c.StartPeriod = time.Hour
	}
	return c
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// BusyboxArchive makes a docker-archive with an image whose containers run a shell
// script, with the most common commands on PATH and all others by /bin/busybox.
// The machine must have a static busybox.
func BusyboxArchive(t testing.TB, name, script string) []byte {
	t.Helper()
	return busybox(t, name, script, false, settings{}, nil)
}

func busybox(t testing.TB, name, script string, foreign bool, s settings, more []file) []byte {
	t.Helper()
	path := command.Look("busybox")
	require.NotEmpty(t, path, "this test needs a static busybox: apt install busybox-static")
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	arch := runtime.GOARCH
	if foreign {
		arch = otherArch(program)
	}
	files := []file{{name: "bin/busybox", mode: 0o755, content: program}}
	for _, name := range []string{"sh", "true", "false", "echo", "cat", "env", "sleep", "wget"} {
		files = append(files, file{name: "bin/" + name, link: "busybox"})
	}
	base := tarball(files...)
	own := tarball(append(more, file{name: "run.sh", mode: 0o755, content: []byte(script)})...)
	s.Entrypoint, s.Env = []string{"/bin/busybox", "sh", "/run.sh"}, []string{"PATH=/bin", "OF_THE_IMAGE=1"}
	return dockerArchive(name, arch, s, [][]byte{base, own})
}

// otherArch makes a program one for a processor that hardly any machine has, not
// even by emulation, and names an architecture for it.
func otherArch(elf []byte) string {
	const machine, frv = 18, 0x5441 // where an ELF file says its processor
	binary.LittleEndian.PutUint16(elf[machine:], frv)
	if runtime.GOARCH == "riscv64" {
		return "arm64"
	}
	return "riscv64"
}
