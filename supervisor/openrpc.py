# SPDX-License-Identifier: Apache-2.0
"""The API's description: an OpenRPC document (spec.open-rpc.org), and docs/rpc.md made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.failure import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.method import Method, Schema

API_VERSION = "1.0.0"


def document(methods: Mapping[str, Method]) -> dict[str, object]:
    """The document that `rpc.discover` returns."""
    return {
        "openrpc": "1.3.2",
        "info": {"title": "orlopd", "version": API_VERSION},
        "methods": [*map(_method, methods.values()), _CANCEL],
        "components": {
            "errors": {
                _error_name(code): {"code": code, "message": meaning}
                for code, meaning in CODES.items()
            }
        },
    }


#: The one method that is about a connection's other requests, and so none of the table's.
_CANCEL = {
    "name": "rpc.cancel",
    "summary": "Cancel a request of the same connection; whether there was one",
    "paramStructure": "by-name",
    "params": [
        {
            "name": "id",
            "required": True,
            "schema": {"type": ["string", "number", "null"], "description": "the request's id"},
        }
    ],
    "result": {"name": "result", "schema": {"type": "boolean"}},
}


def _error_name(code: int) -> str:
    """A key of components: letters, digits, dots and dashes."""
    return f"error-{code}" if code > 0 else f"json-rpc{code}"


def _method(method: Method) -> dict[str, object]:
    names = sorted(method.params, key=lambda name: name not in method.required)
    return {
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": [
            {"name": n, "required": n in method.required, "schema": method.params[n]} for n in names
        ],
        "result": {"name": "result", "schema": method.result},
        "errors": [{"$ref": f"#/components/errors/{_error_name(code)}"} for code in CODES],
    }


def page(methods: Mapping[str, Method]) -> str:
    """docs/rpc.md."""
    lines = [
        "# orlopd's methods",
        "",
        "Made from what `rpc.discover` returns (`UPDATE_GOLDEN=1 pytest tests/supervisor`); how to",
        "call them: [orlopd.md](orlopd.md). A parameter in **bold** must be there.",
    ]
    for method in methods.values():
        lines += ["", f"## {method.name}", "", f"{method.summary}.", ""]
        lines += [_parameter(method, name) for name in method.params if name != "timeout"]
    lines += ["", "Every method takes `timeout`, in seconds.", "", "## Errors", ""]
    lines += ["| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in CODES.items()]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _parameter(method: Method, name: str) -> str:
    schema = method.params[name]
    shown = f"**{name}**" if name in method.required else name
    text = f"- {shown}: {_kind(schema)}"
    return f"{text}; {schema['description']}" if "description" in schema else text


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema["type"]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
