# shellcheck shell=bash
# Sourced by what must work from nothing: installs the packages that are missing and builds.
# Functions only; the caller decides. Progress goes to standard error.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${DISCORD_BUILD_DIR:-$root/build}

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
  local package
  grep -v -e '^#' -e '^$' "$root/packages.txt" | while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s\n' "$package"
  done
}

install_packages() {
  local -a packages as_root=()
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" -eq 0 ] && return 0
  say "Installing ${#packages[@]} Debian packages: ${packages[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "That needs root. As root, run: apt-get install ${packages[*]}"
      return 1
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq >&2 || say "The package lists could not be renewed; trying with the ones there are."
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2 || {
    say "The packages could not be installed; apt-get says why above."
    return 1
  }
}

# Under sudo only the installation needs root: build and recordings belong to the person who asked.
drop_sudo() {
  if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
    exec runuser -u "$SUDO_USER" -- "$@"
  fi
}

build_project() {
  if [ ! -f "$build/build.ninja" ]; then
    say "Configuring ..."
    meson setup "$build" "$root" >"${TMPDIR:-/tmp}/gst-discord-meson.$$" 2>&1 || {
      cat "${TMPDIR:-/tmp}/gst-discord-meson.$$" >&2
      rm -f "${TMPDIR:-/tmp}/gst-discord-meson.$$"
      return 1
    }
    rm -f "${TMPDIR:-/tmp}/gst-discord-meson.$$"
  fi
  say "Building in $build ..."
  if [ -t 2 ]; then
    ninja -C "$build" "$@" >&2
  else
    ninja --quiet -C "$build" "$@" >&2
  fi
}
