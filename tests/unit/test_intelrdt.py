# SPDX-License-Identifier: Apache-2.0
"""resctrl groups, on a tree that behaves as the kernel's.

The tests' machines have no hardware with resctrl, so that the file system is played by directories:
making a group fills it with its files, and removing one removes them. Everything else is real.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from runtime import intelrdt, prepare
from runtime.cgroups.host import Host
from runtime.compile import compile_container
from runtime.context import Context, Request
from runtime.errors import Unsupported
from runtime.execute import compile_exec
from runtime.host import Facts
from runtime.intelrdt import Group
from spec.errors import OrlopError
from spec.jsontext import dumps, loads
from spec.template import default_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "c1"
FACTS = Facts(
    privileged=True,
    uid=0,
    gid=0,
    kcore=False,
    cgroup=Host("v2", [], None),
    last_capability=40,
)
ROOT_SCHEMATA = "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n"


@pytest.fixture
def resctrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where resctrl is "mounted"."""
    root = tmp_path / "resctrl"
    real_mkdir, real_rmdir = os.mkdir, os.rmdir

    def mkdir(path: str, mode: int = 0o777) -> None:
        real_mkdir(path, mode)
        for name in ("tasks", "cpus"):
            (root / path / name).touch()
        if os.path.basename(os.path.dirname(path)) != "mon_groups":
            (root / path / "schemata").write_text(ROOT_SCHEMATA)
            real_mkdir(os.path.join(path, "mon_groups"))

    def rmdir(path: str) -> None:
        for folder, _, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            real_rmdir(folder)
        if not os.path.isdir(os.path.dirname(path)):
            raise FileNotFoundError(errno.ENOENT, path)

    mkdir(str(root))
    real_mkdir(root / "info")
    real_mkdir(root / "info/MB")
    (root / "info/MB/bandwidth_gran").write_text("10\n")
    (root / "info/last_cmd_status").write_text("ok\n")
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "rmdir", rmdir)
    return root


def create(root: Path, config: Any) -> Group:  # noqa: ANN401
    """The group of a container, made."""
    group = Group.resolve(config, ID, str(root))
    group.create(config)
    return group


class TestGroup:
    def test_without_an_id_the_container_has_its_own_until_it_goes(self, resctrl: Path) -> None:
        group = create(resctrl, {})
        assert group.joined() == [f"{resctrl}/{ID}"]
        assert (resctrl / ID / "schemata").read_text() == ROOT_SCHEMATA
        group.remove()
        assert not (resctrl / ID).exists()
        group.remove()

    def test_a_directory_of_the_containers_name_that_was_there_stays(self, resctrl: Path) -> None:
        os.mkdir(str(resctrl / ID))
        create(resctrl, {}).remove()
        assert (resctrl / ID).is_dir()

    def test_a_class_with_schemata_is_made_and_stays(self, resctrl: Path) -> None:
        group = create(resctrl, {"closID": "gold", "schemata": ["L3:0=ff"]})
        assert group.joined() == [f"{resctrl}/gold"]
        assert (resctrl / "gold/schemata").read_text().startswith("L3:0=ff\n")
        group.remove()
        assert (resctrl / "gold").is_dir()

    def test_a_class_without_schemata_must_be_there(self, resctrl: Path) -> None:
        with pytest.raises(OrlopError, match="no such directory") as caught:
            create(resctrl, {"closID": "gold"})
        assert caught.value.pointer == "/linux/intelRdt/closID"
        os.mkdir(str(resctrl / "gold"))
        assert create(resctrl, {"closID": "gold"}).joined() == [f"{resctrl}/gold"]
        assert (resctrl / "gold/schemata").read_text() == ROOT_SCHEMATA

    def test_a_slash_is_the_default_class(self, resctrl: Path) -> None:
        group = create(resctrl, {"closID": "/"})
        assert group.joined() == [str(resctrl)]
        group.remove()
        assert (resctrl / "schemata").exists()

    @pytest.mark.parametrize("name", ["info", "mon_groups", "mon_data"])
    def test_names_of_resctrls_own_are_no_class(self, resctrl: Path, name: str) -> None:
        with pytest.raises(OrlopError, match="resctrl's own"):
            Group.resolve({"closID": name}, ID, str(resctrl))
        with pytest.raises(OrlopError, match="resctrl's own"):
            Group.resolve({}, name, str(resctrl))

    def test_it_is_the_same_after_the_state(self, resctrl: Path) -> None:
        group = create(resctrl, {"enableMonitoring": True})
        saved: Any = loads(dumps(group.saved()))
        again = Group.load(saved)
        assert again.saved() == group.saved()
        again.remove()
        assert not (resctrl / ID).exists()


class TestSchemata:
    def test_the_caches_line_is_first_and_the_list_is_last(self, resctrl: Path) -> None:
        config = {
            "schemata": ["L2:0=f", "MB:1=20"],
            "memBwSchema": "MB:0=20;1=70",
            "l3CacheSchema": "L3:0=7f0;1=1f",
        }
        create(resctrl, config)
        lines = (resctrl / ID / "schemata").read_text().splitlines()
        assert lines == ["L3:0=7f0;1=1f", "MB:0=20;1=70", "L2:0=f", "MB:1=20"]

    @pytest.mark.parametrize(
        "config",
        [
            {"l3CacheSchema": "L3:1=000fffff"},
            {"memBwSchema": "MB:1=100; 0=100"},
            {"memBwSchema": "MB:0=93"},  # which the kernel rounds up to 100
            {"l3CacheSchema": "L3:0=FFFFF;1=fffff", "schemata": ["MB:0=10"]},
        ],
    )
    def test_a_class_that_is_there_must_have_them(self, resctrl: Path, config: Any) -> None:  # noqa: ANN401
        os.mkdir(str(resctrl / "gold"))
        assert create(resctrl, {"closID": "gold", **config}).joined() == [f"{resctrl}/gold"]

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            ("l3CacheSchema", "L3:0=ff"),
            ("l3CacheSchema", "L3:2=fffff"),
            ("memBwSchema", "MB:0=20"),
        ],
    )
    def test_one_that_has_others_is_an_error(self, resctrl: Path, key: str, line: str) -> None:
        os.mkdir(str(resctrl / "gold"))
        with pytest.raises(OrlopError, match="is not what the class of service") as caught:
            create(resctrl, {"closID": "gold", key: line})
        assert caught.value.pointer == f"/linux/intelRdt/{key}"
        assert (resctrl / "gold/schemata").read_text() == ROOT_SCHEMATA

    def test_what_is_no_line_is_an_error(self) -> None:
        with pytest.raises(OrlopError, match="not a line of schemata"):
            intelrdt.parse_schema("L3:0=xyz")

    def test_a_failed_write_says_what_the_kernel_says(self, resctrl: Path) -> None:
        os.mkdir(str(resctrl / "gold"))
        (resctrl / "gold/schemata").unlink()
        (resctrl / "info/last_cmd_status").write_text("mask is not contiguous\n")
        with pytest.raises(OrlopError, match=r"L3:0=f0f .*\(mask is not contiguous\)"):
            create(resctrl, {"closID": "gold", "schemata": ["L3:0=f0f"]})


class TestMonitoring:
    def test_the_group_is_the_containers_in_a_class_of_others(self, resctrl: Path) -> None:
        os.mkdir(str(resctrl / "gold"))
        group = create(resctrl, {"closID": "gold", "enableMonitoring": True})
        assert group.joined() == [f"{resctrl}/gold", f"{resctrl}/gold/mon_groups/{ID}"]
        assert (resctrl / "gold/mon_groups" / ID / "tasks").exists()
        group.remove()
        assert os.listdir(resctrl / "gold/mon_groups") == []
        assert (resctrl / "gold").is_dir()

    def test_what_cannot_be_made_is_an_error_with_its_pointer(self, resctrl: Path) -> None:
        os.mkdir(str(resctrl / "gold"))
        (resctrl / "gold/mon_groups").rmdir()
        group = Group.resolve({"closID": "gold", "enableMonitoring": True}, ID, str(resctrl))
        with pytest.raises(OrlopError, match="No such file") as caught:
            group.create({"closID": "gold", "enableMonitoring": True})
        assert caught.value.pointer == "/linux/intelRdt/enableMonitoring"

    def test_what_a_failed_create_made_is_undone(self, resctrl: Path) -> None:
        config: Any = {"closID": "gold", "schemata": ["L3:0=f"], "enableMonitoring": True}
        create(resctrl, config).undo()
        assert not (resctrl / "gold").exists()


class TestPlan:
    def test_the_init_joins_before_its_namespaces(
        self, resctrl: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec: Any = loads(dumps(default_spec()))
        spec["linux"]["intelRdt"] = {"enableMonitoring": True}
        monkeypatch.setattr(intelrdt, "mount_point", lambda: str(resctrl))
        group = prepare.resolve_resctrl(spec, ID)
        assert group is not None
        names = [f"resctrl/{directory}" for directory in group.joined()]
        assert names == [f"resctrl/{resctrl}/{ID}", f"resctrl/{resctrl}/{ID}/mon_groups/{ID}"]
        assert operations(spec, group)[:3] == ["non-dumpable", "cgroup", "cgroup"]

    def test_an_exec_joins_the_group_too(self) -> None:
        spec: Any = loads(dumps(default_spec()))
        context = Context(spec, FACTS, Request("", ""))
        context.request.resctrl = ["/r/gold", f"/r/gold/mon_groups/{ID}"]
        plan = compile_exec(context, ["pid"], [])
        joined = [op.fd for op in plan.ops if op.name == "cgroup"]
        assert joined == ["resctrl//r/gold", f"resctrl//r/gold/mon_groups/{ID}"]
        assert [op.name for op in plan.ops].index("cgroup") < len(joined)

    def test_a_configuration_without_it_has_none(self) -> None:
        spec: Any = loads(dumps(default_spec()))
        assert prepare.resolve_resctrl(spec, ID) is None


def operations(spec: Any, group: Group) -> list[str]:  # noqa: ANN401
    """Names of the plan's operations, on a host with cgroup v2."""
    request = Request(ID, "/rootfs", clone_into_cgroup=True)
    request.resctrl = group.joined()
    plan = compile_container(spec, FACTS, request)
    return [op.name for op in plan.ops]


@pytest.fixture
def mountinfo(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the mount table be this text."""

    def give(text: str) -> None:
        monkeypatch.setattr(intelrdt, "read_all", lambda _: text)

    return give


class TestMountPoint:
    LINE = "40 25 0:38 / {} rw,nosuid shared:9 - resctrl resctrl rw\n"
    OTHER = "24 29 0:22 / /resctrl rw - sysfs resctrl rw\n"

    def test_it_may_be_anywhere(self, mountinfo: Callable[[str], None]) -> None:
        mountinfo(self.OTHER + self.LINE.format("/mnt/a\\040b"))
        assert intelrdt.mount_point() == "/mnt/a b"

    def test_without_one_the_property_is_refused(self, mountinfo: Callable[[str], None]) -> None:
        mountinfo(self.OTHER)
        with pytest.raises(Unsupported, match="no resctrl") as caught:
            intelrdt.mount_point()
        assert caught.value.pointer == "/linux/intelRdt"
        assert "mount -t resctrl" in caught.value.hint
