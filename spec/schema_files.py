# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas of this package as files.

For the build and for explaining a rejection, never for a start.
"""

from __future__ import annotations

import json
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FOLDER = Path(__file__).parent / "schemas"

DOCUMENTS = ("config", "process", "state", "features")
"""The schemas that documents are checked against; the other files only hold parts of these."""


def read_schema(name: str) -> dict[str, Any]:
    """Return the schema `schemas/NAME.json`; raises OSError or json.JSONDecodeError."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return schema


def read_all() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the `$id` and the content of every schema file."""
    for path in sorted(FOLDER.glob("*.json")):
        schema = read_schema(path.stem)
        yield schema["$id"], schema
