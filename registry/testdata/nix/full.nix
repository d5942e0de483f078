# Every field once, and what must survive although it is empty.
{
  version = 1;
  globalHints = [
    { path = "modules/oci"; }
    { path = "lib/**"; services = [ "home-assistant" ]; }
  ];
  hosts = {
    attic = { };
    cellar.mountRoots = [ ];
    pi = {
      description = "In the cupboard.";
      docker = "tcp://pi.lan:2376";
      tls = { ca = "/etc/homelab/ca.pem"; cert = "/etc/homelab/cert.pem"; key = "/etc/homelab/key.pem"; };
      system = "aarch64-linux";
      mountRoots = [ "/srv" ];
    };
  };
  services = {
    database = {
      build.targets.x86_64-linux = "packages.x86_64-linux.database";
      hints = [ "services/database" ];
      aliases = [ ];
      inputs = [ ];
      deploy = { };
      state = null;
    };
    home-assistant = {
      description = "The house.";
      aliases = [ "ha" ];
      dependsOn = [ "database" ];
      build = {
        targets.x86_64-linux = "packages.x86_64-linux.ha";
        targets.aarch64-linux = "packages.aarch64-linux.ha";
        image = "homelab/ha";
      };
      hints = [ "services/ha" "services/**/*.yaml" ];
      exclude = [ "services/ha/README.md" ];
      inputs = [ "nixpkgs" ];
      deploy = {
        host = "pi";
        container = "ha";
        ports = [ "8123:8123" ];
        volumes = [{ name = "ha"; target = "/config"; }];
        mounts = [{ source = "/srv/ha/media"; target = "/media"; readOnly = true; }];
        env.TZ = "Europe/Berlin";
        env.EMPTY = "";
        envFiles = [ "/run/agenix/ha" ];
        networks = [ "lan" ];
        restart = "always";
        health = {
          kind = "http";
          port = 8123;
          path = "/manifest.json";
          status = 200;
          command = [ ];
          interval = "2s";
          timeout = "60s";
          startPeriod = "10s";
        };
        strategy = "replace";
        resources = { memoryBytes = 536870912; cpus = 1.5; pids = 200; };
        labels.backup = "yes";
        privileges = {
          privileged = false;
          capabilities = [ "NET_ADMIN" ];
          newPrivileges = true;
          devices = [ "/dev/ttyACM0" ];
          hostNetwork = false;
          hostPid = true;
          hostIpc = true;
          unconfined = true;
          dockerSocket = true;
          sysctls."net.ipv4.ip_forward" = "1";
        };
      };
      state = {
        items = [
          { volume = "ha"; exclude = [ "**/*.log" ]; class = "durable"; }
          { path = "/var/lib/ha-media"; class = "recomputable"; }
        ];
        quiesce = { kind = "exec"; freeze = [ "ha" "freeze" ]; thaw = [ "ha" "thaw" ]; timeout = "30s"; onError = "abort"; };
        reauth = [{ name = "Zigbee network key"; policy = "preserve"; instructions = "Move the stick."; }];
        backup = "Watch the disk.";
        restore = "Stop the old one first.";
        downtimeBudget = "60s";
        stores = [ "/srv/bundles" ];
        every = "168h";
        retention = { last = 3; daily = 7; weekly = 4; monthly = 0; };
      };
    };
    queue = {
      build.targets.x86_64-linux = "packages.x86_64-linux.queue";
      hints = [ "services/queue" ];
      state.quiesce.preset = "sqlite";
    };
  };
}
