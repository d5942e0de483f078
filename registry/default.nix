# Checks a registry written in Nix and returns it ready for JSON, without the
# fields that say nothing. Use it where the flake exports `homelab`:
#
#   homelab = import ./registry { } (import ./registry.nix);
#
# This needs no nixpkgs. With its `lib` the registry may be a module, or a list
# of modules, and is evaluated by lib.evalModules:
#
#   homelab = import ./registry { inherit (nixpkgs) lib; } [ ./registry.nix ];
#
# What concerns several fields at once (unknown hosts, cycles, clashes) is left
# to homelab, which checks it for JSON registries too.
{ lib ? null }:

registry:

let
  inherit (builtins) attrNames concatLists concatMap concatStringsSep elem elemAt filter
    genList isList length listToAttrs mapAttrs match toJSON typeOf;

  schema = import ./schema.nix;

  key = path: name:
    if match "[A-Za-z_][A-Za-z0-9_]*" name != null then "${path}.${name}" else "${path}[${toJSON name}]";

  index = path: i: "${path}[${toString i}]";

  nouns = {
    string = "a string";
    int = "an integer";
    number = "a number";
    bool = "true or false";
    list = "a list";
    table = "an attribute set";
    record = "an attribute set";
    set = "an attribute set";
    float = "a number with a fraction";
    lambda = "a function";
    path = "a path";
    null = "null";
  };

  accepts = {
    string = [ "string" ];
    int = [ "int" ];
    number = [ "int" "float" ];
    bool = [ "bool" ];
    list = [ "list" ];
    table = [ "set" ];
    record = [ "set" ];
  };

  check = path: type: value:
    if value == null && type.nullable or false then [ ]
    else if type.kind == "enum" then
      if elem value type.values then [ ]
      else [ "${path}: must be one of ${concatStringsSep ", " (map toJSON type.values)}, not ${show value}" ]
    else if !elem (typeOf value) accepts.${type.kind} then
      [ "${path}: must be ${nouns.${type.kind}}, not ${show value}" ]
    else if type.kind == "list" then
      concatLists (genList (i: check (index path i) type.of (elemAt value i)) (length value))
    else if type.kind == "table" then
      concatMap (name: check (key path name) type.of value.${name}) (attrNames value)
    else if type.kind == "record" then
      checkRecord path type.fields value
    else [ ];

  checkRecord = path: fields: value:
    let
      known = attrNames fields;
      unknown = filter (name: !fields ? ${name}) (attrNames value);
      missing = filter (name: !fields.${name} ? default && !value ? ${name}) known;
    in
    map (name: "${key path name}: unknown field; valid: ${concatStringsSep ", " known}") unknown
    ++ map (name: "${key path name}: is required: ${fields.${name}.description}") missing
    ++ concatMap (name: check (key path name) fields.${name}.type value.${name}) (filter (name: value ? ${name}) known);

  show = value: if elem (typeOf value) [ "int" "float" "string" ] then toJSON value else nouns.${typeOf value};

  # What equals the default says nothing. An empty record does not equal it:
  # `deploy = { }` deploys with every default.
  says = field: value: !(field ? default) || value != field.default;

  prune = type: value:
    if value == null then null
    else if type.kind == "list" then map (prune type.of) value
    else if type.kind == "table" then mapAttrs (_: prune type.of) value
    else if type.kind == "record" then
      let
        kept = filter (name: value ? ${name} && says type.fields.${name} value.${name}) (attrNames type.fields);
      in
      listToAttrs (map (name: { inherit name; value = prune type.fields.${name}.type value.${name}; }) kept)
    else value;

  evaluated = (lib.evalModules {
    modules = [ ./options.nix ] ++ (if isList registry then registry else [ registry ]);
  }).config;

  problems = check "$" schema registry;
in
if lib != null then prune schema evaluated
else if problems == [ ] then prune schema registry
else throw "the registry is wrong: ${concatStringsSep "; " problems}"
