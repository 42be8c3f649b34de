# SPDX-License-Identifier: Apache-2.0
"""Load a bundle: read its config.json once, check it, and say everything that is wrong with it.

This is on the path of every start, so a valid configuration imports nothing beyond the package's
own small modules.
"""

from __future__ import annotations

import os

from spec import jsontext, tolerance
from spec.errors import InvalidSpec, OrlopError
from spec.rules import process as process_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from spec.errors import Violation
    from spec.types import Process, Spec

CONFIG = "config.json"


class Bundle:
    """A bundle whose configuration was found good.

    path: its directory, absolute and without symlinks. spec: the configuration. text: config.json
    as it was read. rootfs: the absolute path of the root file system, which may not exist.
    """

    __slots__ = ("path", "rootfs", "spec", "text")

    def __init__(self, path: str, spec: Spec, text: str) -> None:
        self.path = path
        self.spec = spec
        self.text = text
        self.rootfs = (
            os.path.realpath(os.path.join(path, spec["root"]["path"])) if "root" in spec else ""
        )

    def warnings(self) -> list[Violation]:
        """What is accepted but should be logged, for example unknown capabilities."""
        from spec.rules import config

        return config.warnings(self.spec)


def load(bundle_dir: str) -> Bundle:
    """Return the bundle in a directory, ready to be run.

    Engines' habits that the standard's schema refuses are tolerated (spec/tolerance.py). Raises
    InvalidSpec with all violations and their lines, or OrlopError if the bundle or its config.json
    can't be read. Whether the root file system exists is not looked at.
    """
    path, spec, text, found = judge(bundle_dir)
    if found:
        raise InvalidSpec(violations=found)
    return Bundle(path, spec, text)


def load_shape(bundle_dir: str) -> Bundle:
    """The same, as far as the schema goes: who has it run has the rules asked then.

    Raises as `load` does for what can't be read or breaks the schema.
    """
    path = os.path.realpath(bundle_dir)
    text = _read_config(path)
    return Bundle(path, _shaped(text), text)


def judge(bundle_dir: str) -> tuple[str, Spec, str, list[Violation]]:
    """Return a bundle's path, configuration, text, and what the rules find wrong with it.

    Raises as `load` does for what can't be read or breaks the schema.
    """
    path = os.path.realpath(bundle_dir)
    text = _read_config(path)
    spec, found = judge_text(text)
    return path, spec, text, _with_lines(found, text, CONFIG)


def judge_text(text: str) -> tuple[Spec, list[Violation]]:
    """Return the configuration of a config.json's text, and what the rules find wrong with it.

    Raises as `load` does for what breaks the schema.
    """
    from spec.rules import config

    spec = _shaped(text)
    found = config.missing_to_run(spec) + config.violations(spec)
    return spec, found + _null_bytes(spec, text)


def load_for_exec(bundle_dir: str) -> Spec:
    """Return the configuration of a bundle whose container is there, for a further process in it.

    Its rules were asked when the container was made. What may have changed since concerns a further
    process as far as the rules for a process and for its filter go. Raises as `load` does.
    """
    text = _read_config(os.path.realpath(bundle_dir))
    spec = _shaped(text)
    found = list(process_rules.process_is_given(spec))
    if not found:
        found = process_rules.violations(spec["process"], "/process")
        found += process_rules.ids_are_mapped(spec)
    if spec.get("linux", {}).get("seccomp"):
        from spec.rules import seccomp

        found += [violation for rule in seccomp.RULES for violation in rule(spec)]
    found += _null_bytes(spec, text)
    if found:
        raise InvalidSpec(violations=_with_lines(found, text, CONFIG))
    return spec


def _shaped(text: str) -> Spec:
    """The configuration of a text. Raises InvalidSpec for what breaks the schema, OrlopError."""
    document = jsontext.loads(text, name=CONFIG)
    tolerance.apply(document, text)
    if not _compiled("config")(document):
        _reject(document, "config", text, CONFIG)
    spec: Spec = document  # type: ignore[assignment]  # has the shape, says the check
    return spec


def _null_bytes(document: Spec | Process, text: str) -> list[Violation]:
    if "\\u0000" not in text:
        return []
    from spec.rules.document import strings_have_no_null_bytes

    return list(strings_have_no_null_bytes(document))


def load_process(path: str) -> Process:
    """Return the process of a file given to `exec --process`.

    Raises as `load` does, with pointers into that file.
    """
    return parse_process(_read(path, f"process file {path}"), os.path.basename(path))


def parse_process(data: bytes, name: str) -> Process:
    """Return the process that a JSON text describes; `name` says in errors where it is from.

    Raises as `load` does, with pointers into the text.
    """
    text = jsontext.decode(data, name)
    document = jsontext.loads(text, name=name)
    tolerance.apply(document, text)
    if not _compiled("process")(document):
        _reject(document, "process", text, name)
    process: Process = document  # type: ignore[assignment]  # has the shape, says the check
    found = process_rules.violations(process, "") + _null_bytes(process, text)
    if found:
        raise InvalidSpec(violations=_with_lines(found, text, name))
    return process


def check(document: object) -> tuple[list[Violation], list[Violation]]:
    """Judge a configuration as the standard does, without tolerance.

    Return violations and warnings.

    document: as parsed from JSON; it need not be complete enough to run. The rules are only applied
    to what the schema accepts, since they rely on its shape.
    """
    if not _compiled("config")(document):
        from spec.explain import violations

        return violations(document), []
    spec: Spec = document  # type: ignore[assignment]  # has the shape, says the check
    from spec.rules import config
    from spec.rules.document import strings_have_no_null_bytes

    found = [*config.violations(spec), *strings_have_no_null_bytes(spec)]
    return found, config.warnings(spec)


def _read_config(path: str) -> str:
    """Return the text of a bundle's config.json."""
    config = os.path.join(path, CONFIG)
    try:
        data = _read(config, config)
    except OrlopError as error:
        missing = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
        if missing and not os.path.isdir(path):  # the bundle itself is the problem: say so
            why = "not a directory" if os.path.lexists(path) else "no such file or directory"
            raise OrlopError(f"bundle {path}: {why}") from error.__cause__
        raise
    return jsontext.decode(data, CONFIG)


def _read(path: str, name: str) -> bytes:
    """Return the content of a file; raises OrlopError, `NAME: errno text`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(descriptor, 1 << 16):  # more is mapped, and unmapped, each time
                parts.append(part)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OrlopError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    return b"".join(parts)


def _compiled(schema: str) -> Callable[[object], bool]:
    """Return the verdict function of a schema; raises OrlopError if the project isn't built."""
    try:
        if schema == "config":
            from spec._config_check import valid
        else:
            from spec._process_check import valid
    except ModuleNotFoundError as error:
        raise OrlopError(
            f"{error.name} is missing, it is generated", hint="run `python -m spec.compile_schema`"
        ) from error
    verdict: Callable[[object], bool] = valid
    return verdict


def _reject(document: object, schema: str, text: str, name: str) -> NoReturn:
    """Raise InvalidSpec with everything that the schema refuses."""
    from spec.explain import violations

    raise InvalidSpec(violations=_with_lines(violations(document, schema, name), text, name))


def _with_lines(found: list[Violation], text: str, name: str) -> list[Violation]:
    """Return the violations with their file and lines, in the order of the text."""
    for violation in found:
        violation.line = jsontext.locate(text, violation.pointer)[0]
        violation.file = name
    return sorted(found, key=lambda violation: violation.line)
