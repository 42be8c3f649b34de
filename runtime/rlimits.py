# SPDX-License-Identifier: Apache-2.0
"""`process.rlimits`: numbers of getrlimit(2), and setting them from outside.

In a user namespace the container's root may not raise a hard limit; its parent may (prlimit(2)).
"""

from __future__ import annotations

from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spec.types import Process

#: asm-generic/resource.h, which x86, Arm and RISC-V share
NUMBERS = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}
UNLIMITED = 2**64 - 1
HINT = "raising a hard limit needs CAP_SYS_RESOURCE"


def apply(pid: int, process: Process) -> None:
    """Set the limits of a process. Raises OrlopError with the element's pointer."""
    import resource  # a C module, and rarely needed

    for index, limit in enumerate(process.get("rlimits", ())):
        soft, hard = (-1 if n == UNLIMITED else n for n in (limit["soft"], limit["hard"]))
        try:
            resource.prlimit(pid, NUMBERS[limit["type"]], (soft, hard))
        except (OSError, ValueError) as error:
            text = f"{limit['type']} {limit['soft']} {limit['hard']}: prlimit: {error}"
            raise OrlopError(text, pointer=f"/process/rlimits/{index}", hint=HINT) from error
