# Describes attributes below the value root: a list of records, one for each of
# paths, which are lists of names. Errors that can be caught are, unless told
# otherwise: they have lost their message.
{ root, paths, catch }:
let
  find = value: path: depth:
    if path == [ ] then describe value
    else if !builtins.isAttrs value then { missing = depth; names = [ ]; }
    else if !(value ? ${builtins.head path}) then { missing = depth; names = builtins.attrNames value; }
    else find value.${builtins.head path} (builtins.tail path) (depth + 1);

  text = value: if builtins.isString value then value else "";

  describe = value:
    if (value.type or null) != "derivation" then { kind = builtins.typeOf value; }
    else {
      drv = value.drvPath;
      out = value.outPath;
      output = value.outputName or "out";
      name = text (value.name or "");
      system = value.system;
      imageName = text (value.imageName or "");
      imageTag = text (value.imageTag or "");
      executable = (value.isExe or false) == true;
    };

  attempt = path:
    let
      result = find root path 1;
      caught = builtins.tryEval (builtins.deepSeq result result);
    in
    if !catch then result
    else if caught.success then caught.value
    else { failed = true; };
in
# A package may have answered for an output of its name.
if (root.type or null) == "derivation" && builtins.any (path: path != [ ]) paths then { shadowed = true; }
else { found = map attempt paths; }
