# SPDX-License-Identifier: Apache-2.0
"""The standard's own schemas and samples as an oracle, where a copy of them is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft4Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from spec.explain import strict

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = Path(
    os.environ.get("ORLOP_OCI_SPEC_DATA") or REPOSITORY.parent / "shared/data/oci-runtime-spec"
)
KINDS = ("config", "state", "features")

needed = pytest.mark.skipif(
    not (FOLDER / "config-schema.json").is_file(),
    reason="no copy of the standard's schemas: set ORLOP_OCI_SPEC_DATA to their folder",
)


def samples(kind: str, verdict: str) -> list[Path]:
    """The standard's `good` or `bad` samples of a kind of document."""
    return sorted((FOLDER / "test" / kind / verdict).glob("*.json"))


def validator(kind: str) -> Validator:
    """The validator of the standard's own schema.

    Its patterns are read as ECMA-262, as JSON Schema says: `$` isn't before a final newline.
    """
    registry: Registry[Any] = Registry().with_resources(
        (path.name, DRAFT4.create_resource(json.loads(path.read_text("utf-8"))))
        for path in FOLDER.glob("*.json")
    )
    schema = json.loads((FOLDER / f"{kind}-schema.json").read_text("utf-8"))
    return strict(Draft4Validator)(schema, registry=registry)
