#!/bin/sh
# Installs into a temporary folder and looks at the result as GStreamer and the linker do.
# install_test.sh BUILD_FOLDER PLUGIN_FOLDER
set -eu
build=$1
plugins=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

fail() {
  echo "$*" >&2
  exit 1
}

DESTDIR=$root meson install -C "$build" --no-rebuild >"$root/log" 2>&1 || {
  cat "$root/log" >&2
  fail "meson install failed"
}
plugin=$root$plugins/libgstdiscord.so
[ -f "$plugin" ] || fail "the plugin is not installed at $plugins"

export GST_PLUGIN_SYSTEM_PATH_1_0= GST_PLUGIN_SYSTEM_PATH=
export GST_PLUGIN_PATH_1_0="$root$plugins" GST_PLUGIN_PATH="$root$plugins"
export GST_REGISTRY_1_0="$root/registry" GST_REGISTRY="$root/registry"
for element in discordvoicesrc discorddecrypt discordreorder discordssrcdemux discordrecordsink; do
  gst-inspect-1.0 "$element" >"$root/inspect" 2>&1 || {
    cat "$root/inspect" >&2
    fail "$element is not found when only the installed folder is searched"
  }
  grep -q "$plugin" "$root/inspect" || fail "$element does not come from the installed plugin"
done

exported=$(nm -D --defined-only "$plugin" | awk '{print $3}' | sort | tr '\n' ' ')
[ "$exported" = "gst_plugin_discord_get_desc gst_plugin_discord_register " ] ||
  fail "the plugin exports more or less than its two entry points: $exported"
