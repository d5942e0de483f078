{
  description = "A small homelab: three services, their images and their registry";

  outputs = _:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      eachSystem = make: builtins.listToAttrs
        (map (system: { name = system; value = make (import ./modules/oci system); }) systems);
    in
    {
      packages = eachSystem (oci: {
        homelab-ha-oci = import ./services/home-assistant { inherit oci; };
        homelab-prometheus-oci = import ./services/prometheus { inherit oci; };
        homelab-grafana-oci = import ./services/grafana { inherit oci; };
      });

      homelab = import ./registry.nix;
    };
}
