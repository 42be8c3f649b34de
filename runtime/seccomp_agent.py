# SPDX-License-Identifier: Apache-2.0
"""SCMP_ACT_NOTIFY: the listener's descriptor goes to an agent.

config-linux.md#containerprocessstate
"""

from __future__ import annotations

import _socket
import os
import sys

from spec import jsontext
from spec.errors import OrlopError
from spec.version import OCI_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.seccomp import Filter
    from spec.types import State


def send(filter_: Filter, fd: int, pid: int, state: State) -> None:
    """Send the state with the listener's descriptor, and close it. Raises OrlopError."""
    message = {
        "ociVersion": OCI_VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": filter_.listener_metadata,
        "state": state,
    }
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(filter_.listener_path)
        payload = fd.to_bytes(4, sys.byteorder)
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, payload)]
        connection.sendmsg([jsontext.dumps(message).encode()], control)
    except OSError as error:
        text = f"seccomp agent {filter_.listener_path}: {error.strerror or error}"
        raise OrlopError(text, pointer="/linux/seccomp/listenerPath") from error
    finally:
        connection.close()
        os.close(fd)
