# SPDX-License-Identifier: Apache-2.0
"""A container whose program waits, to look at from outside or to execute something in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.container import Container


def started(container: Container) -> Container:
    """Run the probe's `sleep` in the container, up to its "ready"; the container."""
    container.bundle.args("sleep")
    container.run_detached()
    assert container.read_line() == "ready"
    return container
