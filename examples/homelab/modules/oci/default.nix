# system -> image -> a docker-archive: a layer with a static busybox, and one with
# the files of a service's folder, which its httpd serves.
#
# With nixpkgs this would be one call of dockerTools.buildLayeredImage. Without
# it the builder takes its tools, and the busybox, from the machine that builds.
system:

{ name            # repository name is homelab/<name>
, folder          # served under /
, port            # where
, health          # path that answers "ok"
, state           # folder that outlives the container
}:

let
  architecture = { x86_64-linux = "amd64"; aarch64-linux = "arm64"; }.${system};

  file = name: path: builtins.path { inherit name path; };

  # What does not end up in the image must not change it.
  served = path: _: baseNameOf path != "default.nix" && builtins.match ".*\\.md" path == null;
in
derivation {
  inherit system;
  name = "homelab-${name}.tar";
  builder = "/bin/sh";
  args = [ (file "build.sh" ./build.sh) ];

  # Says on a machine with a sandbox why this cannot be built there.
  __noChroot = true;
  PATH = "/usr/bin:/bin";

  files = builtins.path { name = "${name}-files"; path = folder; filter = served; };
  init = file "init" ./init.sh;
  inherit health state;
  tag = "homelab/${name}:latest";
  config = builtins.toJSON {
    inherit architecture;
    os = "linux";
    created = "1970-01-01T00:00:01Z";
    config = {
      Entrypoint = [ "/bin/sh" "/init" ];
      Env = [ "PATH=/bin" "PORT=${toString port}" "STATE=${state}" ];
      ExposedPorts."${toString port}/tcp" = { };
      Labels."org.opencontainers.image.title" = name;
      User = "1000:1000";
      Volumes.${state} = { };
      WorkingDir = "/srv";
    };
    rootfs = { type = "layers"; diff_ids = [ "sha256:@lower@" "sha256:@upper@" ]; };
    history = map (created_by: { created = "1970-01-01T00:00:01Z"; inherit created_by; }) [ "modules/oci" name ];
  };
}
