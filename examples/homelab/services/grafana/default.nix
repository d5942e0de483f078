{ oci }:

oci {
  name = "grafana";
  folder = ./.;
  port = 3000;
  health = "/api/health";
  state = "/var/lib/grafana";
}
