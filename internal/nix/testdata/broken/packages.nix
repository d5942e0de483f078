system:
let
  # A different salt makes different derivations: what was built in another run
  # of the tests does not count.
  salt = builtins.readFile ./salt;

  make = name: script: more: derivation ({
    inherit name system salt;
    builder = "/bin/sh";
    args = [ "-c" script ];
  } // more);

  run = name: script: make name script { };

  elsewhere = if system == "aarch64-linux" then "x86_64-linux" else "aarch64-linux";
in
rec {
  # These are fine.
  good = run "good" "echo hello; echo good >$out";
  loose = run "loose" "echo loose >$out";
  chain = run "chain" "echo chain; read line <${good}; echo $line >$out";
  "with.dot" = run "with.dot" "echo dot >$out";
  "a\${b}" = run "dollar" "echo dollar >$out";
  two = make "two" "echo lib >$lib; echo bin >$bin" { outputs = [ "lib" "bin" ]; };
  nap1 = run "nap1" nap;
  nap2 = run "nap2" nap;
  nap3 = run "nap3" nap;
  nap = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo >$out";
  image = run "ha.tar.gz" "echo image >$out" // { imageName = "homelab/ha"; imageTag = "1.2"; };
  stream = run "stream-ha" "echo stream >$out" // { imageName = "homelab/ha"; imageTag = null; isExe = true; };

  # These do not evaluate.
  throws = throw "not on a Sunday";
  mistyped = run "mistyped" (1 + "one");
  text = "only text";
  set.inner = good;

  # These do not build.
  exits = run "exits" ''
    i=0
    while [ $i -lt 40 ]; do i=$((i+1)); echo "line $i"; done
    printf '\033[31mred\033[0m and bell \007\n' >&2
    exit 3
  '';
  needsExits = run "needs-exits" "echo >$out; read line <${exits}";
  alsoNeedsExits = run "also-needs-exits" "echo >$out; read line <${exits}";
  killed = run "killed" "echo going; kill -9 $$";
  endless = run "endless" "echo begun; (while :; do :; done); echo over"; # in a process of its own
  silent = run "silent" "echo begun; while :; do :; done; echo ${good}";
  chatty = run "chatty" "while :; do echo again; done";
  foreign = make "foreign" "echo >$out" { system = elsewhere; };
  needsForeign = run "needs-foreign" "echo >$out; read line <${foreign}";
  featured = make "featured" "echo >$out" { requiredSystemFeatures = [ "no-such-feature" ]; };
  mismatch = make "mismatch" "echo hello >$out" {
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = "0000000000000000000000000000000000000000000000000000000000000000";
  };
  needsMismatch = run "needs-mismatch" "echo >$out; read line <${mismatch}";
  noOutput = run "no-output" "echo forgot";
  noBuilder = make "no-builder" "" { builder = "/no/such/builder"; };
  # Bounded, for a disk that is larger than it should be: 64 MiB.
  full = run "full" ''
    block=0123456789abcde
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do block=$block$block; done
    i=0
    while [ $i -lt 1024 ] && echo $block; do i=$((i+1)); done >full
    exit 1
  '';
}
