# SPDX-License-Identifier: Apache-2.0
"""native/host/shared_heap.c: what a fork gives back, and that nothing is lost by it.

Each script runs in a Python of its own, and in a fork of that. What it finds wrong it raises.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.waiting import limit

ROOT = Path(__file__).parents[2]
BEGIN = """
import gc, os, prctl, sys, threading
from native import shared_heap

def private():
    text = open("/proc/self/smaps_rollup").read().split()
    return sum(int(text[text.index(f"Private_{kind}:") + 1]) << 10 for kind in ("Clean", "Dirty"))

def forked(act):
    pid = os.fork()
    if not pid:
        prctl.set_pdeathsig(9)
        status = 1
        try:
            act()
            status = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            if status:
                import traceback
                traceback.print_exc()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

texts = [f"text {n}" for n in range(100_000)]
large = bytearray(b"x" * 500_000)  # a mapping of its own, by malloc
gc.collect()
gc.freeze()
"""


def run(script: str) -> str:
    """Run a script after `BEGIN`; its output."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=limit(60),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_fork_gives_back_what_is_as_it_was() -> None:
    run(
        """
        assert shared_heap.share() > 5 << 20

        def act():
            for text in texts:  # counts of references go up and down
                pass
            before = private()
            given = shared_heap.give_back()
            assert given > 5 << 20, given
            assert private() < before - given + (1 << 20)
            assert texts == [f"text {n}" for n in range(100_000)]
            assert bytes(large) == b"x" * 500_000

        forked(act)
        """
    )


def test_what_is_changed_stays_changed() -> None:
    run(
        """
        shared_heap.share()

        def act():
            for number in range(0, len(texts), 7):
                texts[number] = number
            large[1000] = 0
            for _ in range(3):
                shared_heap.give_back()
                for number, text in enumerate(texts):
                    assert text == (f"text {number}" if number % 7 else number)
            assert large.index(0) == 1000

        forked(act)
        assert texts[7] == "text 7" and 0 not in large
        """
    )


def test_the_heap_grows_and_shrinks_afterwards() -> None:
    """brk's part, the interpreter's arenas, and a mapping that realloc(3) makes longer."""
    run(
        """
        shared_heap.share()

        def act():
            for size in (600_000, 5_000_000, 50_000_000):
                large.extend(b"y" * (size - len(large)))
                assert large.count(b"x") == 500_000 and large.count(b"y") == size - 500_000
                more = [f"more {n}" for n in range(size // 100)]
                assert more == [f"more {n}" for n in range(size // 100)]
                shared_heap.give_back()
                assert more[-1] == f"more {size // 100 - 1}" and len(set(more)) == len(more)
                del more
                gc.collect()
                shared_heap.give_back()
            texts.clear()
            del large[10:]
            gc.collect()
            shared_heap.give_back()
            assert [f"text {n}" for n in range(1000)][-1] == "text 999" and large == b"x" * 10

        forked(act)
        forked(act)
        assert len(texts) == 100_000
        """
    )


def test_a_fork_of_a_fork_gives_back_too() -> None:
    run(
        """
        shared_heap.share()

        def inner():
            for text in texts:
                pass
            assert shared_heap.give_back() > 5 << 20
            assert texts[99_999] == "text 99999" and texts[5] == "changed"

        def outer():
            texts[5] = "changed"
            forked(inner)

        forked(outer)
        """
    )


@pytest.mark.parametrize(
    ("sleep", "is_given"),
    [
        ("threading.Lock", True),
        ("lambda: lock_with_an_end", False),
        ("lambda: reader", False),
    ],
)
def test_a_thread_that_may_be_at_work_keeps_it(sleep: str, *, is_given: bool) -> None:
    """One that waits without an end for what only we could do is none."""
    run(
        f"""
        import time
        shared_heap.share()

        class lock_with_an_end:
            acquire = staticmethod(lambda: threading.Event().wait(1000))

        class reader:
            acquire = staticmethod(lambda: os.read(os.pipe()[0], 1))

        def act():
            lock = ({sleep})()
            if hasattr(lock, "release"):
                lock.acquire()
            threading.Thread(target=lock.acquire, daemon=True).start()
            for text in texts:
                pass
            (task,) = set(os.listdir("/proc/self/task")) - {{str(os.getpid())}}
            while open(f"/proc/self/task/{{task}}/syscall").read().startswith("running"):
                time.sleep(0.01)
            time.sleep(0.1)
            assert bool(shared_heap.give_back()) is {is_given}

        forked(act)
        """
    )


def test_a_thread_that_computes_keeps_it() -> None:
    run(
        """
        shared_heap.share()

        def act():
            def compute():
                while True:
                    pass

            threading.Thread(target=compute, daemon=True).start()
            for text in texts:
                pass
            assert shared_heap.give_back() == 0

        forked(act)
        """
    )


def test_it_is_shared_once_and_before_there_are_threads() -> None:
    run(
        """
        lock = threading.Lock()
        lock.acquire()
        thread = threading.Thread(target=lock.acquire, daemon=True)
        thread.start()
        try:
            shared_heap.share()
        except BlockingIOError:
            pass
        except OSError as error:
            assert error.errno == 16, error  # EBUSY
        else:
            raise AssertionError("shared in spite of a thread")
        lock.release()
        thread.join()
        while len(os.listdir("/proc/self/task")) > 1:
            pass
        assert shared_heap.give_back() == 0  # nothing is shared
        shared_heap.share()
        try:
            shared_heap.share()
        except FileExistsError:
            pass
        else:
            raise AssertionError("shared twice")
        """
    )


def test_nothing_is_shared_where_there_is_no_room() -> None:
    """A failure changes nothing."""
    run(
        """
        import resource
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = (pages << 12) + (4 << 20)
        endless = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_AS, (limit, endless))
        try:
            shared_heap.share()
        except OSError as error:
            number = error.errno
        else:
            number = 0
        resource.setrlimit(resource.RLIMIT_AS, (endless, endless))
        assert number == 12, number  # ENOMEM
        assert "orlop-heap" not in open("/proc/self/maps").read()
        assert texts == [f"text {n}" for n in range(100_000)]
        assert not any(
            "memfd" in os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")
        )
        """
    )


def test_its_file_is_sealed_and_no_descriptor_stays() -> None:
    run(
        """
        before = len(os.listdir("/proc/self/fd"))
        shared_heap.share()
        assert len(os.listdir("/proc/self/fd")) == before
        maps = [line for line in open("/proc/self/maps") if "orlop-heap" in line]
        assert {line.split()[1] for line in maps} == {"rw-p", "r--s"}
        span = next(line for line in maps if "r--s" in line).split()[0]
        fd = os.open(f"/proc/self/map_files/{span}", os.O_RDONLY) if os.geteuid() == 0 else -1
        if fd >= 0:
            import fcntl
            assert fcntl.fcntl(fd, 1034) & 0xf == 0xf  # F_GET_SEALS: seal, shrink, grow, write
        """
    )


def test_pages_are_copied_before_they_are_written_to() -> None:
    """Those that one fork has copied, in the next: it copies fewer when it does the same."""
    run(
        """
        shared_heap.share()

        def faults():
            return int(open("/proc/self/stat").read().rpartition(")")[2].split()[7])

        def act():
            for text in texts:
                pass
            found = shared_heap.copied(10_000)
            assert 1500 < len(found) == len(set(found)) and found == sorted(found)
            assert len(shared_heap.copied(10)) == 10
            os.write(writer, b"".join(page.to_bytes(8, "little") for page in found))

        reader, writer = os.pipe()
        forked(act)
        told = os.read(reader, 1 << 20)
        pages = [int.from_bytes(told[at : at + 8], "little") for at in range(0, len(told), 8)]

        def again(pages):
            shared_heap.copy(pages)
            assert set(pages) <= set(shared_heap.copied(10_000))
            before = faults()
            for text in texts:
                pass
            took.append(faults() - before)
            assert texts == [f"text {n}" for n in range(100_000)]
            shared_heap.give_back()
            os.write(writer, took[0].to_bytes(8, "little"))

        took = []
        forked(lambda: again([]))
        forked(lambda: again(pages))
        cold, warm = (int.from_bytes(os.read(reader, 8), "little") for _ in range(2))
        assert warm < cold / 10, (cold, warm)
        """
    )


def test_pages_that_are_not_there_are_refused() -> None:
    run(
        """
        shared_heap.share()

        def act():
            try:
                shared_heap.copy([0x1000])
            except OSError as error:
                assert error.errno == 12, error  # ENOMEM
            else:
                raise AssertionError("copied what is not there")

        forked(act)
        assert shared_heap.copied(10_000)  # what we have written to since
        """
    )
