# SPDX-License-Identifier: Apache-2.0
"""How a container, or a process in it, has ended."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class Exit(NamedTuple):
    """status: the exit code, or 128 and the signal; None where it was removed unstarted.

    at: RFC 3339.
    """

    status: int | None
    at: str | None

    def values(self) -> dict[str, object]:
        """As answers have it."""
        return {"exitStatus": self.status, "exitedAt": self.at}


def expected(end: Exit | None = None) -> asyncio.Future[Exit]:
    """An exit that is to come, or has."""
    future: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    if end is not None:
        future.set_result(end)
    return future
