#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Removes what install.sh made below PREFIX (and DESTDIR), directories included, and nothing else.
set -euo pipefail

prefix=${PREFIX:-/usr/local}
stage=${DESTDIR:-}
base=$stage$prefix/lib/orlop

[ -d "$base" ] || { echo "uninstall: $base: nothing is installed there" >&2; exit 1; }
for name in orlop containerd-shim-orlop-v1 orlopd orlopctl; do
    link=$stage$prefix/bin/$name
    if [[ $(readlink "$link") = ../lib/orlop/* ]]; then
        rm "$link"
    fi
done
if [ -f "$base/.documents" ]; then # man pages and completion
    while read -r file; do
        rm -f "$stage$prefix/$file"
    done <"$base/.documents"
fi
made=()
[ ! -f "$base/.made" ] || mapfile -t made <"$base/.made"
rm -rf "$base"
# Innermost first. One that has other things in it by now stays.
for ((i = ${#made[@]} - 1; i >= 0; i--)); do
    directory=$stage${made[i]}
    [ ! -d "$directory" ] || rmdir --ignore-fail-on-non-empty "$directory"
done
echo "removed $prefix/bin/orlop and $prefix/lib/orlop"
