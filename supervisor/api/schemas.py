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
WORDS: Schema = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 10_000}
NAMES: Schema = {"type": "array", "items": TEXT}
ENVIRONMENT: Schema = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "propertyNames": {"pattern": "^[^=]+$"},
    "description": "values by name, beside what is there anyway",
}
SIZE: Schema = {
    "type": "object",
    "properties": {
        "height": {"type": "integer", "minimum": 0, "maximum": 65535},
        "width": {"type": "integer", "minimum": 0, "maximum": 65535},
    },
    "required": ["height", "width"],
    "additionalProperties": False,
    "description": "of the terminal, in characters: height and width",
}
CAPABILITIES: Schema = {
    "type": "object",
    "properties": {"add": NAMES, "drop": NAMES},
    "additionalProperties": False,
    "description": "lists add and drop, of names as CAP_NET_ADMIN; ALL may be dropped",
}
EXEC: Schema = {**TEXT, "maxLength": 1024, "description": "the id of a process of exec"}
SUBSCRIPTION: Schema = {**NUMBER, "description": "what the request that began it answered"}
ATTACH: Schema = {**FLAG, "description": "begin a subscription with its output, from the start"}
DESCRIPTORS: Schema = {
    **FLAG,
    "description": "its stdin, stdout and stderr come with the request (SCM_RIGHTS); or one, for"
    " a terminal",
}
STDIN: Schema = {**FLAG, "description": "have a stdin that whoever attaches writes to"}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
