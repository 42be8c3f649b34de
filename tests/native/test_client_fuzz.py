# SPDX-License-Identifier: Apache-2.0
"""Whatever a worker says to the native `orlop`: done, or refused, under ASan and UBSan."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from tests.native.build import COMPLAINTS, client_target
from tests.native.test_fuzz import SECONDS, SEED, fuzz
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
_OP = struct.Struct("II6q")  # struct call_op of native/client/protocol.h
_ODD = (0, 1, 2, 5, -1, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 63, 1 << 32)
_KINDS = range(12)
_TEXTS = (b"", b"/bin/true\0true\0A=b\0", b"no end", b"\0\0\0")


def message(chance: random.Random) -> bytes:
    """A message as the target takes one: often whole, with numbers of any size."""
    odd = chance.choice(([0], [0, 1, 2, 3], _ODD))
    numbers = [(chance.choice(odd) + (1 << 63)) % (1 << 64) - (1 << 63) for _ in range(6)]
    fds = chance.choice((0, 1, 2, 5, 8))
    table = [chance.randrange(-1, fds + chance.choice((0, 0, 0, 2))) if fds else -1
             for _ in range(chance.choice((0, 0, 1, 4, 239, 240)))]  # fmt: skip
    count = len(table) if chance.random() < 0.9 else chance.choice((1, 241, 1 << 31))
    data = _OP.pack(chance.choice(_KINDS), count, *numbers) + struct.pack(f"{len(table)}i", *table)
    if chance.random() < 0.1:
        data = data[: chance.randrange(len(data))]
    texts = chance.choice(_TEXTS)
    return bytes([fds, len(texts)]) + texts + data


@requires("cc")
def test_any_message_of_a_worker_is_done_or_refused(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    files = [tmp_path / str(number) for number in range(4000)]
    for file in files:
        file.write_bytes(message(chance))
    result = fuzz(client_target(), *files)
    assert not any(complaint in result.stderr for complaint in COMPLAINTS), result.stderr
    read, leaked, *reached = map(int, result.stdout.split())
    assert (result.returncode, read, leaked) == (0, len(files), 0)
    assert min(reached) > 50  # spawn, run, serve: not all are refused at the door


@requires("libfuzzer")
def test_a_short_look_of_the_fuzzer_finds_nothing_in_the_client(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    for name in ("seeds", "corpus"):
        (tmp_path / name).mkdir()
    for number in range(200):
        (tmp_path / "seeds" / str(number)).write_bytes(message(chance))
    bounds = (f"-max_total_time={SECONDS:.0f}", "-max_len=4096", f"-seed={SEED}")
    folders = (tmp_path / "corpus", tmp_path / "seeds")
    result = fuzz(
        client_target(clang="clang-14"), *bounds, f"-artifact_prefix={tmp_path}/", *folders
    )
    assert result.returncode == 0, result.stderr[-4000:]
