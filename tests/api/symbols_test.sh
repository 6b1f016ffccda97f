#!/bin/sh
# The library exports what the list says, and each is declared in an installed header.
# symbols_test.sh LIBRARY LIST HEADERS...
set -eu
library=$1
list=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$library" | awk '{print $3}' | LC_ALL=C sort >"$work/exported"
diff -u "$list" "$work/exported" >&2 || {
  echo "The exported symbols are not those of $list: one that is gone breaks applications." >&2
  exit 1
}
# The type macro declares its get_type function without spelling it.
for symbol in $(grep -v '_session_get_type$' "$list"); do
  grep -q "[ *]$symbol(" "$@" || {
    echo "$symbol is exported, but no header declares it." >&2
    exit 1
  }
done
