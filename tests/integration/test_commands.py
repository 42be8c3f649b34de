# SPDX-License-Identifier: Apache-2.0
"""What the command line prints: list, log, plan, features, spec, version, help."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from spec.bundle import check
from spec.version import OCI_VERSION
from tests.support import waiting
from tests.support.bundle import Bundle
from tests.support.cli import Cli, program
from tests.support.features import NOBODY, requires
from tests.unit.spec import standard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.container import Container

#: In the order of a container's life.
VERBS = (
    *("spec", "plan", "create", "start", "run", "exec", "state", "list", "kill", "delete"),
    "features",
)
#: RFC 3339 in UTC.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The runtime, for verbs that make nothing."""
    return Cli(tmp_path)


@requires("root")
class TestList:
    """`list`."""

    def test_without_containers_it_is_null(self, orlop: Cli) -> None:
        orlop.root.mkdir()
        assert orlop("list", "--format", "json").stdout == "null\n"

    def test_without_containers_the_table_is_its_header(self, orlop: Cli) -> None:
        orlop.root.mkdir()
        header = orlop("list").stdout
        assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
        assert header.count("\n") == 1

    def test_a_missing_explicit_root_is_an_error(self, orlop: Cli) -> None:
        result = orlop("list", check=False)
        assert result.returncode == 1
        assert f"{orlop.root}: no such file or directory" in result.stderr

    @requires("rootless")
    def test_a_missing_default_root_is_an_empty_list(self, rootless: Container) -> None:
        result = subprocess.run(
            [*program(), "list", "--format", "json"],
            env={"XDG_RUNTIME_DIR": str(rootless.cli.directory / "nowhere")},
            user=NOBODY,
            capture_output=True,
            text=True,
            check=True,
            timeout=waiting.limit(30),
        )
        assert (result.stdout.strip(), result.stderr) == ("null", "")

    def test_json_has_the_state_of_each_and_its_owner(self, container: Container) -> None:
        container.create()
        listed = json.loads(container.cli("list", "--format=json").stdout)
        assert listed == [{**container.state(), "owner": "root"}]

    @requires("root")
    def test_a_path_that_a_terminal_would_obey_is_shown_as_text(
        self, orlop: Cli, make_container: Callable[[Bundle], Container], tmp_path: Path, cgroup: str
    ) -> None:
        container = make_container(Bundle(tmp_path / "a\x1b[31m\nb", f"{cgroup}/1"))
        container.create()
        header, row = orlop("list").stdout.splitlines()
        assert f"{tmp_path}/a\\x1b[31m\\nb" in row
        assert row.index(str(tmp_path)) == header.index("BUNDLE")

    def test_the_table_has_a_row_for_each(self, container: Container) -> None:
        container.create()
        header, row = container.cli("list").stdout.splitlines()
        state = container.state()
        members = ("id", "pid", "status", "bundle", "created")
        assert row.split() == [*(str(state[member]) for member in members), "root"]
        assert row.index(str(state["pid"])) == header.index("PID")
        assert row.index("root", row.index("Z ")) == header.index("OWNER")

    @pytest.mark.parametrize("flag", ["-q", "--quiet"])
    def test_quiet_has_the_ids_alone(self, container: Container, flag: str) -> None:
        container.create()
        assert container.cli("list", flag).stdout == f"{container.id}\n"

    def test_a_damaged_container_hides_no_other(self, container: Container) -> None:
        container.create()
        damaged = container.cli.root / "damaged"
        damaged.mkdir()
        (damaged / "state.json").write_text("{")
        result = container.cli("list", "--format", "json")
        (damaged / "state.json").unlink()
        damaged.rmdir()
        assert [each["id"] for each in json.loads(result.stdout)] == [container.id]
        assert "load container damaged: state.json is damaged" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_its_columns_are_runcs(self, container: Container) -> None:
        """At least 12 wide, and 3 apart."""
        container.create()
        header = container.cli("list").stdout.splitlines()[0]
        state = container.state()
        widths = [max(12, len(str(state[key])) + 3) for key in ("id", "pid", "status")]
        assert header.index("PID") == widths[0]
        assert header.index("STATUS") == sum(widths[:2])
        assert header.index("BUNDLE") == sum(widths)

    def test_a_stopped_container_has_pid_0(self, container: Container) -> None:
        container.create()
        pid = container.pid
        container.kill("KILL")
        waiting.ended(pid)
        (listed,) = json.loads(container.cli("list", "-f", "json").stdout)
        assert (listed["status"], listed["pid"]) == ("stopped", 0)


class TestLog:
    """`--log`, `--log-format`, `--debug`."""

    def test_json_is_one_object_on_one_line(self, cli: Cli, tmp_path: Path) -> None:
        cli("--log", tmp_path / "log", "--log-format", "json", "state", "nobody", check=False)
        text = (tmp_path / "log").read_text()
        assert text.count("\n") == 1
        assert text.endswith("\n")
        entry = json.loads(text)
        assert list(entry)[:3] == ["level", "msg", "time"]
        assert entry["level"] == "error"
        assert entry["msg"] == "container 'nobody': container does not exist"
        assert TIME.fullmatch(entry["time"])

    def test_text_is_one_line(self, cli: Cli, tmp_path: Path) -> None:
        for options in ([], ["--log-format", "text"]):
            cli("--log", tmp_path / "log", *options, "state", 'no"body', check=False)
        lines = (tmp_path / "log").read_text().splitlines()
        assert len(lines) == 2
        for line in lines:
            match = re.fullmatch(r'time="([^"]*)" level=error msg=(".*")', line)
            assert match
            assert TIME.fullmatch(match[1])
            assert "invalid container ID format" in json.loads(match[2])

    def test_standard_error_has_the_message_too(self, cli: Cli, tmp_path: Path) -> None:
        for options in ([], ["--log", f"{tmp_path}/log", "--log-format=json"]):
            result = cli(*options, "state", "nobody", check=False)
            assert result.stderr == "orlop: container 'nobody': container does not exist\n"

    def test_it_is_appended_to(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("before\n")
        cli("--log", tmp_path / "log", "state", "nobody", check=False)
        before, line = (tmp_path / "log").read_text().splitlines()
        assert before == "before"
        assert "level=error" in line

    def test_a_new_one_can_be_read_by_all(self, cli: Cli, tmp_path: Path) -> None:
        cli("--log", tmp_path / "log", "state", "nobody", check=False)
        assert stat.S_IMODE(os.stat(tmp_path / "log").st_mode) == 0o644

    @requires("root")
    def test_success_writes_nothing(self, container: Container, tmp_path: Path) -> None:
        container.bundle.write()
        log = ["--log", f"{tmp_path}/log", "--log-format", "json"]
        container.cli(*log, "run", "--bundle", container.bundle.path, container.id)
        assert not (tmp_path / "log").exists() or (tmp_path / "log").read_text() == ""

    @requires("root")
    def test_debug_logs_each_step(self, container: Container, tmp_path: Path) -> None:
        container.bundle.process["env"] = ["SECRET=hidden"]
        container.bundle.write()
        log = ["--debug", "--log", f"{tmp_path}/log", "--log-format", "json"]
        result = container.cli(*log, "create", "--bundle", container.bundle.path, container.id)
        assert result.stderr == ""
        entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert {entry["level"] for entry in entries} == {"debug"}
        assert any("proc on /proc" in entry["msg"] for entry in entries)
        assert "SECRET" in entries[-1]["msg"]
        assert "hidden" not in (tmp_path / "log").read_text()


class TestPlan:
    """`plan`."""

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Bundle:
        """A bundle that needs no fixture of root's."""
        bundle = Bundle(tmp_path / "bundle", "/orlop-test-plan")
        bundle.process["env"] = ["PATH=/bin", "SECRET=hidden"]
        bundle.write()
        return bundle

    def test_text_has_an_operation_a_line_with_its_pointer(self, cli: Cli, bundle: Bundle) -> None:
        lines = cli("plan", bundle.path).stdout.splitlines()
        assert lines[0].split()[0] == "clone"
        numbers = [int(line.split()[0]) for line in lines[1:]]
        assert numbers == list(range(1, len(lines)))
        assert any("proc on /proc" in line and line.endswith("/mounts/0") for line in lines)
        assert "exec /bin/probe true" in lines[-1]

    def test_json_has_the_same_operations(self, cli: Cli, bundle: Bundle) -> None:
        text = cli("plan", bundle.path).stdout.splitlines()[1:]
        plan = json.loads(cli("plan", "--format", "json", bundle.path).stdout)
        assert {"pid", "mount", "network", "ipc", "uts"} <= set(plan["clone"])
        assert len(plan["operations"]) == len(text)
        for operation, line in zip(plan["operations"], text, strict=True):
            assert operation["text"] in line
            assert line.endswith(operation["pointer"])

    def test_values_of_the_environment_are_in_neither(self, cli: Cli, bundle: Bundle) -> None:
        for form in ("text", "json"):
            shown = cli("plan", "--format", form, bundle.path).stdout
            assert "SECRET" in shown
            assert "hidden" not in shown

    def test_the_bundle_is_the_working_directory_unless_told_otherwise(
        self, cli: Cli, bundle: Bundle
    ) -> None:
        assert cli("plan", cwd=bundle.path).stdout == cli("plan", bundle.path).stdout

    def test_nothing_is_made(self, cli: Cli, bundle: Bundle) -> None:
        cli("plan", bundle.path)
        assert not cli.root.exists()
        assert [entry.name for entry in (bundle.rootfs / "dev").iterdir()] == []

    @requires("rootless")
    def test_it_needs_no_privilege(self, rootless: Container, bundle: Bundle) -> None:
        for spec in (rootless.bundle.spec, bundle.spec):
            rootless.bundle.spec = spec
            rootless.bundle.write()
            path = rootless.bundle.path
            lines = rootless.cli("plan", path).stdout.splitlines()
            assert "exec /bin/probe true" in lines[-1]
            plan = json.loads(rootless.cli("plan", "--format", "json", path).stdout)
            assert len(plan["operations"]) == len(lines) - 1

    def test_violations_are_said_as_create_says_them(self, cli: Cli, bundle: Bundle) -> None:
        bundle.process["cwd"] = "work"
        bundle.write()
        result = cli("plan", bundle.path, check=False)
        assert result.returncode == 1
        assert '/process/cwd: found "work", expected an absolute path' in result.stderr
        assert result.stdout == ""


class TestFeatures:
    """`features` (features.md)."""

    @pytest.fixture
    def document(self, cli: Cli) -> dict[str, object]:
        """The document; nothing beside it is printed, as CRI-O reads both outputs as one."""
        result = cli("features")
        assert result.stderr == ""
        document: dict[str, object] = json.loads(result.stdout)
        return document

    def test_it_says_what_docker_and_crio_read(self, document: dict[str, object]) -> None:
        assert document["ociVersionMax"] == OCI_VERSION
        assert document["ociVersionMin"] == "1.0.0"
        linux = document["linux"]
        assert isinstance(linux, dict)
        assert isinstance(linux["seccomp"]["enabled"], bool)
        assert isinstance(linux["mountExtensions"]["idmap"]["enabled"], bool)
        assert {"v1", "v2", "systemd"} <= linux["cgroup"].keys()

    def test_it_names_the_hooks_and_namespaces(self, document: dict[str, object]) -> None:
        kinds = "prestart createRuntime createContainer startContainer poststart poststop"
        assert document["hooks"] == kinds.split()
        linux = document["linux"]
        assert isinstance(linux, dict)
        kinds = "cgroup ipc mount network pid time user uts"
        there = {kind for kind in kinds.split() if _kernel_has(kind)}
        assert set(linux["namespaces"]) == there

    @standard.needed
    def test_it_has_every_member_of_the_standard(self, document: dict[str, Any]) -> None:
        assert standard.validator("features").is_valid(document)
        files = [standard.FOLDER / f"features-{name}.json" for name in ("schema", "linux")]
        schema, linux = (json.loads(file.read_text()) for file in files)
        wanted = members(schema) | members(linux["linux"], "/linux")
        assert len(wanted) > 20
        assert wanted - paths(document) == set()

    @requires("runc")
    def test_it_knows_what_runc_knows(self, document: dict[str, object]) -> None:
        """acl, noacl: gone from runc since (its issue 3738), as they are no flags of mounts."""
        result = subprocess.run(["runc", "features"], capture_output=True, check=True)
        theirs = json.loads(result.stdout)
        ours = paths(document)
        found = {path for path in paths(theirs) if not path.startswith("/annotations/")}
        assert found - ours == {"/mountOptions/acl", "/mountOptions/noacl"}

    def test_it_obeys_our_schema(self, document: dict[str, object]) -> None:
        from spec._features_check import valid

        verdict: Callable[[object], bool] = valid
        assert verdict(document)


def members(schema: dict[str, Any], pointer: str = "") -> set[str]:
    """The properties that a schema names, but for those of other files."""
    found: set[str] = set()
    for name, below in schema.get("properties", {}).items():
        path = f"{pointer}/{name}"
        found |= {path} | members(below, path)
    return found


def paths(value: object, pointer: str = "") -> set[str]:
    """What a document has: its members, and the words in its lists."""
    if isinstance(value, dict):
        below = [(f"{pointer}/{name}", member) for name, member in value.items()]
    elif isinstance(value, list):
        below = [(f"{pointer}/{word}", None) for word in value]
    else:
        below = []
    return {path for path, _ in below}.union(*(paths(member, path) for path, member in below))


def _kernel_has(kind: str) -> bool:
    file = {"mount": "mnt", "network": "net"}.get(kind, kind)
    return os.path.exists(f"/proc/self/ns/{file}")


class TestSpec:
    """`spec`."""

    @pytest.mark.parametrize("options", [[], ["--rootless"]], ids=["root", "rootless"])
    def test_what_it_writes_is_valid(self, cli: Cli, tmp_path: Path, options: list[str]) -> None:
        result = cli("spec", "--bundle", tmp_path, *options)
        assert (result.stdout, result.stderr) == ("", "")
        document = json.loads((tmp_path / "config.json").read_text())
        assert check(document) == ([], [])
        kinds = {namespace["type"] for namespace in document["linux"]["namespaces"]}
        assert ("user" in kinds) == bool(options)

    def test_rootless_maps_the_caller(self, cli: Cli, tmp_path: Path) -> None:
        cli("spec", "--rootless", cwd=tmp_path)
        linux = json.loads((tmp_path / "config.json").read_text())["linux"]
        expected = {"containerID": 0, "hostID": os.geteuid(), "size": 1}
        assert linux["uidMappings"] == [expected]

    def test_no_capability_is_inheritable(self, cli: Cli, tmp_path: Path) -> None:
        # CVE-2022-29162.
        cli("spec", "-b", tmp_path)
        capabilities = json.loads((tmp_path / "config.json").read_text())["process"]["capabilities"]
        assert "CAP_KILL" in capabilities["permitted"]
        assert not capabilities.get("inheritable")
        assert not capabilities.get("ambient")

    def test_a_file_that_is_there_stays(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("mine")
        result = cli("spec", "--bundle", tmp_path, check=False)
        assert result.returncode == 1
        assert f"{tmp_path}/config.json" in result.stderr
        assert (tmp_path / "config.json").read_text() == "mine"

    @requires("root")
    def test_a_container_of_it_runs(self, orlop: Cli, container: Container) -> None:
        bundle = container.bundle
        orlop("spec", "--bundle", bundle.path)
        text = (bundle.path / "config.json").read_text()
        changed = text.replace('"terminal": true', '"terminal": false').replace('"sh"', '"probe"')
        (bundle.path / "config.json").write_text(changed)
        orlop("run", "--bundle", bundle.path, container.id)


class TestVersionAndHelp:
    """`--version`, `--help`."""

    @pytest.mark.parametrize("flag", ["--version", "-v", "-version"])
    def test_docker_finds_the_version(self, cli: Cli, flag: str) -> None:
        # Docker takes the last word of every line that has "version" in it.
        lines = cli(flag).stdout.splitlines()
        assert [line for line in lines if "version" in line] == lines[:1]
        assert re.fullmatch(r"orlop version \d+\.\d+\.\d+\S*", lines[0])
        assert lines[1].startswith("commit: ")
        assert lines[2] == f"spec: {OCI_VERSION}"

    def test_help_names_every_verb(self, cli: Cli) -> None:
        text = cli("--help").stdout
        assert all(re.search(rf"^  {verb} ", text, re.MULTILINE) for verb in VERBS)
        assert cli().stdout == text

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_explains_itself(self, cli: Cli, verb: str) -> None:
        for argv in ([verb, "--help"], [verb, "-h"], ["help", verb]):
            assert cli(*argv).stdout.startswith(f"usage: orlop {verb}")
