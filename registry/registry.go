// Package registry is the vocabulary of homelab: services, hosts, hints,
// state. A registry is one document with two spellings, the attrset `homelab`
// of a flake (options.nix beside this file declares the same fields) or JSON.
//
// [Parse] is strict and reports every problem at once. The types here are what
// the rest of the program speaks; the JSON Schema in schemas/registry.json is
// generated from them.
package registry

// Version is the only registry version there is.
const Version = 1

// LocalHost is the name of the host that exists without being declared: the
// Docker engine that the docker command would talk to.
const LocalHost = "local"

// Registry is the whole document.
type Registry struct {
	Schema      string             `json:"$schema,omitempty" jsonschema_description:"Where an editor finds the JSON Schema of this document; not used otherwise."`
	Version     int                `json:"version" jsonschema:"enum=1" jsonschema_description:"Version of the registry format: 1."`
	GlobalHints []GlobalHint       `json:"globalHints,omitempty" jsonschema_description:"Paths that touch every service, or the named ones."`
	Hosts       map[string]Host    `json:"hosts,omitempty" jsonschema_description:"Where services run, by name. The host 'local' exists without being declared."`
	Bundles     *Bundles           `json:"bundles,omitempty" jsonschema_description:"Who can read bundles of state, and whose are trusted."`
	Services    map[string]Service `json:"services" jsonschema_description:"The services, by name."`
}

// GlobalHint is a path that touches many services at once.
type GlobalHint struct {
	Path     string   `json:"path" jsonschema_description:"A file, a folder (everything below) or a doublestar glob, relative to the repository root."`
	Services []string `json:"services,omitempty" jsonschema_description:"Names of the services it touches; left out: every service."`
}

// Bundles says who can read bundles of state, and whose are trusted. Their private
// keys are no part of the registry.
type Bundles struct {
	Recipients []string `json:"recipients,omitempty" jsonschema_description:"Public keys that bundles are encrypted for, of age or ssh: age1…, ssh-ed25519 … or ssh-rsa …; left out: they are not encrypted, and hold no secret items."`
	Authors    []string `json:"authors,omitempty" jsonschema_description:"Public keys of ssh, ssh-ed25519 …: a bundle by nobody of them is not restored; left out: whoever wrote it."`
}

// Host is a place where services run.
type Host struct {
	Description string   `json:"description,omitempty" jsonschema_description:"For people."`
	Docker      string   `json:"docker,omitempty" jsonschema_description:"Docker engine: unix:///path, ssh://user@host[:port][/path/of/socket] or tcp://host:port; left out: DOCKER_HOST, else the current Docker context, else the local socket."`
	TLS         *TLS     `json:"tls,omitempty" jsonschema_description:"Client certificate files for a tcp:// engine."`
	System      string   `json:"system,omitempty" jsonschema_description:"Nix system of the host, such as aarch64-linux; left out: asked from its Docker engine."`
	MountRoots  []string `json:"mountRoots,omitzero" jsonschema_description:"Absolute paths of the host: services mount only these and what is below. Left out: any path that is not refused; an empty list: none."`
}

// TLS names the files of a client certificate, as absolute paths on the
// machine that runs homelab.
type TLS struct {
	CA   string `json:"ca" jsonschema_description:"Absolute path of the CA certificate (PEM)."`
	Cert string `json:"cert" jsonschema_description:"Absolute path of the client certificate (PEM)."`
	Key  string `json:"key" jsonschema_description:"Absolute path of the client key (PEM)."`
}

// Service is one thing to build, run and keep the data of.
type Service struct {
	Description string   `json:"description,omitempty" jsonschema_description:"For people."`
	Aliases     []string `json:"aliases,omitempty" jsonschema_description:"Short names, such as ha; unique among all names and aliases."`
	DependsOn   []string `json:"dependsOn,omitempty" jsonschema_description:"Services it is built on or needs: what touches them touches it."`
	Build       Build    `json:"build" jsonschema_description:"What to build."`
	Hints       []string `json:"hints" jsonschema_description:"Paths whose change touches it: a file, a folder (everything below) or a doublestar glob, relative to the repository root."`
	Exclude     []string `json:"exclude,omitempty" jsonschema_description:"Paths, spelled like hints, that never touch it."`
	Inputs      []string `json:"inputs,omitzero" jsonschema_description:"Flake inputs that matter to it: a changed flake.lock touches it only if one of them moved. Left out: like any other file."`
	Deploy      *Deploy  `json:"deploy,omitempty" jsonschema_description:"How it runs; left out: it is only built."`
	State       *State   `json:"state,omitempty" jsonschema_description:"What it must not lose."`
}

// Build says what Nix builds for the service.
type Build struct {
	Targets map[string]string `json:"targets" jsonschema_description:"Flake attribute of the image for each Nix system, such as x86_64-linux: packages.x86_64-linux.ha-oci."`
	Image   string            `json:"image,omitempty" jsonschema_description:"Repository name of the image; left out: as the archive says."`
}

// Deploy is the container of the service.
type Deploy struct {
	Host       string            `json:"host,omitempty" jsonschema_description:"Name of the host; left out: local."`
	Container  string            `json:"container,omitempty" jsonschema_description:"Its name; left out: that of the service."`
	Ports      []string          `json:"ports,omitempty" jsonschema_description:"Published ports, [ADDRESS:]HOST:CONTAINER[/udp]."`
	Volumes    []Volume          `json:"volumes,omitempty" jsonschema_description:"Named Docker volumes."`
	Mounts     []Mount           `json:"mounts,omitempty" jsonschema_description:"Paths of the host."`
	Env        map[string]string `json:"env,omitempty" jsonschema_description:"Environment; not for secrets."`
	EnvFiles   []string          `json:"envFiles,omitempty" jsonschema_description:"Files on the host with KEY=VALUE lines, absolute paths; their contents never appear in an answer."`
	Networks   []string          `json:"networks,omitempty" jsonschema_description:"Docker networks to join."`
	Restart    string            `json:"restart,omitempty" jsonschema:"enum=no,enum=always,enum=on-failure,enum=unless-stopped" jsonschema_description:"Docker restart policy; left out: unless-stopped."`
	Health     *Health           `json:"health,omitempty" jsonschema_description:"When a new container counts as healthy; left out: docker."`
	Strategy   string            `json:"strategy,omitempty" jsonschema:"enum=replace,enum=overlap" jsonschema_description:"replace stops the old one first, overlap starts the new one beside it; left out: replace."`
	Resources  *Resources        `json:"resources,omitempty" jsonschema_description:"Limits."`
	Labels     map[string]string `json:"labels,omitempty" jsonschema_description:"Its labels."`
	Privileges *Privileges       `json:"privileges,omitempty" jsonschema_description:"What it may do beyond the defaults."`
}

// Privileges are what a container may do beyond the defaults, which
// docs/deploy.md lists. The zero value adds nothing.
type Privileges struct {
	Privileged    bool              `json:"privileged,omitempty" jsonschema_description:"All that root may do."`
	Capabilities  []string          `json:"capabilities,omitempty" jsonschema_description:"Capabilities to add, without CAP_."`
	NewPrivileges bool              `json:"newPrivileges,omitempty" jsonschema_description:"Allow setuid programs."`
	Devices       []string          `json:"devices,omitempty" jsonschema_description:"Devices of the host."`
	HostNetwork   bool              `json:"hostNetwork,omitempty" jsonschema_description:"Use the host's network."`
	HostPID       bool              `json:"hostPid,omitempty" jsonschema_description:"See the host's processes."`
	HostIPC       bool              `json:"hostIpc,omitempty" jsonschema_description:"Share the host's IPC."`
	Unconfined    bool              `json:"unconfined,omitempty" jsonschema_description:"No seccomp, no AppArmor."`
	DockerSocket  bool              `json:"dockerSocket,omitempty" jsonschema_description:"Allow mounting an engine's socket."`
	Sysctls       map[string]string `json:"sysctls,omitempty" jsonschema_description:"Kernel settings of its own."`
}

// Volume is a named Docker volume in a container.
type Volume struct {
	Name     string `json:"name" jsonschema_description:"Name of the volume."`
	Target   string `json:"target" jsonschema_description:"Absolute path in the container."`
	ReadOnly bool   `json:"readOnly,omitempty" jsonschema_description:"Mount it read-only."`
}

// Mount is a path of the host in a container.
type Mount struct {
	Source   string `json:"source" jsonschema_description:"Absolute path on the host."`
	Target   string `json:"target" jsonschema_description:"Absolute path in the container."`
	ReadOnly bool   `json:"readOnly,omitempty" jsonschema_description:"Mount it read-only."`
}

// Health is the gate a new container must pass.
type Health struct {
	Kind        string   `json:"kind" jsonschema:"enum=http,enum=tcp,enum=exec,enum=docker" jsonschema_description:"http and tcp probe a port, exec runs a command in it, docker waits for the image's own HEALTHCHECK, else for running."`
	Port        int      `json:"port,omitempty" jsonschema_description:"Port in the container, for http and tcp."`
	Path        string   `json:"path,omitempty" jsonschema_description:"URL path, for http; left out: /."`
	Status      int      `json:"status,omitempty" jsonschema_description:"Expected status; left out: 200 to 399."`
	Command     []string `json:"command,omitempty" jsonschema_description:"Command and arguments, for exec."`
	Interval    string   `json:"interval,omitempty" jsonschema_description:"Time between two probes."`
	Timeout     string   `json:"timeout,omitempty" jsonschema_description:"Time for the whole gate."`
	StartPeriod string   `json:"startPeriod,omitempty" jsonschema_description:"Time before failures count."`
}

// Resources are the limits of a container.
type Resources struct {
	MemoryBytes int64   `json:"memoryBytes,omitempty" jsonschema_description:"Memory limit in bytes."`
	CPUs        float64 `json:"cpus,omitempty" jsonschema_description:"Number of processors."`
	PIDs        int64   `json:"pids,omitempty" jsonschema_description:"Most processes."`
}

// State is what a service must not lose.
type State struct {
	Items          []StateItem `json:"items,omitempty" jsonschema_description:"Volumes and paths that hold the state."`
	Quiesce        *Quiesce    `json:"quiesce,omitempty" jsonschema_description:"How it is made consistent for capture; left out: stop."`
	Reauth         []Reauth    `json:"reauth,omitempty" jsonschema_description:"Credentials that need a person when it moves."`
	Backup         string      `json:"backup,omitempty" jsonschema_description:"For people who make a bundle."`
	Restore        string      `json:"restore,omitempty" jsonschema_description:"For people who restore a bundle."`
	DowntimeBudget string      `json:"downtimeBudget,omitempty" jsonschema_description:"Longest acceptable outage; left out: 60s."`
	Stores         []string    `json:"stores,omitempty" jsonschema_description:"Where bundles go: an absolute path, s3://bucket/prefix, sftp://user@host/path or restic:repository."`
	Every          string      `json:"every,omitempty" jsonschema_description:"How often a bundle is due; left out: 24h."`
	Retention      *Retention  `json:"retention,omitempty" jsonschema_description:"Which bundles are kept."`
}

// StateItem is one volume or one path of the host. Exactly one of Volume and
// Path is set.
type StateItem struct {
	Volume  string   `json:"volume,omitempty" jsonschema_description:"Name of a Docker volume; this or path."`
	Path    string   `json:"path,omitempty" jsonschema_description:"Absolute path on the host; this or volume."`
	Exclude []string `json:"exclude,omitempty" jsonschema_description:"Globs below the item that are not captured."`
	Class   string   `json:"class,omitempty" jsonschema:"enum=durable,enum=recomputable,enum=secret" jsonschema_description:"durable (the default) is captured, recomputable is not, secret only into an encrypted bundle."`
}

// Quiesce makes state consistent while it is captured.
type Quiesce struct {
	Kind    string   `json:"kind,omitempty" jsonschema:"enum=none,enum=stop,enum=pause,enum=exec,enum=http,enum=dump,enum=snapshot" jsonschema_description:"What freezes the service; left out: stop."`
	Preset  string   `json:"preset,omitempty" jsonschema:"enum=grafana,enum=home-assistant,enum=postgresql,enum=prometheus,enum=sqlite" jsonschema_description:"A ready-made recipe; this or kind."`
	Freeze  []string `json:"freeze,omitempty" jsonschema_description:"exec and dump: command and arguments; http: method and URL."`
	Thaw    []string `json:"thaw,omitempty" jsonschema_description:"Undoes freeze; dump needs none."`
	Timeout string   `json:"timeout,omitempty" jsonschema_description:"Longest time of a freeze."`
	OnError string   `json:"onError,omitempty" jsonschema:"enum=abort,enum=continue" jsonschema_description:"When freezing fails; left out: abort."`
}

// Reauth is a credential that does not move by itself.
type Reauth struct {
	Name         string `json:"name" jsonschema_description:"What it is, such as Zigbee network key."`
	Policy       string `json:"policy" jsonschema:"enum=reissue,enum=preserve" jsonschema_description:"reissue: make a new one there; preserve: it travels unchanged."`
	Instructions string `json:"instructions,omitempty" jsonschema_description:"What a person does."`
}

// Retention says which bundles are kept. A zero count keeps none of its kind;
// the last verified bundle is always kept.
type Retention struct {
	Last    int `json:"last,omitempty" jsonschema_description:"How many of the newest."`
	Daily   int `json:"daily,omitempty" jsonschema_description:"How many days, one each."`
	Weekly  int `json:"weekly,omitempty" jsonschema_description:"How many weeks, one each."`
	Monthly int `json:"monthly,omitempty" jsonschema_description:"How many months, one each."`
}
