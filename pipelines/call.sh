# shellcheck shell=bash
# Sourced by the scripts in this folder. `use_call FILE` takes the JSON that says which call to join
# (endpoint, session_id, token, user_id, guild_id, channel_id; discord-loopback prints one) and sets
# `source` to the source element with its properties. The token goes into a file that only its owner
# can read, since everybody can read the arguments of a program.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${DISCORD_BUILD_DIR:-$root/build}
export GST_PLUGIN_PATH="$build/elements${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}"
if [ -x "$build/gst/worker/gst-discord-worker" ]; then
  export GST_DISCORD_WORKER=${GST_DISCORD_WORKER:-$build/gst/worker/gst-discord-worker}
fi

use_call() {
  if [ ! -r "${1:-}" ]; then
    printf 'usage: %s CALL.json %s\n' "$0" "${usage:-}" >&2
    printf 'CALL.json holds endpoint, session_id, token, user_id, guild_id and channel_id.\n' >&2
    exit 2
  fi
  secrets=$(mktemp -d)
  trap 'rm -rf "$secrets"' EXIT
  mapfile -t source < <(python3 - "$1" "$secrets/token" <<'PY'
import json
import os
import sys

with open(sys.argv[1]) as file:
    call = json.loads(file.readline())
with os.fdopen(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as token:
    token.write(call["token"])
print("discordvoicesrc")
for key in ("endpoint", "session_id", "user_id", "guild_id", "channel_id"):
    print(f"{key.replace('_', '-')}={call[key]}")
print(f"token-file={sys.argv[2]}")
if call.get("tls_ca_file"):
    print(f"tls-ca-file={call['tls_ca_file']}")
PY
  )
  [ "${#source[@]}" -gt 5 ] || exit 1
}

# Runs a pipeline until it ends or Ctrl-C, and lets it finish its files; with an empty `eos` it just
# ends, since a branch that got no pad never hears of the end.
launch() {
  local status=0
  # shellcheck disable=SC2086  # set and empty: nothing
  gst-launch-1.0 -q ${eos--e} "$@" &
  child=$!
  trap 'kill -INT $child 2>/dev/null' INT TERM
  # A signal ends the waiting, not the pipeline.
  while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
  done
  return "$status"
}
