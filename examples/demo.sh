#!/usr/bin/env bash
# Shows homelab at work on a copy of examples/homelab: make demo.
#
#   examples/demo.sh BIN    BIN has the programs homelab and mcpclient
#
# It checks what it shows, and exits with 1 when something else comes out than
# it says. KEEP=1 keeps the copy.
set -euo pipefail

bin=$(cd "$1" && pwd)
example=$(cd "$(dirname "${BASH_SOURCE[0]}")/homelab" && pwd)
scratch=$(cd "$(mktemp -d)" && pwd -P)
lab=$scratch/homelab

cleanup() {
  if [ -n "${KEEP:-}" ]; then
    echo
    echo "The copy is kept: cd $lab"
  else
    rm -rf "$scratch"
  fi
}
trap cleanup EXIT

# Nothing of whoever runs this shows through, and nothing stays behind.
for variable in $(compgen -e | grep -E '^(HOMELAB_|GIT_|NIX_.*_TARGET$)' || true); do unset "$variable"; done
export XDG_CACHE_HOME=$scratch/cache HOMELAB_STATE=$scratch/state
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
export GIT_AUTHOR_NAME=Robin GIT_AUTHOR_EMAIL=robin@example.org
export GIT_COMMITTER_NAME=Robin GIT_COMMITTER_EMAIL=robin@example.org
export PATH=$bin:$PATH

# What a running Docker engine would be asked: what the containers run on.
case $(uname -m) in
  arm64 | aarch64) export HOMELAB_SYSTEM=aarch64-linux ;;
  *) export HOMELAB_SYSTEM=x86_64-linux ;;
esac

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
  "What the containers run on is said here. Left out, homelab asks the Docker engine."
command_line "export HOMELAB_SYSTEM=$HOMELAB_SYSTEM"
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

heading "The same from an agent" \
  "An MCP client starts \`homelab mcp\`, asks for its tools and calls them: plan, then build in the" \
  "background, which must still be that plan, then job_get until the job is over."
edit services/home-assistant/scenes.yaml "1s/.*/# At $(date +%s), and once more./"
changed
question='"base":"main","mergeBase":true'
calls=(plan "{$question}" build "{$question,\"planId\":\"\$planId\",\"background\":true}" job_get '{"id":"$jobId","wait":50}')
command_line "mcpclient ${calls[*]@Q} -- homelab mcp"
said=$(mcpclient "${calls[@]}" -- homelab mcp)
echo "$said"
id=$(homelab plan --base main --merge-base --json | sed -n 's/^  "planId": "\(.*\)",$/\1/p')
[ ${#id} = 64 ] || unexpected "homelab plan --json should have a planId"
expect "$id" "1 of 3 services to rebuild" "home-assistant: rebuild" "being built by job" "succeeded" "home-assistant: built sha256:"
printf '\n   Same question, same answer, same planId as on the command line. And the job is on record:\n'
show homelab job list
expect "succeeded"

heading "Your own homelab" \
  "examples/homelab/README.md tells how to start from this one."
