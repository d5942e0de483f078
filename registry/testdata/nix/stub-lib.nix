# The least of nixpkgs' lib that registry/default.nix needs to evaluate one
# plain module: defaults are filled in, nothing is checked or merged.
let
  inherit (builtins) elemAt mapAttrs;

  fill = options: config:
    mapAttrs (name: option: if config ? ${name} then option.type config.${name} else option.default) options;

  same = value: value;
in
{
  mkOption = option: option;

  types = {
    str = same;
    int = same;
    number = same;
    bool = same;
    enum = _: same;
    listOf = map;
    attrsOf = type: mapAttrs (_: type);
    nullOr = type: value: if value == null then null else type value;
    submodule = { options }: fill options;
  };

  evalModules = { modules }:
    let
      lib = import ./stub-lib.nix;
      declared = import (elemAt modules 0) { inherit lib; };
    in
    { config = fill declared.options (elemAt modules 1); };
}
