{ oci }:

oci {
  name = "prometheus";
  folder = ./.;
  port = 9090;
  health = "/-/healthy";
  state = "/prometheus";
}
