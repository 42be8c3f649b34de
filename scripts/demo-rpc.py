# SPDX-License-Identifier: Apache-2.0
"""usage: demo-rpc.py BUNDLE. orlopd, a shim and a container, by JSON-RPC lines over a socket."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LEAVE = {"jsonrpc", "ociVersion", "bundle", "time"}


class Client:
    """A connection that shows what goes over it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw")
        self._id = 0

    def ask(self, method: str, **params: object) -> None:
        """Send a request."""
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        print(f"-> {json.dumps(request)}")
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()

    def hear(self) -> dict[str, Any]:
        """The next line: an answer or an event."""
        message: dict[str, Any] = json.loads(self._lines.readline())
        print(f"<- {json.dumps(short(message))}")
        return message


def short(message: object) -> object:
    """A message without what isn't worth a look."""
    if not isinstance(message, dict):
        return message
    return {name: short(value) for name, value in message.items() if name not in LEAVE}


def print_processes(*pids: int) -> None:
    """Those, and the parent of the last one: the shim."""
    (*others, init) = pids
    parent = int(Path(f"/proc/{init}/stat").read_text().rpartition(") ")[2].split()[1])
    print("$ ps")
    for pid in (*others, parent, init):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        programs = [
            word.decode() for word in words if not word.startswith((b"/usr/bin/python", b"-IS"))
        ]
        print(f"   {pid:7} {' '.join(programs).strip()}")


def show(program: Path, bundle: Path, root: Path) -> None:
    """The whole chain, once."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # as a service manager is
    manager.bind(str(root / "notify"))
    print(f"$ orlopd --root {root} &")
    daemon = subprocess.Popen(
        [program, "--root", root, "--log-level", "warning"],
        env={**os.environ, "NOTIFY_SOCKET": str(root / "notify")},
    )
    with contextlib.ExitStack() as clean_up:
        clean_up.callback(daemon.wait)
        clean_up.callback(daemon.send_signal, signal.SIGTERM)
        if manager.recv(64) != b"READY=1":
            raise SystemExit("orlopd is not ready")
        print(f"$ socat - UNIX-CONNECT:{root}/orlopd.sock")
        client = Client(root / "orlopd.sock")
        client.ask("events.subscribe", topics=["start", "exit"])
        client.hear()
        client.ask("container.create", id="demo", bundle=str(bundle))
        init = client.hear()["result"]["pid"]
        print_processes(daemon.pid, init)
        client.ask("container.start", id="demo")
        topics: set[str | None] = set()
        while topics != {None, "start", "exit"}:  # None: the answer
            topics.add(client.hear().get("params", {}).get("topic"))
        client.ask("container.logs", id="demo")
        client.hear()
        client.ask("container.delete", id="demo")
        client.hear()


def main() -> None:
    """Make a bundle with a shorter program of the demonstration's, and show it."""
    source, root = Path(sys.argv[1]), Path(tempfile.mkdtemp(prefix="orlopd-"))
    try:
        bundle = root / "bundle"
        bundle.mkdir()
        spec = json.loads((source / "config.json").read_text())
        spec["process"]["args"] = ["/bin/sh", "-c", "echo ahoy from $(hostname), pid $$; exit 3"]
        spec["root"]["path"] = str(source / "rootfs")
        (bundle / "config.json").write_text(json.dumps(spec))
        show(Path(sys.executable).with_name("orlopd"), bundle, root)
    finally:
        shutil.rmtree(root)


main()
