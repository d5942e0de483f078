# What options.nix declares, as data: its `lib` answered without nixpkgs. A
# type is { kind; } with what the kind needs: `values` of an enum, `of` of a
# list or a table, `fields` of a record. A field without a default is required.
let
  lib = {
    mkOption = field: field;
    types = {
      str = { kind = "string"; };
      int = { kind = "int"; };
      number = { kind = "number"; };
      bool = { kind = "bool"; };
      enum = values: { kind = "enum"; inherit values; };
      listOf = of: { kind = "list"; inherit of; };
      attrsOf = of: { kind = "table"; inherit of; };
      nullOr = type: type // { nullable = true; };
      submodule = { options }: { kind = "record"; fields = options; };
    };
  };
in
lib.types.submodule (import ./options.nix { inherit lib; })
