# SPDX-License-Identifier: Apache-2.0
"""A bundle is loaded when it is good, and explained when it isn't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import spec
from spec import bundle
from spec.errors import InvalidSpec, OrlopError
from spec.jsontext import dumps
from spec.template import default_spec
from tests.unit.spec import standard

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], str]:
    """Write config.json, a value or a text, and return the bundle's path."""

    def write_config(content: object) -> str:
        text = content if isinstance(content, str) else dumps(content, 2)
        (tmp_path / "config.json").write_text(text, "utf-8")
        return str(tmp_path)

    return write_config


def rejection(path: str) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        bundle.load(path)
    assert "\n" not in str(caught.value)
    return caught.value


def minimal(**members: object) -> dict[str, Any]:
    process = {"cwd": "/", "args": ["sh"]}
    return {"ociVersion": "1.3.0", "process": process, "root": {"path": "rootfs"}, **members}


def test_a_good_bundle(write: Callable[[object], str], tmp_path: Path) -> None:
    loaded = bundle.load(write(minimal()))
    assert loaded.path == os.path.realpath(tmp_path)
    assert loaded.rootfs == f"{loaded.path}/rootfs"
    assert loaded.spec == minimal()
    assert json.loads(loaded.text) == minimal()
    assert loaded.warnings() == []


def test_warnings_of_a_bundle(write: Callable[[object], str]) -> None:
    config = minimal()
    config["process"]["capabilities"] = {"bounding": ["CAP_FLY"]}
    (warning,) = bundle.load(write(config)).warnings()
    assert warning.pointer == "/process/capabilities/bounding/0"


@pytest.mark.parametrize(
    ("path", "rootfs"),
    [("/srv/x", "/srv/x"), ("a/../b", "{}/b"), (".", "{}"), ("../other", "{}/../other")],
)
def test_the_root_file_system_is_relative_to_the_bundle(
    write: Callable[[object], str], path: str, rootfs: str
) -> None:
    loaded = bundle.load(write(minimal(root={"path": path})))
    assert loaded.rootfs == os.path.realpath(rootfs.format(loaded.path))


def test_a_relative_bundle_reached_through_a_symlink(
    write: Callable[[object], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(minimal())
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert bundle.load("link").path == os.path.realpath(tmp_path)


def test_a_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(OrlopError) as caught:
        bundle.load(f"{tmp_path}/none")
    assert str(caught.value) == f"bundle {tmp_path}/none: no such file or directory"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_bundle_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OrlopError, match=r"^bundle .*/file: not a directory$"):
        bundle.load(f"{tmp_path}/file")


def test_a_missing_configuration(tmp_path: Path) -> None:
    with pytest.raises(OrlopError) as caught:
        bundle.load(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}/config.json: no such file or directory"


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(OrlopError, match=r"config\.json: is a directory$"):
        bundle.load(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.json: line 1 column 1: empty, expected a JSON value"),
        ('{\n  "ociVersion" "1"', "config.json: line 2 column 16: expecting ':' delimiter"),
        ("[]", "config.json: found an empty array, expected an object (config.json line 1)"),
        ("null", "config.json: found null, expected an object (config.json line 1)"),
        (
            "\n{}",
            (
                'config.json: found no "ociVersion", '
                "expected this required member (config.json line 2)"
            ),
        ),
    ],
)
def test_texts_that_are_no_configuration(
    write: Callable[[object], str], text: str, message: str
) -> None:
    assert str(rejection(write(text))) == message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"hostname": "\xff"}')
    message = "config.json: line 1 column 15: byte 0xff isn't UTF-8"
    assert str(rejection(str(tmp_path))) == message


BROKEN = """{
  "ociVersion": "1.3.0",
  "root": {"path": "rootfs"},
  "mounts": [
    {"destination": "/a"},
    {"destination":
      5},
    {}
  ],
  "process": {
    "cwd": "/",
    "env": ["A=hunter2", {"B": "hunter2"}],
    "rlimits": [
      {"type": "x",
       "soft": -1}
    ],
    "noNewPrivileges": "yes"
  }
}"""


def test_all_violations_of_the_schema_at_once(write: Callable[[object], str]) -> None:
    error = rejection(write(BROKEN))
    assert str(error).split("; ") == [
        "/mounts/1/destination: found 5 (number), expected a string (config.json line 7)",
        '/mounts/2: found no "destination", expected this required member (config.json line 8)',
        "/process/env/1: found an object, expected a string (config.json line 12)",
        '/process/rlimits/0: found no "hard", expected this required member (config.json line 14)',
        (
            '/process/rlimits/0/type: found "x" (string), '
            "expected a string matching ^RLIMIT_[A-Z]+$ (config.json line 14)"
        ),
        (
            "/process/rlimits/0/soft: found -1 (number), "
            "expected an integer from 0 to 18446744073709551615 (config.json line 15)"
        ),
        (
            '/process/noNewPrivileges: found "yes" (string), '
            "expected true or false (config.json line 17)"
        ),
    ]
    assert [violation.line for violation in error.violations] == [7, 8, 12, 14, 14, 15, 17]


def test_all_violations_of_the_rules_at_once(write: Callable[[object], str]) -> None:
    config = minimal(hostname="box")
    config["process"]["cwd"] = "home"
    assert str(rejection(write(config))).split("; ") == [
        '/process/cwd: found "home", expected an absolute path (config.json line 4)',
        (
            '/hostname: found "box" without a uts namespace, '
            "expected a uts namespace, new or joined (config.json line 12)"
        ),
    ]


def test_what_is_needed_to_run(write: Callable[[object], str]) -> None:
    error = rejection(write({"ociVersion": "1.0.0"}))
    assert str(error).split("; ") == [
        (
            'config.json: found no "root", '
            "expected this required member, a container has a root file system (config.json line 1)"
        ),
        (
            'config.json: found no "process", '
            "expected this required member, a container runs a program (config.json line 1)"
        ),
    ]


def test_null_bytes_are_refused(write: Callable[[object], str]) -> None:
    config = minimal()
    config["process"]["args"].append("a\0b")
    (violation,) = rejection(write(config)).violations
    assert violation.pointer == "/process/args/1"


def test_null_members_are_absent(write: Callable[[object], str]) -> None:
    config = minimal(hostname=None, mounts=None, linux={"seccomp": None, "sysctl": {"a": None}})
    config["process"]["capabilities"] = None
    config["mounts"] = [{"destination": "/dev/null", "options": None}]
    config["linux"]["namespaces"] = [{"type": "mount", "path": None}]
    loaded = bundle.load(write(config)).spec
    assert loaded == minimal(
        mounts=[{"destination": "/dev/null"}],
        linux={"sysctl": {}, "namespaces": [{"type": "mount"}]},
    )


def test_null_in_an_array_keeps_its_place_and_is_refused(write: Callable[[object], str]) -> None:
    config = minimal()
    config["process"]["args"] = ["sh", None, "x"]
    (violation,) = rejection(write(config)).violations
    assert (violation.pointer, violation.found) == ("/process/args/1", "null")


def test_habits_of_engines_are_tolerated(write: Callable[[object], str]) -> None:
    device = {"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0o20666}
    linux = {
        "namespaces": [{"type": "mount"}],
        "devices": [device],
        "resources": {"pids": {"limit": None}},
        "rootfsPropagation": "rslave",
    }
    loaded = bundle.load(write(minimal(linux=linux))).spec
    assert loaded["linux"]["devices"][0]["fileMode"] == 0o666
    assert loaded["linux"]["resources"] == {}
    assert loaded["linux"]["rootfsPropagation"] == "rslave"


@pytest.mark.parametrize("shape", [{"linux": 5}, {"linux": {"devices": [5], "resources": []}}])
def test_tolerance_leaves_wrong_shapes_to_the_schema(
    write: Callable[[object], str], shape: dict[str, object]
) -> None:
    assert rejection(write(minimal(**shape))).violations


def test_deep_documents_are_refused_or_read_but_never_overflow(
    write: Callable[[object], str],
) -> None:
    for depth in (300, 900, 100_000):
        deep = '{"null": ' + "[" * depth + "]" * depth + ","
        path = write(deep + dumps(minimal())[1:])
        try:
            assert bundle.load(path).rootfs
        except InvalidSpec as error:
            assert "nested too deeply" in str(error)  # noqa: PT017 (either outcome is right)


def test_a_build_that_is_missing_is_named(
    write: Callable[[object], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spec._config_check", None)
    with pytest.raises(OrlopError, match=r"spec\._config_check is missing") as caught:
        bundle.load(write(minimal()))
    assert "python -m spec.compile_schema" in caught.value.hint


def process_file(tmp_path: Path, text: str) -> str:
    (tmp_path / "p.json").write_text(text, "utf-8")
    return f"{tmp_path}/p.json"


def test_a_process_file(tmp_path: Path) -> None:
    path = process_file(tmp_path, '{"cwd": "/", "args": ["sh"], "env": null}')
    assert bundle.load_process(path) == {"cwd": "/", "args": ["sh"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "p.json: line 1 column 2: expecting property name enclosed in double quotes"),
        ('{"cwd": 1}', "/cwd: found 1 (number), expected a string (p.json line 1)"),
        ("[]", "p.json: found an empty array, expected an object (p.json line 1)"),
        (
            '{"cwd": "/",\n"args": []}',
            "/args: found an empty array, expected the program and its arguments (p.json line 2)",
        ),
        (
            '{"cwd": "/", "args": ["\\u0000"]}',
            "/args/0: found a null byte, expected text without null bytes (p.json line 1)",
        ),
    ],
)
def test_process_files_that_are_not_good(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        bundle.load_process(process_file(tmp_path, text))
    assert str(caught.value) == message


def test_a_missing_process_file(tmp_path: Path) -> None:
    with pytest.raises(OrlopError, match=r"^process file .*/p\.json: no such file or directory$"):
        bundle.load_process(f"{tmp_path}/p.json")


def test_check_is_strict() -> None:
    violations, warnings = bundle.check(minimal(hostname=None))
    assert [violation.pointer for violation in violations] == ["/hostname"]
    assert warnings == []


def test_check_applies_rules_and_gives_warnings() -> None:
    violations, warnings = bundle.check(
        {"ociVersion": "1.9.0", "hostname": "x", "process": {"cwd": "/", "args": ["\0"]}}
    )
    assert [violation.pointer for violation in violations] == ["/hostname", "/process/args/0"]
    assert [warning.pointer for warning in warnings] == ["/ociVersion"]


@standard.needed
@pytest.mark.parametrize(
    ("name", "pointers"),
    [
        ("minimal.json", []),
        ("minimal-for-start.json", []),
        ("linux-rdma.json", []),
        ("spec-example.json", ["/ociVersion"]),  # it is 0.5.0-dev
        ("linux-netdevice.json", ["/linux/netDevices"]),  # without a network namespace
        ("freebsd-example.json", ["/hostname", "/mounts"]),  # a jail has no Linux namespaces
    ],
)
def test_the_rules_on_the_samples_of_the_standard(name: str, pointers: list[str]) -> None:
    path = standard.FOLDER / "test/config/good" / name
    violations, warnings = bundle.check(json.loads(path.read_text("utf-8")))
    assert [violation.pointer for violation in violations] == pointers
    assert warnings == []


FORBIDDEN = {
    "argparse",
    "asyncio",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "json",
    "jsonschema",
    "logging",
    "pathlib",
    "re",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "typing",
}
LOADER = """
import sys
sys.path.insert(0, sys.argv[1])
from spec import bundle
assert bundle.load(sys.argv[2]).spec
print(" ".join(sys.modules))
"""


def test_a_valid_bundle_stays_within_the_import_budget(write: Callable[[object], str]) -> None:
    config: dict[str, Any] = dict(default_spec())
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": [f"call_{i}" for i in range(400)], "action": "SCMP_ACT_ALLOW"}],
    }
    root = str(Path(spec.__path__[0]).parent)
    command = [sys.executable, "-I", "-S", "-c", LOADER, root, write(config)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "spec._config_check" in output
    assert FORBIDDEN.isdisjoint(output.split())
