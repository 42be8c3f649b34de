# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas that parameters and results share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.method import Schema

TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
ID: Schema = {**TEXT, "maxLength": 1024, "description": "the container's id"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
ARRAY: Schema = {"type": "array"}
NOTHING: Schema = {"type": "null"}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
