#!/usr/bin/env bash
# Shows homelab at work on a copy of examples/homelab: make demo.
#
#   examples/demo.sh BIN    BIN has the programs homelab and mcpclient
#
# It checks what it shows, and exits with 1 when something else comes out than
# it says. KEEP=1 keeps the copy. It needs root: it starts Docker engines of its
# own, in namespaces of their own, so that it meets nothing of this machine, and
# nothing of it is left.
set -euo pipefail

if [ $# != 1 ] || [ "$(id -u)" != 0 ]; then
  echo "demo: run it as root, with the folder of the programs: sudo make demo" >&2
  exit 5
fi
if [ -z "${INSIDE:-}" ]; then
  INSIDE=1 exec unshare --mount --net --pid --fork --mount-proc --kill-child "$0" "$@"
fi
PATH=$PATH:/usr/sbin:/sbin # where servers are, and not every root looks

bin=$(cd "$1" && pwd)
example=$(cd "$(dirname "${BASH_SOURCE[0]}")/homelab" && pwd)
scratch=$(cd "$(mktemp -d)" && pwd -P)
lab=$scratch/homelab

cleanup() {
  stop_engines
  if [ -n "${KEEP:-}" ]; then
    echo
    rm -rf "$scratch"/docker* "$scratch"/nas* # they ended with the engines
    echo "The copy is kept, without its Docker engines: cd $lab"
  else
    rm -rf "$scratch"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM # the first process of a namespace has no default for them

# Nothing of whoever runs this shows through, and nothing stays behind.
for variable in $(compgen -e | grep -E '^(HOMELAB_|GIT_|DOCKER_|NIX_.*_TARGET$)' || true); do unset "$variable"; done
export XDG_CACHE_HOME=$scratch/cache HOMELAB_STATE=$scratch/state
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
export GIT_AUTHOR_NAME=Robin GIT_AUTHOR_EMAIL=robin@example.org
export GIT_COMMITTER_NAME=Robin GIT_COMMITTER_EMAIL=robin@example.org
export PATH=$bin:$PATH

declare -A engines=() # their processes, by name
start_engine() { # NAME BRIDGE COMMAND…: it is started by the command
  local name=$1 bridge=$2 _
  shift 2
  TMPDIR=$scratch setsid "$@" dockerd --data-root "$scratch/$name" --exec-root "$scratch/$name.exec" --pidfile "$scratch/$name.pid" \
    --host "unix://$scratch/$name.sock" --bip "$bridge" >"$scratch/$name.log" 2>&1 &
  engines[$name]=$!
  for _ in $(seq 300); do
    ! docker --host "unix://$scratch/$name.sock" version >/dev/null 2>&1 || return 0
    kill -0 "${engines[$name]}" 2>/dev/null || break
    sleep 0.1
  done
  cat "$scratch/$name.log" >&2
  unexpected "the Docker engine did not start"
}

# The containers end with the engine's namespaces; it unmounts what it mounted.
stop_engines() {
  local name
  for name in "${!engines[@]}"; do
    export DOCKER_HOST=unix://$scratch/$name.sock
    docker ps --quiet 2>/dev/null | xargs --no-run-if-empty docker kill >/dev/null || true
    kill "${engines[$name]}" && wait "${engines[$name]}" || true
  done
  engines=()
}

# start_nas starts another host: an engine in a network of its own, with a cable to this
# one, and ssh. The ssh command is the user's, with nothing of the user's configuration.
nas=10.231.10.2
start_nas() {
  start_engine nas 10.231.9.1/24 unshare --net sh -c 'ip link set lo up && exec "$@"' sh
  local inside=(nsenter "--net=/proc/${engines[nas]}/ns/net")
  ip link add cable type veth peer name cable netns "${engines[nas]}"
  ip address add 10.231.10.1/24 dev cable
  ip link set cable up
  "${inside[@]}" ip address add $nas/24 dev cable
  "${inside[@]}" ip link set cable up
  mkdir -p /run/sshd "$scratch/ssh" "$scratch/bin"
  (
    cd "$scratch/ssh"
    ssh-keygen -q -t ed25519 -N '' -C '' -f host
    ssh-keygen -q -t ed25519 -N '' -C '' -f client
    cp client.pub authorized
    echo "$nas $(cat host.pub)" >known_hosts
    printf '%s\n' "ListenAddress $nas" "HostKey $PWD/host" "AuthorizedKeysFile $PWD/authorized" 'PidFile none' \
      'PermitRootLogin prohibit-password' 'PasswordAuthentication no' 'StrictModes no' 'UsePAM no' >sshd_config
    printf '%s\n' 'Host *' "IdentityFile $PWD/client" 'IdentitiesOnly yes' "UserKnownHostsFile $PWD/known_hosts" >config
    printf '#!/bin/sh\nexec %s -F %s "$@"\n' "$(command -v ssh)" "$PWD/config" >"$scratch/bin/ssh"
  )
  chmod 755 "$scratch/bin/ssh"
  PATH=$scratch/bin:$PATH
  setsid "${inside[@]}" "$(command -v sshd)" -D -e -f "$scratch/ssh/sshd_config" 2>"$scratch/ssh/log" & # it ends with the demo
  local _
  for _ in $(seq 100); do
    ! ssh root@$nas true 2>/dev/null || return 0
    sleep 0.1
  done
  cat "$scratch/ssh/log" >&2
  unexpected "the ssh server did not start"
}

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

step=0
heading() {
  step=$((step + 1))
  printf '\n%s%d. %s%s\n' "$bold" $step "$1" "$plain"
  shift
  [ $# = 0 ] || printf '   %s\n' "$@"
}

command_line() { printf '\n%s$ %s%s\n' "$dim" "$*" "$plain"; }

# show runs a command as a person would. It runs it once more to keep what it
# says for what is expected of it, because in a pipe it has no colours.
show() {
  command_line "$@"
  said=$("$@")
  "$@"
}

# show_once is show for what does something: it is run once.
show_once() {
  command_line "$@"
  local status=0
  said=$("$@" 2>&1) || status=$?
  echo "$said"
  return $status
}

# show_line is show for a line of shell.
show_line() {
  command_line "$1"
  said=$(eval "$1")
  echo "$said"
}

unexpected() {
  printf '\ndemo: %s\n' "$*" >&2
  exit 1
}

expect() {
  local text
  for text in "$@"; do
    [[ $said == *"$text"* ]] || unexpected "the output above should say: $text"
  done
}

# expect_rebuild SERVICE…: the last plan rebuilds these, and no other.
expect_rebuild() {
  local rebuilt
  rebuilt=$(awk '$2 == "rebuild" { print $1 }' <<<"$said" | xargs)
  [ "$rebuilt" = "$*" ] || unexpected "the plan above should rebuild \"$*\", not \"$rebuilt\""
}

# commit MESSAGE: the dates are always the same, and so are the ids.
hour=8
commit() {
  hour=$((hour + 1))
  printf -v GIT_AUTHOR_DATE '2026-03-01T%02d:00:00Z' $hour
  export GIT_AUTHOR_DATE GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
  git add --all
  git commit --quiet --message "$1"
}

edit() { # FILE SED-SCRIPT
  sed "$2" "$1" >"$scratch/edited"
  ! cmp -s "$1" "$scratch/edited" || unexpected "nothing to edit in $1"
  cat "$scratch/edited" >"$1"
}

changed() {
  git diff --unified=0 | sed -n -e 's|^+++ b/|   |p' -e '/^+++/d' -e '/^---/d' -e 's/^[+-]/     &/p'
}

ip link set lo up
start_engine docker 10.231.8.1/24
export DOCKER_HOST=unix://$scratch/docker.sock DOCKER_CONFIG=$scratch
cp -R "$example" "$lab"
cd "$lab"
git init --quiet --initial-branch=main
commit "Home Assistant, Prometheus and Grafana"
edit services/home-assistant/scenes.yaml 's/brightness: 30/brightness: 20/'
commit "Dim the lights for films"
edit services/grafana/dashboards/house.json 's/"refresh": "1m"/"refresh": "5m"/'
commit "Refresh the screen in the hall less often"

heading "A homelab in a git repository" \
  "Three services, one way to make their images, and a registry that says what belongs to what."
show git log --oneline
show homelab registry list
expect "3 services in flake .#homelab"

heading "Nothing is edited, so nothing is to be rebuilt" \
  "What the containers run on, homelab asks the Docker engine. This one was started for the demo."
show homelab plan
expect_rebuild

heading "One service is edited" \
  "Prometheus asks every minute from now on."
edit services/prometheus/prometheus.yml 's/scrape_interval: 30s/scrape_interval: 60s/'
changed
show homelab plan
expect_rebuild grafana prometheus
expect "depends on prometheus"
printf '\n   Grafana joins in because it depends on Prometheus. Home Assistant is left alone.\n'
commit "Ask every minute"

heading "What all of them share is edited" \
  "How an image is made concerns every service."
edit modules/oci/init.sh 's/"started /"up since /'
changed
show homelab plan
expect_rebuild grafana home-assistant prometheus
expect "modules/oci/init.sh modified (a global hint)"
git restore .

heading "A pull request" \
  "The branch \"film-night\" edits Home Assistant; main has moved on in the meantime."
git switch --quiet --create film-night HEAD~1
edit services/home-assistant/scenes.yaml 's/media_player.tv: "on"/media_player.projector: "on"/'
commit "Films are for the projector"
show git log --oneline --graph --all
show homelab plan --base main --merge-base
expect_rebuild home-assistant
printf '\n   What main did to Prometheus is not the doing of this branch, and does not count.\n'

heading "Is the registry right?" \
  "A plan is as good as the hints in it. Here is one with a slip of the pen."
edit registry.nix 's|"services/grafana"|"services/grafna"|'
changed
show homelab registry check
expect "grafana: services/grafna" "services/grafana: 2 files"
git restore .

heading "The image is built" \
  "For the system that the containers run on, with Nix. What is in the store already is not built again."
edit services/home-assistant/scenes.yaml "1s/^/# At $(date +%s), so that there is something to build.\n/"
changed
show_once homelab build --base main --merge-base
expect "1 service: 1 built" "homelab/home-assistant:latest" "sha256:"
show homelab build --base main --merge-base
expect "1 service: 1 cached"

git commit --quiet --all --message "Brighter scenes"
git switch --quiet main

heading "Onto the host" \
  "First homelab says what would happen, and does nothing. What was said, and only that, is then confirmed."
show_once homelab deploy
expect "3 services: 3 to create" "Nothing was done" "homelab-grafana is attached, durable"
id=$(grep -o -- '--confirm [0-9a-f]*' <<<"$said" | cut -d ' ' -f 2)
show_once homelab deploy --confirm "$id"
expect "3 services: 3 deployed"
show homelab status
expect "3 services: 3 running"
show_line 'curl --silent http://localhost:3000/dashboards/house.json | grep refresh'
expect '"refresh": "5m"'

heading "The next version" \
  "The screen in the hall looks more often again. Only Grafana is built, loaded and replaced: the others go on."
edit services/grafana/dashboards/house.json 's/"refresh": "5m"/"refresh": "30s"/'
changed
show_once homelab deploy --yes
expect "1 service: 1 to replace" "downtime: a restart" "homelab-grafana is kept, durable" "1 service: 1 deployed" "in place of 1"
show_line 'curl --silent http://localhost:3000/dashboards/house.json | grep refresh'
expect '"refresh": "30s"'
commit "Look more often"

heading "A version that does not come up" \
  "A slip in its configuration, and Grafana ends at once. What ran before runs again, and the answer says why."
edit services/grafana/grafana.ini 's/^http_port = 3000$/http_port 3000/'
changed
! show_once homelab deploy --yes || unexpected "this version should have failed"
expect "1 service: 1 failed" "it ended with status 1; the version before runs" "these lines cannot be understood"
show homelab status grafana
expect "1 running" "generation 2"
show curl --silent http://localhost:3000/api/health
expect ok
git restore .

heading "The same from an agent" \
  "An MCP client starts \`homelab mcp\`, asks for its tools and calls them: plan, then deploy, which" \
  "previews what that plan leads to, then deploy with the preview confirmed, and status."
edit services/home-assistant/scenes.yaml "1s/^/# At $(date +%s), so that there is something to build.\n/"
changed
calls=(plan '{}' deploy '{"planId":"$planId"}' deploy '{"confirm":"$previewId","background":true}' job_get '{"id":"$jobId","wait":50}' status '{}')
command_line "mcpclient ${calls[*]@Q} -- homelab mcp"
said=$(mcpclient "${calls[@]}" -- homelab mcp)
echo "$said"
expect "1 of 3 services to rebuild" "home-assistant: rebuild" "home-assistant: replace pending" "being deployed by job" \
  "succeeded" "home-assistant: replace deployed" "3 services: 3 running"

heading "An agent breaks it, and goes back" \
  "The same slip as before: the agent is told why, and what ran goes on. Then it goes back to the first" \
  "version of Grafana, on purpose, which is previewed and confirmed as well."
edit services/grafana/grafana.ini 's/^http_port = 3000$/http_port 3000/'
calls=(deploy '{"services":["grafana"]}' deploy '{"services":["grafana"],"confirm":"$previewId"}'
  rollback '{"service":"grafana"}' rollback '{"service":"grafana","confirm":"$previewId"}' status '{"services":["grafana"]}')
command_line "mcpclient ${calls[*]@Q} -- homelab mcp"
said=$(mcpclient "${calls[@]}" -- homelab mcp)
echo "$said"
expect "1 service: 1 failed" "the version before runs" "these lines cannot be understood" "1 service: 1 to go back" "1 service: 1 deployed" "grafana: rollback deployed" "running grafana on local: generation 1"
show_line 'curl --silent http://localhost:3000/dashboards/house.json | grep refresh'
expect '"refresh": "5m"'
git restore .
printf '\n   All of it is on record:\n'
show homelab job list
expect "succeeded" "failed" "rollback"

heading "What it must not lose" \
  "Home Assistant writes its history all the time. A bundle of it is copied while it runs; it is stopped" \
  "for the last changes alone, and runs again before the bundle is written. Then every byte of that is read."
mkdir "$scratch/bundles"
edit registry.nix "s|restore = \"Unplug|stores = [ \"$scratch/bundles\" ];\n        restore = \"Unplug|"
commit "Keep bundles of Home Assistant"
docker exec --detach home-assistant sh -c 'i=0; while :; do i=$((i+1)); echo $i >>/config/history; done'
show_once homelab state bundle ha
expect "bundle 20" "s without the service" "consistency: stop"
id=$(grep -o '[0-9]*T[0-9]*Z-[0-9a-f]*' <<<"$said" | head -n 1)
show_once homelab state verify "$id" --deep
expect "is what was written" "holds homelab-home-assistant" "after a restore, preserve Zigbee network key"
show homelab state list
expect "1 bundle" "verified 20"
show homelab status ha
expect "1 running"
printf '\n   It is one file, and nothing of homelab is needed to get at what is in it:\n'
show_line "zstd -dc $scratch/bundles/home-assistant/$id.bundle | tar --list"
expect manifest.json items/0/history index.json

heading "A bundle that was never tried" \
  "A copy of Home Assistant is started with it, in a network that leads nowhere, and has to be healthy." \
  "The one that runs knows nothing of it, and nothing of the copy is left."
show_once homelab state drill "$id"
expect "home-assistant is healthy with bundle $id" "every byte was read and is right"

heading "The worst day" \
  "Containers and volume are gone. The bundle brings the state back, and deploy the service."
show_line 'docker ps --all --quiet --filter label=homelab.service=home-assistant | xargs docker rm --force'
show_once docker volume rm homelab-home-assistant
show_once homelab state restore "$id" --yes
expect "restored the state of home-assistant" "to do: Zigbee network key is restored with it"
show_once homelab deploy home-assistant --yes
expect "1 service: 1 deployed"
kept=$(docker exec home-assistant cat /config/history | wc -l)
printf '\n   %s lines of its history are there.\n' "$kept"
[ "$kept" -gt 0 ] || unexpected "the history should be there"

heading "A mistake, and one that is taken back" \
  "The history is overwritten, and restored while Home Assistant is stopped for a moment. What was there" \
  "is kept aside: the restore can be undone, too."
docker exec home-assistant sh -c 'echo oops >/config/history'
show_once homelab state restore "$id" --yes
expect "s without the service" "kept aside"
restore=$(grep -o -- '--undo [0-9TZ]*-[0-9a-f]*' <<<"$said" | head -n 1 | cut -d ' ' -f 2)
[ "$(docker exec home-assistant cat /config/history | wc -l)" = "$kept" ] || unexpected "the history should be that of the bundle"
show_once homelab state restore --service ha --undo "$restore" --yes
expect "put back the state of home-assistant"
show docker exec home-assistant cat /config/history
expect oops

heading "Another host" \
  "A second Docker engine, behind ssh. Home Assistant moves there, while it writes: its state is copied" \
  "as it runs, and it is away for the last changes alone. Until it is healthy there it is not moved."
start_nas
edit registry.nix "s|^  hosts.pi = {|  hosts.nas = { docker = \"ssh://root@$nas$scratch/nas.sock\"; system = \"$(uname -m)-linux\"; };\n\n&|"
commit "A NAS, at last"
docker exec --detach home-assistant sh -c 'i=0; while :; do i=$((i+1)); echo $i >>/config/history; done'
show_once homelab state migrate ha --to-host nas --yes
expect "moved home-assistant from local to nas" "s without the service" 'set services.home-assistant.deploy.host = "nas"'
was=$(wc -l <"$scratch/docker/volumes/homelab-home-assistant/_data/history")
there=$(docker --host "unix://$scratch/nas.sock" exec home-assistant cat /config/history | wc -l)
[ "$was" = "$there" ] && [ "$there" -gt 1 ] || unexpected "all $was lines should be there, not $there"
printf '\n   All %s lines that it had written are there. The registry follows:\n' "$there"
edit registry.nix 's|ports = \[ "8123:8123" \];|host = "nas"; &|'
changed
show homelab status
expect "3 running"
show curl --silent http://$nas:8123/manifest.json
commit "Home Assistant lives on the NAS"
show_once homelab deploy home-assistant
expect "1 as it is to be"
show homelab status home-assistant
expect "generation 2"
show_line 'docker ps --all --filter label=homelab.service=home-assistant --format "{{.Names}}: {{.Status}}"'
expect "-moved-to-nas: Exited"

heading "Your own homelab" \
  "examples/homelab/README.md tells how to start from this one."
