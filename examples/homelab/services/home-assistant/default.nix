{ oci }:

oci {
  name = "home-assistant";
  folder = ./.;
  port = 8123;
  health = "/manifest.json";
  state = "/config";
}
