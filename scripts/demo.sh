#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make run`: a bundle with a busybox root file system in .run, and a container that tells what it
# sees; then another through orlopd, over JSON-RPC. The bundle is made once; ./.run/bundle is there to be played with afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

orlop=$PWD/.venv/bin/orlop
bundle=$PWD/.run/bundle

make_rootfs() {
    mkdir -p "$1"/{bin,dev,etc,proc,root,sys,tmp}
    cp "$(command -v busybox)" "$1/bin/busybox"
    local applet
    for applet in $("$1/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\n' >"$1/etc/group"
}

# The default configuration, with a name, a memory limit and a program of our own.
edit_config() {
    .venv/bin/python - "$1" scripts/demo-inside.sh <<'PY'
import json
import sys
from pathlib import Path

config, program = map(Path, sys.argv[1:])
spec = json.loads(config.read_text())
spec["hostname"] = "orlop-demo"
spec["root"]["readonly"] = True
spec["process"]["terminal"] = False
spec["process"]["args"] = ["/bin/sh", "-c", program.read_text()]
spec["linux"].setdefault("resources", {})["memory"] = {"limit": 64 << 20}
# The container sees its own cgroup's files, so that it can tell its limit.
if not any(mount["destination"] == "/sys/fs/cgroup" for mount in spec["mounts"]):
    options = ["nosuid", "noexec", "nodev", "relatime", "ro"]
    cgroup = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    spec["mounts"].append({**cgroup, "options": options})
config.write_text(json.dumps(spec, indent=2))
PY
}

if [ ! -f "$bundle/config.json" ] || [ scripts/demo-inside.sh -nt "$bundle/config.json" ]; then
    rm -rf "$bundle"
    make_rootfs "$bundle/rootfs"
    "$orlop" spec --bundle "$bundle"
    edit_config "$bundle/config.json"
fi

echo "\$ orlop run --bundle ${bundle#"$PWD"/} demo"
"$orlop" run --bundle "$bundle" "demo-$$"
echo
exec .venv/bin/python scripts/demo-rpc.py "$bundle"
