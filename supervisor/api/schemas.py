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
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
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
    "description": "lists add and drop, of names: CAP_NET_ADMIN, NET_ADMIN or ALL",
}
LIMITS: Schema = {
    "type": "object",
    "properties": {
        "memory": {"type": "integer", "minimum": -1, "maximum": 2**63 - 1},
        "swap": {"type": "integer", "minimum": -1, "maximum": 2**63 - 1},
        "cpus": {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000},
        "cpuShares": {"type": "integer", "minimum": 2, "maximum": 262144},
        "cpuset": TEXT,
        "pids": {"type": "integer", "minimum": -1, "maximum": 4_194_304},  # PID_MAX_LIMIT
    },
    "additionalProperties": False,
    "description": "memory and swap (memory included) in bytes, cpus (a number of them), cpuShares,"
    " cpuset (as 0-3), pids; -1: no limit",
}
MOUNTS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "source": TEXT,
            "destination": TEXT,
            "type": TEXT,
            "options": {"type": "array", "items": TEXT},
        },
        "required": ["destination"],
        "additionalProperties": False,
    },
    "description": "source, destination, type (bind), options",
}
USER: Schema = {**TEXT, "description": "USER[:GROUP], numbers or the image's names"}
SHORT: dict[str, Schema] = {
    "rootfs": {
        **TEXT,
        "description": "absolute path of a root file system, in place of a bundle;"
        " the parameters from here to seccomp go with it",
    },
    "args": {**WORDS, "description": "the program and its arguments; needed with a rootfs"},
    "env": ENVIRONMENT,
    "cwd": TEXT,
    "user": USER,
    "hostname": {**TEXT, "maxLength": 64},
    "terminal": FLAG,
    "consoleSize": SIZE,
    "readonly": {**FLAG, "description": "the rootfs can't be written to"},
    "mounts": MOUNTS,
    "limits": LIMITS,
    "capabilities": CAPABILITIES,
    "network": {"enum": ["none", "host"]},
    "hooks": {**OBJECT, "description": "the standard's"},
    "annotations": LABELS,
    "noNewPrivileges": {**FLAG, "description": "default true: setuid programs gain nothing"},
    "seccomp": {"enum": ["default", "unconfined"]},
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
