# The registry as a module for nixpkgs' lib.evalModules: the fields, defaults
# and texts of registry.go, which a test compares with it. default.nix reads
# the same declarations without nixpkgs.
{ lib, ... }:

let
  inherit (lib) mkOption types;

  required = type: description: mkOption { inherit type description; };
  optional = type: description: mkOption {
    type = types.nullOr type;
    default = null;
    inherit description;
  };
  list = type: description: mkOption {
    type = types.listOf type;
    default = [ ];
    inherit description;
  };
  table = type: description: mkOption {
    type = types.attrsOf type;
    default = { };
    inherit description;
  };
  record = options: types.submodule { inherit options; };

  globalHint = record {
    path = required types.str "A file, a folder (everything below) or a doublestar glob, relative to the repository root.";
    services = optional (types.listOf types.str) "Names of the services it touches; left out: every service.";
  };

  bundles = record {
    recipients = list types.str "Public keys that bundles are encrypted for, of age or ssh: age1…, ssh-ed25519 … or ssh-rsa …; left out: they are not encrypted, and hold no secret items.";
    authors = list types.str "Public keys of ssh, ssh-ed25519 …: a bundle by nobody of them is not restored; left out: whoever wrote it.";
  };

  host = record {
    description = optional types.str "For people.";
    docker = optional types.str "Docker engine: unix:///path, ssh://user@host[:port][/path/of/socket] or tcp://host:port; left out: DOCKER_HOST, else the current Docker context, else the local socket.";
    tls = optional tls "Client certificate files for a tcp:// engine.";
    system = optional types.str "Nix system of the host, such as aarch64-linux; left out: asked from its Docker engine.";
    mountRoots = optional (types.listOf types.str) "Absolute paths of the host: services mount only these and what is below. Left out: any path that is not refused; an empty list: none.";
  };

  tls = record {
    ca = required types.str "Absolute path of the CA certificate (PEM).";
    cert = required types.str "Absolute path of the client certificate (PEM).";
    key = required types.str "Absolute path of the client key (PEM).";
  };

  service = record {
    description = optional types.str "For people.";
    aliases = list types.str "Short names, such as ha; unique among all names and aliases.";
    dependsOn = list types.str "Services it is built on or needs: what touches them touches it.";
    build = required build "What to build.";
    hints = required (types.listOf types.str) "Paths whose change touches it: a file, a folder (everything below) or a doublestar glob, relative to the repository root.";
    exclude = list types.str "Paths, spelled like hints, that never touch it.";
    inputs = optional (types.listOf types.str) "Flake inputs that matter to it: a changed flake.lock touches it only if one of them moved. Left out: like any other file.";
    deploy = optional deploy "How it runs; left out: it is only built.";
    state = optional state "What it must not lose.";
  };

  build = record {
    targets = required (types.attrsOf types.str) "Flake attribute of the image for each Nix system, such as x86_64-linux: packages.x86_64-linux.ha-oci.";
    image = optional types.str "Repository name of the image; left out: as the archive says.";
  };

  deploy = record {
    host = optional types.str "Name of the host; left out: local.";
    container = optional types.str "Its name; left out: that of the service.";
    ports = list types.str "Published ports, [ADDRESS:]HOST:CONTAINER[/udp].";
    volumes = list volume "Named Docker volumes.";
    mounts = list mount "Paths of the host.";
    env = table types.str "Environment; not for secrets.";
    envFiles = list types.str "Files on the host with KEY=VALUE lines, absolute paths; their contents never appear in an answer.";
    networks = list types.str "Docker networks to join.";
    restart = optional (types.enum [ "no" "always" "on-failure" "unless-stopped" ]) "Docker restart policy; left out: unless-stopped.";
    health = optional health "When a new container counts as healthy; left out: docker.";
    strategy = optional (types.enum [ "replace" "overlap" ]) "replace stops the old one first, overlap starts the new one beside it; left out: replace.";
    resources = optional resources "Limits.";
    labels = table types.str "Its labels.";
    privileges = optional privileges "What it may do beyond the defaults.";
  };

  privileges = record {
    privileged = optional types.bool "All that root may do.";
    capabilities = list types.str "Capabilities to add, without CAP_.";
    newPrivileges = optional types.bool "Allow setuid programs.";
    devices = list types.str "Devices of the host.";
    hostNetwork = optional types.bool "Use the host's network.";
    hostPid = optional types.bool "See the host's processes.";
    hostIpc = optional types.bool "Share the host's IPC.";
    unconfined = optional types.bool "No seccomp, no AppArmor.";
    dockerSocket = optional types.bool "Allow mounting an engine's socket.";
    sysctls = table types.str "Kernel settings of its own.";
  };

  volume = record {
    name = required types.str "Name of the volume.";
    target = required types.str "Absolute path in the container.";
    readOnly = optional types.bool "Mount it read-only.";
  };

  mount = record {
    source = required types.str "Absolute path on the host.";
    target = required types.str "Absolute path in the container.";
    readOnly = optional types.bool "Mount it read-only.";
  };

  health = record {
    kind = required (types.enum [ "http" "tcp" "exec" "docker" ]) "http and tcp probe a port, exec runs a command in it, docker waits for the image's own HEALTHCHECK, else for running.";
    port = optional types.int "Port in the container, for http and tcp.";
    path = optional types.str "URL path, for http; left out: /.";
    status = optional types.int "Expected status; left out: 200 to 399.";
    command = list types.str "Command and arguments, for exec.";
    interval = optional types.str "Time between two probes.";
    timeout = optional types.str "Time for the whole gate.";
    startPeriod = optional types.str "Time before failures count.";
  };

  resources = record {
    memoryBytes = optional types.int "Memory limit in bytes.";
    cpus = optional types.number "Number of processors.";
    pids = optional types.int "Most processes.";
  };

  state = record {
    items = list stateItem "Volumes and paths that hold the state.";
    quiesce = optional quiesce "How it is made consistent for capture; left out: stop.";
    reauth = list reauth "Credentials that need a person when it moves.";
    backup = optional types.str "For people who make a bundle.";
    restore = optional types.str "For people who restore a bundle.";
    downtimeBudget = optional types.str "Longest acceptable outage; left out: 60s.";
    stores = list types.str "Where bundles go: an absolute path, s3://bucket/prefix, sftp://user@host/path or restic:repository.";
    every = optional types.str "How often a bundle is due; left out: 24h.";
    retention = optional retention "Which bundles are kept.";
  };

  stateItem = record {
    volume = optional types.str "Name of a Docker volume; this or path.";
    path = optional types.str "Absolute path on the host; this or volume.";
    exclude = list types.str "Globs below the item that are not captured.";
    class = optional (types.enum [ "durable" "recomputable" "secret" ]) "durable (the default) is captured, recomputable is not, secret only into an encrypted bundle.";
  };

  quiesce = record {
    kind = optional (types.enum [ "none" "stop" "pause" "exec" "http" "dump" "snapshot" ]) "What freezes the service; left out: stop.";
    preset = optional (types.enum [ "grafana" "home-assistant" "postgresql" "prometheus" "sqlite" ]) "A ready-made recipe; this or kind.";
    freeze = list types.str "exec and dump: command and arguments; http: method and URL.";
    thaw = list types.str "Undoes freeze; dump needs none.";
    timeout = optional types.str "Longest time of a freeze.";
    onError = optional (types.enum [ "abort" "continue" ]) "When freezing fails; left out: abort.";
  };

  reauth = record {
    name = required types.str "What it is, such as Zigbee network key.";
    policy = required (types.enum [ "reissue" "preserve" ]) "reissue: make a new one there; preserve: it travels unchanged.";
    instructions = optional types.str "What a person does.";
  };

  retention = record {
    last = optional types.int "How many of the newest.";
    daily = optional types.int "How many days, one each.";
    weekly = optional types.int "How many weeks, one each.";
    monthly = optional types.int "How many months, one each.";
  };
in
{
  options = {
    "$schema" = optional types.str "Where an editor finds the JSON Schema of this document; not used otherwise.";
    version = required (types.enum [ 1 ]) "Version of the registry format: 1.";
    globalHints = list globalHint "Paths that touch every service, or the named ones.";
    hosts = table host "Where services run, by name. The host 'local' exists without being declared.";
    bundles = optional bundles "Who can read bundles of state, and whose are trusted.";
    services = required (types.attrsOf service) "The services, by name.";
  };
}
