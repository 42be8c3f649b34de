# SPDX-License-Identifier: Apache-2.0
"""State on disk, and processes by identity."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import processes, state
from runtime.errors import AlreadyExists, InvalidId, NotFound
from runtime.processes import Identity
from runtime.state import Directory, Record
from spec.errors import OrlopError
from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def a_record(container_id: str = "c1") -> Record:
    record = Record(container_id, "/bundle", "/bundle/rootfs")
    record.init = Identity.of(os.getpid())
    record.cgroup = {"driver": "x", "paths": {"memory": "/a"}}
    record.annotations = {"a.b/c": "d\n\u20ac"}
    record.hooks = {"poststop": [{"path": "/bin/true"}]}
    record.shares_pids = True
    return record


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    made = Directory.reserve(str(tmp_path / "root"), a_record())
    yield made
    made.close()


class TestIds:
    @given(st.from_regex(r"[A-Za-z0-9_+.-]{1,100}", fullmatch=True))
    def test_letters_digits_and_some_signs_are_allowed(self, container_id: str) -> None:
        if container_id not in (".", ".."):
            state.check_id(container_id)

    @given(st.text(max_size=40))
    def test_nothing_else_is(self, container_id: str) -> None:
        good = re.fullmatch(r"[A-Za-z0-9_+.-]+", container_id, re.ASCII)
        if good and container_id not in (".", ".."):
            state.check_id(container_id)
        else:
            with pytest.raises(InvalidId, match="invalid container ID format"):
                state.check_id(container_id)

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\n", "~a", "a\0", "x" * 1025])
    def test_these_are_refused_everywhere(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InvalidId):
            Directory.open(str(tmp_path), name)
        with pytest.raises(InvalidId):
            Directory.reserve(str(tmp_path), a_record(name))
        assert list(tmp_path.iterdir()) == []

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
    @given(st.from_regex(r"[A-Za-z0-9_+.-]{1,80}", fullmatch=True))
    def test_any_that_is_allowed_can_be_used(self, tmp_path: Path, container_id: str) -> None:
        if container_id in (".", ".."):
            return
        root = str(tmp_path)
        made = Directory.reserve(root, a_record(container_id))
        assert state.ids(root) == [container_id]
        made.remove()
        made.close()
        assert list(tmp_path.iterdir()) == []

    def test_one_too_long_for_the_file_system_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            Directory.open(str(tmp_path), "x" * 300)


class TestRecords:
    def test_what_is_written_is_read(self, directory: Directory) -> None:
        read = directory.read()
        expected = a_record()
        expected.created = read.created
        assert read.save() == expected.save()
        assert read.annotations == {"a.b/c": "d\n\u20ac"}
        assert read.init is not None
        assert read.init.is_alive()

    def test_the_file_is_json_for_others_too(self, directory: Directory, tmp_path: Path) -> None:
        saved = json.loads((tmp_path / "root" / "c1" / "state.json").read_text())
        assert (saved["version"], saved["id"], saved["owner"]) == (1, "c1", os.geteuid())
        assert directory.id == "c1"

    def test_bytes_that_are_no_utf8_survive(self, tmp_path: Path) -> None:
        record = Record("c", "/b\udcff", "/b\udcff/rootfs")
        made = Directory.reserve(str(tmp_path), record)
        assert made.read().bundle == "/b\udcff"
        made.close()

    def test_none_else_may_look(self, directory: Directory, tmp_path: Path) -> None:
        for name, mode in (("root", 0o700), ("root/c1", 0o700), ("root/c1/state.json", 0o600)):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        assert directory.fd >= 0

    def test_time_is_rfc3339_with_nanoseconds(self) -> None:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", state.now())


def damaged() -> list[str]:
    """Texts that are no record: no JSON, a member missing, a member of another type."""
    texts = [
        "",
        "{",
        "null",
        "[]",
        "1",
        '"x"',
        "\0",
        "{}",
        "[" * 10000,
        '{"version": 1}',
        "1" * 5000,
    ]
    good: dict[str, Any] = json.loads(a_record().save())
    others: list[object] = [7, "x", [], {}, [[]], None, True, -1, 1e999]
    for key, member in good.items():
        texts.append(without(good, key))
        texts += [
            json.dumps({**good, key: other})
            for other in others
            if type(other) is not type(member) and not _is_allowed(key, other)
        ]
    texts += [
        json.dumps({**good, "init": json.loads(without(good["init"], k))}) for k in good["init"]
    ]
    texts.append(json.dumps({**good, "init": {**good["init"], "pid": "x"}}))
    texts.append(json.dumps({**good, "init": {**good["init"], "startTime": None}}))
    return texts


def without(members: dict[str, Any], key: str) -> str:
    """An object that lacks a member."""
    return json.dumps({k: v for k, v in members.items() if k != key})


def _is_allowed(key: str, value: object) -> bool:
    """An empty identity or group is none; true is a number to Python, and harms nobody."""
    if key in ("creator", "init", "cgroup", "resctrl"):
        return not value
    return key in ("version", "owner") and value is True


class TestDamage:
    @pytest.mark.parametrize("text", damaged(), ids=lambda text: text[:60])
    def test_a_damaged_record_is_a_clear_error(self, text: str) -> None:
        with pytest.raises(OrlopError) as caught:
            Record.load(text)
        assert "state.json" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
    def test_another_versions_record_is_refused(self, version: object) -> None:
        saved = {**json.loads(a_record().save()), "version": version}
        with pytest.raises(OrlopError, match="another version") as caught:
            Record.load(json.dumps(saved))
        assert caught.value.hint

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_any_damage_is_an_error_or_a_record(self, data: st.DataObject) -> None:
        text = a_record().save()
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 20))
        text = text[:at] + data.draw(st.text(max_size=10)) + text[at + length :]
        try:
            record = Record.load(text)
        except OrlopError:
            return
        assert state.oci_state(record, "running")["id"] == record.id
        if record.init:
            record.init.is_alive()

    def test_a_file_cut_short_is_damaged(self, directory: Directory, tmp_path: Path) -> None:
        file = tmp_path / "root" / "c1" / "state.json"
        file.write_bytes(file.read_bytes()[:50])
        with pytest.raises(OrlopError, match=r"state\.json"):
            directory.read()

    def test_a_directory_without_a_record_is_no_container(self, tmp_path: Path) -> None:
        (tmp_path / "c1").mkdir()
        opened = Directory.open(str(tmp_path), "c1")
        with pytest.raises(NotFound):
            opened.read()
        opened.close()


class TestDirectories:
    def test_an_id_is_reserved_once(self, directory: Directory) -> None:
        with pytest.raises(AlreadyExists, match="container with given ID already exists"):
            Directory.reserve(directory.root, a_record())
        assert os.listdir(directory.root) == ["c1"]

    def test_of_many_that_reserve_at_once_one_does(self, tmp_path: Path) -> None:
        """Processes, not threads: the name that is made first carries the pid."""
        children = []
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                try:
                    Directory.reserve(str(tmp_path), a_record())
                except AlreadyExists:
                    os._exit(1)
                except BaseException:  # noqa: BLE001 - the test's answer is the exit status
                    os._exit(2)
                os._exit(0)
            children.append(pid)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        assert sorted(statuses) == [0] + [1] * 7
        assert os.listdir(tmp_path) == ["c1"]

    def test_a_reader_sees_a_whole_record_while_it_is_replaced(self, directory: Directory) -> None:
        stop = os.getpid()
        child = os.fork()
        if child == 0:
            record = a_record()
            other = Directory.open(directory.root, "c1")
            for number in range(300):
                record.annotations = {"n": "x" * (number * 97 % 5000)}
                other.write(record)
            os._exit(0)
        read = 0
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert set(directory.read().annotations.get("n", "")) <= {"x"}
            read += 1
        assert read > 0
        assert os.getpid() == stop
        assert os.listdir(directory.fd) == ["state.json"]

    def test_a_failing_reserve_leaves_nothing(self, tmp_path: Path) -> None:
        record = a_record()
        wrong: dict[str, Any] = {"a": object()}  # can't be saved
        record.annotations = wrong
        with pytest.raises(Exception, match="object"):
            Directory.reserve(str(tmp_path), record)
        assert os.listdir(tmp_path) == []

    def test_what_was_removed_is_gone_for_who_waits_for_the_lock(
        self, directory: Directory
    ) -> None:
        other = Directory.open(directory.root, "c1")
        directory.remove()
        with pytest.raises(NotFound):
            other.lock()
        with pytest.raises(NotFound):
            Directory.open(directory.root, "c1")
        directory.remove()  # again is fine
        other.close()

    def test_the_lock_excludes(self, directory: Directory) -> None:
        import fcntl

        other = Directory.open(directory.root, "c1")
        directory.lock()
        with pytest.raises(BlockingIOError):
            fcntl.flock(other.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory.unlock()
        fcntl.flock(other.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other.close()

    def test_the_socket_says_that_it_waits(self, directory: Directory, tmp_path: Path) -> None:
        assert not directory.has_socket()
        (tmp_path / "root" / "c1" / state.SOCKET).touch()
        assert directory.has_socket()

    def test_descriptors_are_not_inherited(self, directory: Directory) -> None:
        assert not os.get_inheritable(directory.fd)

    def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(
        self, tmp_path: Path
    ) -> None:
        dead = subprocess.Popen(["true"])
        dead.wait()
        for name in (f"~c1.{dead.pid}", f"~c1.{os.getpid()}", f"~other.{dead.pid}", "~c1.x"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "state.json").touch()
        assert state.remove_leftovers(str(tmp_path), "c1")
        left = {f"~c1.{os.getpid()}", f"~other.{dead.pid}", "~c1.x"}
        assert {p.name for p in tmp_path.iterdir()} == left
        assert not state.remove_leftovers(str(tmp_path), "c1")

    def test_ids_are_sorted_and_leave_out_what_is_being_made(self, tmp_path: Path) -> None:
        for name in ("b", "a", "~c.1", "A"):
            (tmp_path / name).mkdir()
        assert state.ids(str(tmp_path)) == ["A", "a", "b"]

    def test_a_missing_root_has_no_containers(self, tmp_path: Path) -> None:
        assert state.ids(str(tmp_path / "missing")) == []
        assert not state.remove_leftovers(str(tmp_path / "missing"), "c")
        with pytest.raises(NotFound):
            Directory.open(str(tmp_path / "missing"), "c")


class TestIdentity:
    def test_a_process_is_itself(self) -> None:
        me = Identity.of(os.getpid())
        again = Identity.load(me.save())
        assert again.is_alive()
        os.close(again.open())

    def test_a_process_that_has_ended_is_not_alive(self) -> None:
        child = subprocess.Popen(["sleep", "100"])
        identity = Identity.of(child.pid)
        fd = identity.open()
        child.kill()
        waiting.readable(fd, 20, "its end")
        os.close(fd)
        assert not identity.is_alive()  # a zombie
        with pytest.raises(ProcessLookupError):
            os.close(identity.open())
        child.wait()
        assert not identity.is_alive()
        with pytest.raises(ProcessLookupError):
            os.close(identity.open())

    @pytest.mark.parametrize("change", ["start", "boot"])
    def test_a_pid_that_was_used_again_is_another_process(self, change: str) -> None:
        me = Identity.of(os.getpid())
        if change == "start":
            other = Identity(me.pid, me.start_time + 1, me.boot)
        else:
            other = Identity(me.pid, me.start_time, "00000000-0000-0000-0000-000000000000")
        assert not other.is_alive()
        before = os.listdir("/proc/self/fd")
        with pytest.raises(ProcessLookupError):
            other.open()
        assert os.listdir("/proc/self/fd") == before

    def test_a_pid_that_is_a_threads_by_now_is_no_process(self) -> None:
        """Threads have numbers of the same kind, and files in /proc; pidfd_open(2) refuses them."""
        done, numbers = threading.Event(), []
        started = threading.Event()

        def wait() -> None:
            numbers.append(threading.get_native_id())
            started.set()
            done.wait()

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            assert started.wait(waiting.limit(20))
            other = Identity(numbers[0], 1, processes.boot_id())
            assert not other.is_alive()
            with pytest.raises(ProcessLookupError):
                other.open()
        finally:
            done.set()
            thread.join()

    @pytest.mark.parametrize("name", ["a b", "x) R 1 (y", ")", "\n) Z 1"])
    def test_a_program_with_a_misleading_name_is_read_right(
        self, tmp_path: Path, name: str
    ) -> None:
        """The name stands in /proc/PID/stat between parentheses, as it is (proc_pid_stat(5))."""
        os.symlink("/bin/sleep", tmp_path / name)
        child = subprocess.Popen([tmp_path / name, "100"])
        try:
            assert processes.stat(child.pid)[0] in ("R", "S", "D")
            assert Identity.of(child.pid).is_alive()
        finally:
            child.kill()
            child.wait()

    def test_no_process_is_a_lookup_error(self) -> None:
        child = subprocess.Popen(["true"])
        child.wait()
        with pytest.raises(ProcessLookupError) as caught:
            Identity.of(child.pid)
        assert caught.value.errno == errno.ESRCH


def test_the_standards_state_has_a_pid_only_where_there_is_a_process() -> None:
    record = a_record()
    assert state.oci_state(record, "running")["pid"] == os.getpid()
    assert state.oci_state(record, "stopped")["pid"] == 0
    record.init = None
    assert state.oci_state(record, "creating")["pid"] == 0


def test_what_a_zombie_left_is_removed(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    left = tmp_path / f"~c1.{pid}"
    left.mkdir()
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert state.remove_leftovers(str(tmp_path), "c1")
    finally:
        os.waitpid(pid, 0)
    assert not left.exists()


def test_a_root_that_goes_with_its_last_container_is_made_anew(tmp_path: Path) -> None:
    """Two who make and remove containers, and the root with the last one, as shims do."""
    root = tmp_path / "root"

    def live(container_id: str) -> None:
        for _ in range(300):
            record = a_record()
            record.id = container_id
            directory = Directory.reserve(str(root), record)
            directory.remove()
            directory.close()
            with contextlib.suppress(OSError):  # not empty, or gone
                root.rmdir()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(live, ("c1", "c2")))
    assert not root.exists()
