{
  version = 1;
  services.whoami = {
    build.targets.x86_64-linux = "packages.x86_64-linux.whoami";
    hints = [ "services/whoami" ];
  };
}
