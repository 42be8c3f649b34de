#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into PREFIX (/usr/local), staged below DESTDIR if that is set:
#   PREFIX/lib/orlop/VERSION[.N]/   one installation: packages, their dependencies, the programs orlop
#                                   (native), orlop-cold (the same work without a warm planner),
#                                   containerd-shim-orlop-v1 and -cold, orlopd and orlopctl
#   PREFIX/bin/...                  links to the newest installation's programs, but those in -cold
#   PREFIX/share/...                man pages, completion for bash, zsh and fish, and a sample of
#                                   orlopd.toml, of the newest
#   PREFIX/lib/systemd/system/...   its units
#
# An installation is never changed once it is linked. The same version again becomes VERSION.1,
# VERSION.2, ...: a shim that lives for months imports modules late, and must get those of the
# version that it began with. What no process uses any more is removed by the next install.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
[[ $prefix = /* ]] || { echo "install: PREFIX: $prefix: not an absolute path" >&2; exit 1; }
base=$prefix/lib/orlop
stage=${DESTDIR:-}
umask 022

work=$(mktemp -d)
new=
trap 'rm -rf "$work" ${new:+"$new"}' EXIT

# The directories that install has to make, outermost first: uninstall removes these and no others.
made=()
make_directory() {
    [ ! -d "$stage$1" ] || return 0
    make_directory "$(dirname "$1")"
    mkdir "$stage$1"
    made+=("$1")
}

note_made() {
    [ ${#made[@]} = 0 ] || printf '%s\n' "${made[@]}" >>"$stage$base/.made"
    made=()
}

# The name for this installation: the version, numbered when that is taken.
vacant() {
    local name=$1 n=0
    while [ -e "$stage$base/$name" ]; do
        n=$((n + 1))
        name=$1.$n
    done
    echo "$name"
}

# Builds in a copy: nothing stale from build/ gets in, and the working tree is not disturbed.
packages_into() {
    tar -c --exclude-vcs --exclude=./.venv --exclude=./.run --exclude=./build --exclude='*.egg-info' \
        --exclude=./tests --exclude='./.*_cache' . | tar -x -C "$work"
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install -qq --use-pep517 \
        --no-build-isolation --no-compile --target "$1" "$work"
    rm -rf "${1:?}/bin"    # the dependencies' programs
    # Tracebacks name the files as they will be, not as staged.
    .venv/bin/python -m compileall -q -j 0 -s "$1" -p "$base/$name/packages" "$1"
}

# Man pages and completion. Those of the installation before are known by .documents, and replaced.
documents_into() {
    local file old=$stage$base/.documents
    for file in "${documents[@]}"; do
        make_directory "$(dirname "$prefix/$file")"
        install -m 644 "$work/documents/$file" "$stage$prefix/$file"
    done
    if [ -f "$old" ]; then # what this version has no more
        while read -r file; do
            rm -f "$stage$prefix/$file"
        done < <(LC_ALL=C comm -23 "$old" <(printf '%s\n' "${documents[@]}"))
    fi
    printf '%s\n' "${documents[@]}" >"$old"
}

# A page or a script of the same name that no installation of ours made is somebody else's.
refuse_foreign_documents() {
    local file
    for file in "${documents[@]}"; do
        if [ -e "$stage$prefix/$file" ] && ! grep -qsxF "$file" "$stage$base/.documents"; then
            echo "install: $stage$prefix/$file: exists, and is not ours" >&2
            exit 1
        fi
    done
}

# Removes installations other than the newest and the one before (a process may have started from
# that a moment ago, with nothing mapped yet) which no process has anything mapped of.
prune() {
    local directory
    for directory in "$stage$base"/*/; do
        directory=${directory%/}
        case ${directory##*/} in "$name" | "$previous") continue ;; esac
        grep -qsF "$directory/" /proc/[0-9]*/maps || rm -rf "$directory"
    done
}

version=$(.venv/bin/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
[ -z "$stage" ] || mkdir -p "$stage"
make_directory "$base"
make_directory "$prefix/bin"
link=$stage$prefix/bin/orlop
shim=$stage$prefix/bin/containerd-shim-orlop-v1
supervisor=$stage$prefix/bin/orlopd
client=$stage$prefix/bin/orlopctl
for program in "$link" "$shim" "$supervisor" "$client"; do
    if [ -e "$program" ] && [[ $(readlink "$program") != ../lib/orlop/* ]]; then
        echo "install: $program: exists, and is not ours" >&2
        exit 1
    fi
done
for package in runtime orlopctl; do
    .venv/bin/python -m "$package.documents" "$work/documents"
done
.venv/bin/python -m supervisor.documents "$work/documents" "$prefix"
mapfile -t documents < <(cd "$work/documents" && find . -type f -printf '%P\n' | LC_ALL=C sort)
refuse_foreign_documents
previous=$(readlink "$link" | cut -d/ -f4 || true)
note_made

name=$(vacant "$version")
new=$stage$base/$name
mkdir "$new" "$new/bin"
packages_into "$new/packages"
mv "$new/packages/native/orlop" "$new/bin/orlop"
cp "$new/bin/orlop" "$new/bin/containerd-shim-orlop-v1" # one program, which goes by its name
for program in orlop shim; do
    scripts/archive.sh "$new/$program.modules" "$program" .venv/bin/python "$base/$name/packages" "$new/packages"
done
launcher() { # NAME [--archive FILE] MODULE
    scripts/launcher.sh "${@:2}" .venv/bin/python "$base/$name/packages" >"$new/bin/$1"
}
launcher orlop-cold --archive "$base/$name/orlop.modules" --short runtime.cli
launcher containerd-shim-orlop-v1-cold --archive "$base/$name/shim.modules" shim.bootstrap
launcher orlopd supervisor.cli
launcher orlopctl orlopctl.cli
chmod 755 "$new"/bin/*
documents_into
note_made
for program in "$shim" "$supervisor" "$client" "$link"; do
    ln -s "../lib/orlop/$name/bin/${program##*/}" "$program.$name"
    mv -T "$program.$name" "$program"    # rename(2): at any moment there is a whole program
done
new=
prune
echo "installed $prefix/bin/orlop ($base/$name)"
