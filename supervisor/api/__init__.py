# SPDX-License-Identifier: Apache-2.0
"""The methods of the API, by theme, with the schemas that parameters are checked against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.api.changes import Changes
from supervisor.api.events import Events
from supervisor.api.life import Life
from supervisor.api.logs import Logs
from supervisor.api.processes import Processes
from supervisor.api.questions import Questions
from supervisor.api.system import System
from supervisor.api.usage import Usage

if TYPE_CHECKING:
    from supervisor.method import Method
    from supervisor.store import Store


def methods(store: Store) -> dict[str, Method]:
    """Every method, by name."""
    table: dict[str, Method] = {}
    system = System(store, lambda: table)
    parts = (Life, Changes, Processes, Questions, Usage, Logs, Events)
    themes = (system, *(part(store) for part in parts))
    for theme in themes:
        table.update((method.name, method) for method in theme.methods())
    return table
