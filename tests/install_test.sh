#!/bin/sh
# Installs into a temporary folder and looks at the result as GStreamer and the linker do.
# install_test.sh BUILD_FOLDER PREFIX LIBRARY_FOLDER
set -eu
build=$1
prefix=$2
libraries=$prefix/$3
plugins=$libraries/gstreamer-1.0
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
for element in discordvoicesrc discorddecrypt discordreorder discordssrcdemux discordrecordsink \
    discordworkerdec; do
  gst-inspect-1.0 "$element" >"$root/inspect" 2>&1 || {
    cat "$root/inspect" >&2
    fail "$element is not found when only the installed folder is searched"
  }
  grep -q "$plugin" "$root/inspect" || fail "$element does not come from the installed plugin"
done

exported=$(nm -D --defined-only "$plugin" | awk '{print $3}' | sort | tr '\n' ' ')
[ "$exported" = "gst_plugin_discord_get_desc gst_plugin_discord_register " ] ||
  fail "the plugin exports more or less than its two entry points: $exported"

# An application builds with what pkg-config says, and runs beside the plugin with one library.
description=$root$libraries/pkgconfig/gstreamer-discord-1.0.pc
[ -f "$description" ] || fail "pkg-config will not find the library: $description"
sed -i "s|^prefix=.*|prefix=$root$prefix|" "$description"
export PKG_CONFIG_PATH="$root$libraries/pkgconfig"
cc -Wall -Wextra -Werror "$root$prefix/share/gst-discord/examples/watch.c" -o "$root/watch" \
  $(pkg-config --cflags --libs gstreamer-discord-1.0) || fail "the installed example does not build"
c++ -std=c++17 -Wall -Wextra -Werror "$root$prefix/share/gst-discord/examples/application.cpp" \
  -o "$root/application" $(pkg-config --cflags --libs gstreamer-discord-1.0) ||
  fail "the installed example in C++ does not build"
LD_LIBRARY_PATH=$root$libraries "$root/watch" "discordssrcdemux ! fakesink" >"$root/watched" 2>&1 && status=0 || status=$?
[ "$status" = 2 ] && [ -s "$root/watched" ] || {
  cat "$root/watched" >&2
  fail "the installed example does not say what is wrong with a pipeline (status $status)"
}
LD_LIBRARY_PATH=$root$libraries ldd "$plugin" | grep -q "$root$libraries/libgstdiscord-1.0.so" ||
  fail "the installed plugin does not use the installed library"
env -u LD_LIBRARY_PATH ldd "$plugin" | grep "libgstdiscord-1.0.so" | grep -q "/" ||
  fail "the installed plugin finds its library only with LD_LIBRARY_PATH"
