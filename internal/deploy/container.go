package deploy

import (
	"context"
	"io"
	"net"
	"strings"
	"time"

	"homelab/registry"
)

// Spec is a container as it is to be: what an engine is given, in its own terms of
// none. It holds no secret: the contents of env files are read by the engine's
// adapter when the container is made, and are in no answer, label or log.
type Spec struct {
	Service   string            `json:"service"`
	Container string            `json:"container"` // its name
	Image     string            `json:"image"`     // its pin, REPOSITORY:nix-HASH
	Env       map[string]string `json:"env"`
	EnvFiles  []string          `json:"envFiles"` // on the host
	Ports     []Port            `json:"ports"`
	Mounts    []Mount           `json:"mounts"`
	// MountRule says which paths of the host may be among them: see [SafeMounts].
	// It makes nothing of the container.
	MountRule registry.MountRule `json:"mountRule"`
	Networks  []string           `json:"networks"` // the first is the one it starts in; none: the engine's default
	Restart   string             `json:"restart"`  // no, always, on-failure or unless-stopped
	StopGrace time.Duration      `json:"stopGrace"`
	Limits    Limits             `json:"limits"`
	Security  Security           `json:"security"`
	LogSize   int64              `json:"logSize"`  // most bytes of a log file
	LogFiles  int                `json:"logFiles"` // most log files
	Labels    map[string]string  `json:"labels"`   // of the registry
}

// Port is a published port.
type Port struct {
	Address   string `json:"address"` // of the host; empty: every one
	Host      int    `json:"host"`
	Container int    `json:"container"`
	Protocol  string `json:"protocol"` // tcp or udp
}

// Mount is a volume or a path of the host in the container.
type Mount struct {
	Volume   string `json:"volume"` // name of a volume, or
	Source   string `json:"source"` // a path of the host
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly"`
}

// Shares says whether two mounts have files in common, for all that their names tell.
func (m Mount) Shares(o Mount) bool {
	if m.Volume != "" || o.Volume != "" {
		return m.Volume == o.Volume
	}
	return within(m.Source, o.Source) || within(o.Source, m.Source)
}

// within says whether a path is another one or below it.
func within(path, of string) bool {
	return path == of || strings.HasPrefix(path, strings.TrimSuffix(of, "/")+"/")
}

// Limits bound what a container takes; 0 is no bound.
type Limits struct {
	Memory int64 `json:"memory"` // bytes
	CPUs   int64 `json:"cpus"`   // billionths of a processor
	PIDs   int64 `json:"pids"`
}

// Security is what a container may do beyond its own files. The zero value is the
// least: no capabilities, nothing of the host.
type Security struct {
	Privileged    bool              `json:"privileged"`
	Capabilities  []string          `json:"capabilities"`  // that it has, such as NET_BIND_SERVICE; all others are dropped
	NewPrivileges bool              `json:"newPrivileges"` // programs may gain privileges (setuid)
	Devices       []string          `json:"devices"`       // /dev/ttyUSB0
	HostNetwork   bool              `json:"hostNetwork"`
	HostPID       bool              `json:"hostPid"`
	HostIPC       bool              `json:"hostIpc"`
	Unconfined    bool              `json:"unconfined"` // without seccomp and AppArmor
	Sysctls       map[string]string `json:"sysctls"`
}

// Containers is the engine of one host, as far as containers go. Whoever calls it
// only ever changes containers that it has made: those with [LabelService].
// Errors are those of [Engine].
type Containers interface {
	Engine

	// Container finds the container that a name or an ID stands for; nil when
	// there is none.
	Container(ctx context.Context, ref string) (*Container, error)

	// List lists all containers with [LabelService], running or not, by name.
	List(ctx context.Context) ([]Container, error)

	// Create makes a container, and does not start it. The name is given apart
	// from the spec, as labels of ours are: a container is made under another
	// name, and renamed when its turn comes. It fails with [ErrRefused] when the
	// name is taken. A volume that is not there is made; one that may not be mounted
	// is what [Volume.Safe] says.
	Create(ctx context.Context, name string, spec Spec, labels map[string]string) (id string, err error)

	// EnvDiffers names the variables that the env files of a spec give otherwise now
	// than when a container was made: those that changed, that came and that went. Of
	// the values nothing is told. What the spec itself sets is not compared. An env
	// file that cannot be read is [fault.Precondition].
	EnvDiffers(ctx context.Context, id string, spec Spec) ([]string, error)

	// Start starts a container; one that runs stays as it is.
	Start(ctx context.Context, id string) error
	// Stop asks a container to end, and kills it when it has not after grace; one
	// that does not run stays as it is.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// Pause has a container that runs stand still, and Unpause go on; one that does
	// already stays as it is.
	Pause(ctx context.Context, id string) error
	Unpause(ctx context.Context, id string) error
	// Remove removes a container that does not run, and keeps its volumes; one
	// that is gone is no error.
	Remove(ctx context.Context, id string) error
	// Rename gives a container another name.
	Rename(ctx context.Context, id, name string) error
	// SetRestart changes the restart policy.
	SetRestart(ctx context.Context, id, policy string) error

	// Exec runs a command in a container that runs, and returns its exit status
	// and the last 4 KiB of what it printed.
	Exec(ctx context.Context, id string, command []string) (exit int, output string, err error)
	// ExecAs is Exec, and tells before the command begins what the engine calls it:
	// when that fails, it does not begin. When ctx is over the command goes on.
	ExecAs(ctx context.Context, id string, command []string, told func(exec string) error) (exit int, output string, err error)
	// ExecState says how far a command of ExecAs is. One that the engine does not know
	// any more is over.
	ExecState(ctx context.Context, exec string) (ExecState, error)
	// Writers lists the containers that run, or stand still, and may write to a volume,
	// or to a path of the host, what is above it and below it: whosever they are, by name.
	Writers(ctx context.Context, m Mount) ([]string, error)
	// Dial connects to a TCP port of a container that runs, from wherever the
	// engine can be reached.
	Dial(ctx context.Context, c Container, port int) (net.Conn, error)
	// Logs copies the last lines of a container's output to w, those of standard
	// output and error in their order. Values that came from env files are … there,
	// when they have 4 characters or more.
	Logs(ctx context.Context, id string, t Tail, w io.Writer) error

	// EnsureNetwork makes a bridge network of that name, with our label, unless
	// there is one.
	EnsureNetwork(ctx context.Context, name string) error
}

// ExecState is how far a command in a container is.
type ExecState string

const (
	ExecReady ExecState = "ready" // it has not begun
	ExecRuns  ExecState = "runs"
	ExecOver  ExecState = "over"
)

// Tail says which lines of a container's output are wanted.
type Tail struct {
	Lines      int       // at most, the last ones
	Since      time.Time // none before; zero: however old
	Timestamps bool      // each begins with its time, in RFC 3339, and a space
}

// Container is a container on a host.
type Container struct {
	ID      string
	Name    string
	ImageID string
	Labels  map[string]string
	Spec    Spec   // as the engine tells it; without Service, EnvFiles and Labels
	State   State  // what it does
	Health  string // of the image's own HEALTHCHECK: healthy, unhealthy, starting; empty: it has none
	Exit    int    // status that it ended with
	Error   string // why it could not be started
	OOM     bool   // it was killed because it took too much memory
	Started time.Time
	Ended   time.Time
	// Restarts is how often the engine has restarted it.
	Restarts int
	Address  string // in its first network, as seen from the host; empty: none
}

// State is what a container does.
type State string

const (
	Created    State = "created"
	Running    State = "running"
	Paused     State = "paused"
	Restarting State = "restarting"
	Removing   State = "removing"
	Exited     State = "exited"
	Dead       State = "dead"
)

// Labels of ours. What is deployed is written on the container itself; a journal
// besides helps to repair, and the labels win.
const (
	LabelService    = "homelab.service"    // name of the service
	LabelGeneration = "homelab.generation" // counts up with every container of a service
	LabelSpec       = "homelab.spec"       // hash of the spec
	LabelOut        = "homelab.out"        // store path of the artifact
	LabelDrv        = "homelab.drv"        // its derivation
	LabelRevision   = "homelab.revision"   // commit that it was built from
	LabelTree       = "homelab.tree"       // git tree of that commit
	LabelState      = "homelab.state"      // of what it was built from: commit, clean, dirty or empty
	LabelEdits      = "homelab.edits"      // fingerprint of the edits on top of the commit that touched it
	LabelVersion    = "homelab.version"    // of homelab
	LabelSwitch     = "homelab.switch"     // token of the switch that made it
	LabelGate       = "homelab.gate"       // what it had to pass, as JSON
	LabelEnvFiles   = "homelab.envFiles"   // names of the variables from env files, with spaces between; Create writes it
)
