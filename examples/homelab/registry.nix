let
  targets = package: {
    x86_64-linux = "packages.x86_64-linux.${package}";
    aarch64-linux = "packages.aarch64-linux.${package}";
  };
in
{
  version = 1;

  # What every image is made with.
  globalHints = [
    { path = "flake.nix"; }
    { path = "modules/oci"; }
  ];

  # `local` needs no entry: it is the Docker engine of this machine.
  hosts.pi = {
    description = "Raspberry Pi in the cupboard; takes over when this machine is away.";
    docker = "ssh://homelab@pi.lan";
    system = "aarch64-linux";
  };

  services = {
    home-assistant = {
      description = "Lights, heating, and who left the window open.";
      aliases = [ "ha" ];
      build = {
        targets = targets "homelab-ha-oci";
        image = "homelab/home-assistant";
      };
      hints = [ "services/home-assistant" ];
      exclude = [ "services/home-assistant/*.md" ];
      deploy = {
        ports = [ "8123:8123" ];
        volumes = [{ name = "homelab-home-assistant"; target = "/config"; }];
        env.TZ = "Europe/Berlin";
        restart = "unless-stopped";
        health = { kind = "http"; port = 8123; path = "/manifest.json"; interval = "500ms"; timeout = "30s"; };
      };
      state = {
        items = [{ volume = "homelab-home-assistant"; exclude = [ "**/*.log" ]; class = "durable"; }];
        quiesce = { kind = "stop"; timeout = "30s"; };
        reauth = [
          {
            name = "Zigbee network key";
            policy = "preserve";
            instructions = "The key must travel with the stick: otherwise every lamp has to be paired again.";
          }
          {
            name = "Cloud voice assistant";
            policy = "reissue";
            instructions = "Sign in again under Settings, Voice assistants.";
          }
        ];
        restore = "Unplug the Zigbee stick from the old machine before you start it here.";
        downtimeBudget = "60s";
        retention = { last = 3; daily = 7; weekly = 4; };
      };
    };

    prometheus = {
      description = "Thirty days of every meter in the house.";
      aliases = [ "prom" ];
      build = {
        targets = targets "homelab-prometheus-oci";
        image = "homelab/prometheus";
      };
      hints = [ "services/prometheus" ];
      deploy = {
        ports = [ "9090:9090" ];
        volumes = [{ name = "homelab-prometheus"; target = "/prometheus"; }];
        env.TZ = "Europe/Berlin";
        restart = "unless-stopped";
        health = { kind = "http"; port = 9090; path = "/-/healthy"; interval = "500ms"; timeout = "30s"; };
        labels."org.example.tier" = "metrics";
      };
      state = {
        items = [{ volume = "homelab-prometheus"; class = "durable"; }];
        quiesce = { preset = "prometheus"; timeout = "10s"; };
        downtimeBudget = "5m";
        retention = { last = 2; weekly = 4; };
      };
    };

    grafana = {
      description = "The screen in the hall.";
      dependsOn = [ "prometheus" ];
      build = {
        targets = targets "homelab-grafana-oci";
        image = "homelab/grafana";
      };
      hints = [ "services/grafana" ];
      deploy = {
        ports = [ "3000:3000" ];
        volumes = [{ name = "homelab-grafana"; target = "/var/lib/grafana"; }];
        env = {
          TZ = "Europe/Berlin";
          GF_SERVER_ROOT_URL = "http://homelab.lan:3000/";
        };
        restart = "unless-stopped";
        health = { kind = "http"; port = 3000; path = "/api/health"; interval = "500ms"; timeout = "30s"; };
      };
      state = {
        items = [
          { volume = "homelab-grafana"; exclude = [ "png/**" ]; class = "durable"; }
        ];
        quiesce = { preset = "grafana"; timeout = "10s"; };
        reauth = [
          {
            name = "Admin password";
            policy = "reissue";
            instructions = "Set a new one at the first login.";
          }
        ];
        downtimeBudget = "60s";
        retention = { last = 3; monthly = 6; };
      };
    };
  };
}
