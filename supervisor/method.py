# SPDX-License-Identifier: Apache-2.0
"""A method of the API: what it is called with, and who serves it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from supervisor.failure import INVALID_PARAMS, Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.connection import Call

    Params = dict[str, Any]
    Schema = dict[str, Any]
    Serve = Callable[[Call, Params], Awaitable[object]]

TIMEOUT: Schema = {
    "type": "number",
    "exclusiveMinimum": 0,
    "description": "seconds after which the request is answered with an error",
}


def _is_only(schema: Schema, kind: str, *keywords: str) -> bool:
    """Whether it is of this type, and demands nothing else but these keywords."""
    return schema.get("type") == kind and not schema.keys() - {"type", "description", *keywords}


class Method:
    """One method.

    params: JSON Schemas by name; required: the names that must be there. lasts: it may wait for as
    long as a container lives, and so ends when its client goes away.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        serve: Serve,
        params: dict[str, Schema],
        required: tuple[str, ...] = (),
        *,
        result: Schema,
        lasts: bool = False,
    ) -> None:
        self.name = name
        self.summary = summary
        self.serve = serve
        self.params = {**params, "timeout": TIMEOUT}
        self.required = required
        self.result = result
        self.lasts = lasts
        self._flags = {key for key, schema in params.items() if _is_only(schema, "boolean")}
        self._texts = {
            key: range(schema.get("minLength", 0), schema.get("maxLength", sys.maxsize) + 1)
            for key, schema in params.items()
            if _is_only(schema, "string", "minLength", "maxLength")
        }
        self._validator = Draft202012Validator(
            {
                "type": "object",
                "properties": self.params,
                "required": list(required),
                "additionalProperties": False,
            }
        )

    def _is_plain(self, item: tuple[str, object]) -> bool:
        """Whether a parameter is right at first sight, which takes no validator: most are texts."""
        name, value = item
        if isinstance(value, bool):
            return name in self._flags
        lengths = self._texts.get(name)
        return lengths is not None and isinstance(value, str) and len(value) in lengths

    def check(self, params: Params) -> None:
        """Raises Failure, with the JSON pointer of the parameter that is wrong."""
        if all(map(params.__contains__, self.required)) and all(
            map(self._is_plain, params.items())
        ):
            return
        found = best_match(self._validator.iter_errors(params))
        if found is None:
            return
        pointer = "".join(f"/{part}" for part in found.absolute_path)
        if found.validator == "required" and not pointer:
            missing = next(name for name in self.required if name not in params)
            pointer, text = f"/{missing}", "is missing"
        elif found.validator == "additionalProperties" and not pointer:
            unknown = min(params.keys() - self.params.keys())
            pointer, text = f"/{unknown}", f"is no parameter of {self.name}"
        else:
            text = found.message
        raise Failure(INVALID_PARAMS, f"{pointer}: {text}", pointer=pointer)
