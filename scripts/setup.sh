#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the machine and the private environment .venv ready: `setup.sh run` for building and
# running, `setup.sh test` for the tests' tools on top, `setup.sh engines` for the engines that
# drive the runtime in tests, `setup.sh fuzz` for Debian's clang, on top of those. Idempotent; the
# second time it is quick.
#
# What is missing is found by probing, not by asking dpkg, so that a machine without apt is told
# what to get. PYTHON=... chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

has_header() { printf '#include <%s>\n' "$1" | gcc -E -x c - >/dev/null 2>&1; }

# The demonstration's and the tests' root file systems hold one program and no libraries.
has_static_busybox() { command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

has_static_libc() { printf 'int main(void){return 0;}' | gcc -static -x c -o /dev/null - 2>/dev/null; }

# The machine's own interpreter first: one under somebody's home directory can't be executed by
# other users, whose rootless containers use the same environment.
interpreter() {
    local candidate
    for candidate in "${PYTHON:-/usr/bin/python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
        [ -z "${PYTHON:-}" ] || die "$PYTHON: not a Python 3.11 or newer"
    done
    return 1
}

# Prints the Debian packages that are needed for $1 and not there.
missing() {
    local python
    command -v gcc >/dev/null || echo gcc
    has_static_libc || echo libc6-dev    # libc.a: orlop-init is static
    has_header seccomp.h || echo libseccomp-dev
    has_header sys/capability.h || echo libcap-dev    # python-prctl is built on it
    has_static_busybox || echo busybox-static
    if python=$(interpreter); then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
        has_header "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ||
            echo python3-dev
    else
        echo python3 python3-venv python3-dev
    fi
    if [ "$1" = fuzz ]; then
        command -v clang-14 >/dev/null || echo clang-14 libclang-rt-14-dev    # libFuzzer
        command -v clang-tidy-14 >/dev/null || echo clang-tidy-14
    fi
    if [ "$1" != run ]; then
        command -v shellcheck >/dev/null || echo shellcheck
        command -v cppcheck >/dev/null || echo cppcheck
        command -v criu >/dev/null || echo criu    # checkpoint and restore
        command -v newuidmap >/dev/null || echo uidmap    # id maps of rootless containers
        command -v groff >/dev/null || echo groff-base    # sets the man pages
        command -v zsh >/dev/null || echo zsh    # completion is asked of the shells themselves
        command -v fish >/dev/null || echo fish
    fi
    [ "$1" != engines ] || missing_engines
}

# The distribution's own: a machine may have another docker client in /usr/local.
missing_engines() {
    local PATH=/usr/sbin:/usr/bin:/sbin:/bin
    command -v containerd >/dev/null || echo containerd
    command -v dockerd >/dev/null || echo docker.io
    command -v podman >/dev/null || echo podman
    command -v buildah >/dev/null || echo buildah
    command -v slirp4netns >/dev/null || echo slirp4netns    # networks of rootless Podman
    [ -x /usr/lib/podman/netavark ] || echo netavark
    [ -x /usr/libexec/podman/catatonit ] || echo catatonit    # podman run --init, and pods
    command -v runc >/dev/null || echo runc    # what orlop is compared with
    command -v tini >/dev/null || echo tini
    command -v ip >/dev/null || echo iproute2
    command -v iptables >/dev/null || echo iptables
}

# Packages that bring a service would start it: invoke-rc.d(8) asks this file first.
without_services() {
    if [ -e /usr/sbin/policy-rc.d ]; then
        "$@"
        return
    fi
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    "$@"
    rm /usr/sbin/policy-rc.d
    trap - EXIT
}

install_packages() {
    command -v apt-get >/dev/null || die "missing: $* (Debian's names; no apt-get here, install them and try again)"
    [ "$(id -u)" = 0 ] || die "missing: $* (run as root once, or: apt-get install $*)"
    echo "setup: installing $*"
    # --no-remove: never trade a package of the machine's owner for one of ours.
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --no-remove install)
    "${apt[@]}" "$@" >/dev/null 2>&1 || {
        apt-get -qq update
        "${apt[@]}" "$@" >/dev/null
    }
}

# Prints the requirements in pyproject.toml: to build, to run, and but for `run` the tests' tools.
requirements() {
    .venv/bin/python - "$1" <<'PY'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    settings = tomllib.load(file)
project = settings["project"]
print(*settings["build-system"]["requires"], *project["dependencies"], sep="\n")
if sys.argv[1] != "run":
    print(*project["optional-dependencies"]["dev"], sep="\n")
PY
}

main() {
    local purpose=${1:-run} packages python
    mapfile -t packages < <(missing "$purpose" | tr ' ' '\n')
    [ ${#packages[@]} = 0 ] || without_services install_packages "${packages[@]}"
    python=$(interpreter) || die "no Python 3.11 or newer"
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "setup: making .venv with $python"
        "$python" -m venv --clear .venv
    fi
    mapfile -t packages < <(requirements "$purpose")
    echo "setup: Python packages"
    # --use-pep517: Debian 12's pip would build old-style packages in a way it then warns of.
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install -qq --use-pep517 "${packages[@]}"
    # A client of another language for orlopd's tests. Debian's npm is hundreds of packages: it is
    # not installed for this alone, and the test says that it lacks it.
    if [ "$purpose" != run ] && command -v npm >/dev/null && [ ! -d .venv/node_modules/json-rpc-2.0 ]; then
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv json-rpc-2.0@1.7.1 >/dev/null
    fi
    case $purpose in
        run) touch .venv/.ready ;;
        test) touch .venv/.tools ;;
        engines) touch .venv/.engines ;;
    esac
}

main "$@"
