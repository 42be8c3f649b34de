# SPDX-License-Identifier: Apache-2.0
"""What bad input gets: one line that says where and why, and nothing left behind.

Here is what is refused before anything is made; steps that fail later are in test_failing_steps.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires
from tests.support.refusal import REFUSED, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = requires("root")


@pytest.fixture
def refuse(orlop: Cli, watch: Watch, bundle: Bundle) -> Refusal:
    """Run what must be refused, with the test's own bundle."""
    return Refusal(orlop, watch, bundle)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Path]:
    """The path of a socket on which somebody listens."""
    path = tmp_path / "console.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        yield path


def create_as_it_is(refuse: Refusal) -> str:
    """`create` with the config.json that the test wrote."""
    return refuse("create", "--bundle", refuse.bundle.path, REFUSED)


class TestConfiguration:
    """config.json."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{\n  "ociVersion": "1.0.2",\n  process: {}\n}\n', "line 3 column 3: "),
            ('{\n  "ociVersion": "1.0.2"\n', "line 3 column 1: "),
            ('{"ociVersion": "1.0.2",\n "root": {"path": 01}}', "line 2 column 20: "),
            ("", "line 1 column 1: empty"),
            ("{} {}", "line 1 column 4: more text"),
        ],
        ids=["name without quotes", "no end", "leading zero", "empty", "two values"],
    )
    def test_broken_json_is_said_with_line_and_column(
        self, refuse: Refusal, text: str, expected: str
    ) -> None:
        (refuse.bundle.path / "config.json").write_text(text)
        assert create_as_it_is(refuse).startswith(f"config.json: {expected}")

    def test_bytes_that_are_not_utf8_are_said_with_line_and_column(self, refuse: Refusal) -> None:
        (refuse.bundle.path / "config.json").write_bytes(b'{\n "hostname": "\xff"}')
        assert create_as_it_is(refuse).startswith("config.json: line 2 column 15: byte 0xff")

    def test_all_violations_of_the_schema_are_said_at_once(self, refuse: Refusal) -> None:
        spec = refuse.bundle.spec
        spec["hostname"] = 5
        spec["process"]["args"] = "sh"
        spec["mounts"][1]["destination"] = None
        spec["linux"]["resources"] = {"memory": {"limit": "1G"}}
        message = refuse.create()
        for part in (
            "/hostname: found 5 (number), expected a string",
            '/process/args: found "sh" (string), expected an array',
            '/mounts/1: found no "destination", expected this required member',
            '/linux/resources/memory/limit: found "1G" (string), expected an integer',
        ):
            assert part in message

    def test_all_violations_of_the_rules_are_said_at_once(self, refuse: Refusal) -> None:
        spec = refuse.bundle.spec
        spec["process"]["cwd"] = "work"
        spec["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]
        spec["process"]["oomScoreAdj"] = 1001
        spec["linux"]["maskedPaths"] = ["proc/kcore"]
        message = refuse.create()
        for part in (
            '/process/cwd: found "work", expected an absolute path',
            "/process/rlimits/0/soft: found 2, expected at most the hard limit 1",
            "/process/oomScoreAdj: found 1001, expected an integer from -1000 to 1000",
            '/linux/maskedPaths/0: found "proc/kcore", expected an absolute path',
        ):
            assert part in message

    def test_a_violation_names_its_line(self, refuse: Refusal) -> None:
        (refuse.bundle.path / "config.json").write_text(
            '{\n"ociVersion": "1.0.2",\n"process": {"cwd": "/", "args": ["x"]},\n"root":\n{}}'
        )
        assert '/root: found no "path"' in create_as_it_is(refuse)
        assert refuse.entry["msg"].endswith("(config.json line 5)")

    @pytest.mark.parametrize("member", ["ociVersion", "process", "root"])
    def test_a_required_member_is_missed(self, refuse: Refusal, member: str) -> None:
        del refuse.bundle.spec[member]
        assert f'found no "{member}", expected this required member' in refuse.create()

    def test_values_of_the_environment_are_not_said(self, refuse: Refusal) -> None:
        refuse.bundle.process["env"] = ["=secret-value", "secret-value", 5]
        assert "secret" not in refuse.create()
        refuse.bundle.process["env"] = ["=secret-value", "secret-value"]
        message = refuse.create()
        assert "/process/env/0" in message
        assert "/process/env/1" in message
        assert "secret" not in message

    def test_what_is_not_supported_yet_is_refused_with_its_pointer(self, refuse: Refusal) -> None:
        refuse.bundle.process["selinuxLabel"] = "system_u:system_r:container_t:s0"
        assert refuse.create().startswith("/process/selinuxLabel: ")


class TestMissing:
    """What the configuration or the command line names is not there, or something else."""

    def test_a_missing_bundle(self, refuse: Refusal, tmp_path: Path) -> None:
        path = tmp_path / "nowhere"
        message = refuse("create", "--bundle", path, REFUSED)
        assert message == f"bundle {path}: no such file or directory"

    def test_a_bundle_that_is_a_file(self, refuse: Refusal, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        message = refuse("create", "--bundle", tmp_path / "file", REFUSED)
        assert message == f"bundle {tmp_path}/file: not a directory"

    def test_a_missing_configuration(self, refuse: Refusal) -> None:
        message = create_as_it_is(refuse)
        assert message == f"{refuse.bundle.path}/config.json: no such file or directory"

    def test_a_configuration_that_is_a_directory(self, refuse: Refusal) -> None:
        (refuse.bundle.path / "config.json").mkdir()
        assert create_as_it_is(refuse) == f"{refuse.bundle.path}/config.json: is a directory"

    def test_a_missing_root_file_system(self, refuse: Refusal) -> None:
        refuse.bundle.spec["root"]["path"] = "nowhere"
        path = refuse.bundle.path / "nowhere"
        expected = f"/root/path: root file system {path}: no such file or directory"
        assert refuse.create() == expected

    def test_a_root_file_system_that_is_a_file(self, refuse: Refusal) -> None:
        (refuse.bundle.path / "file").touch()
        refuse.bundle.spec["root"]["path"] = "file"
        assert refuse.create().startswith("/root/path: ")
        assert refuse.entry["msg"].endswith("not a directory")

    def test_a_missing_executable_of_the_path(self, refuse: Refusal) -> None:
        refuse.bundle.process["args"] = ["no-such-program"]
        message = refuse.create()
        assert message.startswith("/process/args/0: ")
        assert '"no-such-program": executable file not found in $PATH' in message

    def test_a_missing_executable_by_its_path(self, refuse: Refusal) -> None:
        refuse.bundle.process["args"] = ["/bin/no-such-program"]
        message = refuse.create()
        assert '"/bin/no-such-program": executable file not found' in message
        assert "no such file or directory" in message

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("", "executable file not found in $PATH"),
            ("/bin", "is a directory: permission denied"),
        ],
    )
    def test_what_is_no_file_to_execute(self, refuse: Refusal, name: str, text: str) -> None:
        """Engines tell 126 from 127 by these words, as runc has them."""
        refuse.bundle.process["args"] = [name]
        assert refuse.create() == f'/process/args/0: exec: "{name}": {text}'

    def test_an_executable_below_a_file(self, refuse: Refusal) -> None:
        refuse.bundle.process["args"] = ["/bin/probe/program"]
        assert "not a directory" in refuse.create()

    def test_a_file_that_is_not_executable(self, refuse: Refusal) -> None:
        (refuse.bundle.rootfs / "bin/plain").write_text("text")
        refuse.bundle.process["args"] = ["/bin/plain"]
        message = refuse.create()
        assert message.startswith("/process/args/0: ")
        assert "permission denied" in message

    def test_a_file_of_the_path_that_is_not_executable_is_not_found(self, refuse: Refusal) -> None:
        """Engines make it 127 then, as with runc; the hint says what it is."""
        (refuse.bundle.rootfs / "bin/plain").write_text("text")
        refuse.bundle.process["args"] = ["plain"]
        message = refuse.create()
        text = '/process/args/0: exec: "plain": executable file not found in $PATH'
        assert message.startswith(f"{text} (hint: it is not executable")

    def test_a_directory_as_executable(self, refuse: Refusal) -> None:
        refuse.bundle.process["args"] = ["/bin"]
        assert "is a directory" in refuse.create()

    def test_a_missing_directory_of_the_pid_file(self, refuse: Refusal, tmp_path: Path) -> None:
        path = tmp_path / "nowhere/pid"
        message = refuse.create("--pid-file", path)
        assert message.lower() == f"pid file {path}: no such file or directory"

    def test_a_missing_directory_of_the_log(
        self, orlop: Cli, watch: Watch, container: Container, tmp_path: Path
    ) -> None:
        container.bundle.write()
        log = tmp_path / "nowhere/log"
        path = container.bundle.path
        result = orlop("--log", log, "create", "--bundle", path, container.id, check=False)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert f"log {log}: no such file or directory" in result.stderr.lower()
        assert watch.found() == []

    def test_a_missing_preserved_descriptor(self, refuse: Refusal) -> None:
        assert refuse.create("--preserve-fds", "2").startswith("unable to stat preserved-fd 3")


class TestConsoleSocket:
    """--console-socket: required where the process has a terminal and nobody waits for it."""

    def test_a_missing_console_socket(self, refuse: Refusal, tmp_path: Path) -> None:
        refuse.bundle.process["terminal"] = True
        path = tmp_path / "nowhere.sock"
        message = refuse.create("--console-socket", path)
        assert message.lower().startswith(f"console socket {path}: no such file or directory")

    def test_a_console_socket_that_is_a_file(self, refuse: Refusal, tmp_path: Path) -> None:
        refuse.bundle.process["terminal"] = True
        (tmp_path / "file").touch()
        message = refuse.create("--console-socket", tmp_path / "file")
        assert message == f"console socket {tmp_path}/file: not a socket"

    def test_a_console_socket_where_nobody_listens(self, refuse: Refusal, tmp_path: Path) -> None:
        refuse.bundle.process["terminal"] = True
        path = tmp_path / "left.sock"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
        message = refuse.create("--console-socket", path)
        assert message.lower().startswith(f"console socket {path}: connection refused")

    def test_a_terminal_without_console_socket(self, refuse: Refusal) -> None:
        refuse.bundle.process["terminal"] = True
        message = refuse.create()
        assert message.startswith("/process/terminal: ")
        assert "--console-socket" in message
        assert refuse("run", "--detach", "--bundle", refuse.bundle.path, REFUSED) == message

    def test_a_console_socket_without_terminal(self, refuse: Refusal, listener: Path) -> None:
        assert "terminal" in refuse.create("--console-socket", listener)

    def test_a_console_socket_in_the_foreground(self, refuse: Refusal, listener: Path) -> None:
        refuse.bundle.process["terminal"] = True
        refuse.bundle.write()
        argv = ["--bundle", f"{refuse.bundle.path}", "--console-socket", f"{listener}"]
        assert "--console-socket" in refuse("run", *argv, REFUSED)


class TestIds:
    """The container's id."""

    @pytest.mark.parametrize(
        "identifier",
        ["", ".", "..", "a/b", "../b", "a b", "a\nb", "ü", "a~b", "x" * 1025],
        ids=ascii,
    )
    def test_an_invalid_id(self, refuse: Refusal, identifier: str) -> None:
        refuse.bundle.write()
        message = refuse("create", "--bundle", refuse.bundle.path, "--", identifier)
        assert "invalid container ID format" in message

    @pytest.mark.parametrize("verb", ["start", "state", "kill", "delete", "delete --force"])
    def test_an_invalid_id_of_an_existing_container(self, refuse: Refusal, verb: str) -> None:
        assert "invalid container ID format" in refuse(*verb.split(), "../state")

    @pytest.mark.parametrize("verb", ["start", "state", "kill", "delete"])
    def test_an_id_that_does_not_exist(self, refuse: Refusal, verb: str) -> None:
        assert refuse(verb, "nobody") == "container 'nobody': container does not exist"

    def test_exec_in_a_container_that_does_not_exist(self, refuse: Refusal) -> None:
        message = refuse("exec", "nobody", "/bin/probe", "true", status=255)
        assert message == "container 'nobody': container does not exist"

    def test_an_id_of_any_length_that_does_not_exist(self, refuse: Refusal) -> None:
        assert refuse("state", "x" * 1000).endswith("container does not exist")

    def test_an_id_longer_than_a_file_name_is_refused(self, refuse: Refusal) -> None:
        refuse.bundle.write()
        message = refuse("create", "--bundle", refuse.bundle.path, "x" * 1000)
        assert "invalid container ID" in message or "too long" in message

    def test_an_id_that_exists(self, refuse: Refusal, container: Container, bundle: Bundle) -> None:
        container.bundle.args("true")
        container.create()
        message = refuse("create", "--bundle", bundle.path, container.id)
        assert message == f"container '{container.id}': container with given ID already exists"
        assert container.status == "created"

    @pytest.mark.parametrize("identifier", ["_a+b.c-1", "-leading", "...", "0"])
    def test_a_valid_id_is_not_refused(self, orlop: Cli, bundle: Bundle, identifier: str) -> None:
        bundle.write()
        orlop("create", "--bundle", bundle.path, "--", identifier)
        assert os.path.isdir(orlop.root / identifier)
        orlop("delete", "--force", "--", identifier)


class TestCommandLine:
    """Flags and arguments."""

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            (["exec"], "too few arguments: orlop exec"),
            (["exec", "--process"], "flag needs an argument: --process"),
            (["create"], "too few arguments: orlop create"),
            (["state"], "too few arguments: orlop state"),
            (["state", "a", "b"], "too many arguments: orlop state"),
            (["create", "--no-such-flag", "a"], "flag provided but not defined: --no-such-flag"),
            (["create", "--bundle"], "flag needs an argument: --bundle"),
            (["create", "--preserve-fds", "-1", "a"], "invalid value '-1' of --preserve-fds"),
            (["delete", "--force=perhaps", "a"], "invalid value 'perhaps' of --force"),
            (["kill", "a", "SIGNOTHING"], "unknown signal 'SIGNOTHING'"),
            (["kill", "a", "-1"], "unknown signal '-1'"),
            (["kill", "a", "65"], "unknown signal '65'"),
            (["list", "--format", "xml"], "invalid value 'xml' of --format"),
            (["plan", "--format", "xml", "."], "invalid value 'xml' of --format"),
        ],
    )
    def test_a_wrong_command_line(self, refuse: Refusal, argv: list[str], expected: str) -> None:
        assert expected in refuse(*argv)

    def test_a_command_that_there_is_not_has_a_status_of_its_own(self, refuse: Refusal) -> None:
        assert "unknown command 'no-such-verb'" in refuse("no-such-verb", status=3)

    @pytest.mark.parametrize(
        "argv",
        [["--log-format", "xml"], ["--rootless", "perhaps"], ["--no-such-flag"]],
        ids=str,
    )
    def test_a_wrong_global_flag(self, orlop: Cli, argv: list[str]) -> None:
        result = orlop(*argv, "list", check=False)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert argv[-1] in result.stderr

    @pytest.mark.parametrize("root", ["/", "//", "/tmp/.."])
    def test_the_file_systems_root_as_state_root(self, refuse: Refusal, root: str) -> None:
        assert "--root" in refuse("--root", root, "list")

    def test_a_state_root_that_is_a_file(self, refuse: Refusal, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        refuse.bundle.write()
        message = refuse(
            "--root", tmp_path / "file", "create", "--bundle", refuse.bundle.path, REFUSED
        )
        assert f"{tmp_path}/file" in message
