# SPDX-License-Identifier: Apache-2.0
"""What comes over sockets and stdin to the shim and to orlopd: read, or refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim import launch, messages, options
from shim.logger import unquote
from shim.protobuf import Malformed
from shim.ttrpc import HEADER, LIMIT, Frame, Frames, RpcError
from supervisor import jsonrpc
from supervisor.failure import Failure

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
MEMBERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("jsonrpc", "method", "params", "id", "more"), JSON)
) | st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "method": st.text(), "id": SCALARS})
TYPES = (
    "containerd.runc.v1.Options",
    "containerd.linux.runc.CreateOptions",
    "runtimeoptions.v1.Options",
    "other",
)


@given(st.binary(max_size=80) | (MEMBERS | st.lists(MEMBERS)).map(json.dumps).map(str.encode))
@example(b'{"jsonrpc": "2.0", "method": "a", "id": 1e999}')
@example(b'{"jsonrpc": "2.0", "method": "a", "params": {"b": -1e999}}')
@example(b'"\\ud800"')
@example(b"9" * 5000)
@example(b"\x00\x00\x00")
def test_any_line_is_requests_that_can_be_answered_or_refused(line: bytes) -> None:
    try:
        found, _ = jsonrpc.parse(line)
    except Failure as failure:
        json.loads(jsonrpc.pack(jsonrpc.refusal(None, failure)))
        return
    for message in found:
        try:
            request = jsonrpc.request(message)
        except Failure as failure:
            answer = jsonrpc.refusal(jsonrpc.id_of(message), failure)
        else:
            answer = jsonrpc.answer(request.id, request.params)
        packed = jsonrpc.pack(answer)
        assert packed.count(b"\n") == 1
        json.loads(packed, parse_constant=pytest.fail)  # NaN and Infinity are no JSON


FRAMES = st.builds(
    Frame,
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=60),
)


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 40)))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[Frame], cuts: list[int]
) -> None:
    data = b"".join(frame.pack() for frame in sent)
    frames, found = Frames(), []
    for cut in [*cuts, len(data)]:
        found += frames.add(data[:cut])
        data = data[cut:]
    assert [frame.pack() for frame in found] == [frame.pack() for frame in sent]


@given(st.lists(st.binary(max_size=64), max_size=10))
@example([HEADER.pack(LIMIT + 1, 1, 1, 0), b"x" * 50])
@example([HEADER.pack(2**32 - 1, 1, 1, 0)[:9], b"\0", b"y" * 9])
def test_any_stream_costs_no_more_than_its_bytes(pieces: list[bytes]) -> None:
    frames = Frames()
    found = [frame for piece in pieces for frame in frames.add(piece)]
    kept = sum(len(frame.payload) + HEADER.size for frame in found)
    assert kept <= sum(map(len, pieces))
    assert all(frame.size > LIMIT or frame.size == len(frame.payload) for frame in found)


@given(
    st.sampled_from(TYPES),
    st.binary(max_size=60)
    | JSON.map(json.dumps).map(str.encode)
    | st.dictionaries(st.sampled_from(["root", "ioUid", "io_uid", "SystemdCgroup"]), SCALARS)
    .map(json.dumps)
    .map(str.encode)
    | st.text(max_size=60).map(lambda text: messages.RUNTIME_OPTIONS.encode({"config_body": text})),
)
@example(TYPES[0], b'{"io_uid": 1e999}')
@example(TYPES[0], b'{"io_uid": "x"}')
@example(TYPES[0], b'{"io_uid": -1}')
@example(TYPES[0], b'{"root": "\\ud800"}')
@example(TYPES[2], messages.RUNTIME_OPTIONS.encode({"config_body": "IoUid = inf"}))
def test_any_options_are_read_or_refused(name: str, value: bytes) -> None:
    try:
        found = options.load({"type_url": name, "value": value})
    except RpcError as error:
        assert name in error.message  # noqa: PT017 - either way is right
        return
    assert 0 <= found.io_uid < 2**32 - 1
    assert found.root


@given(st.sampled_from(["containerd.runc.v1.CheckpointOptions", "other"]), JSON | st.binary())
def test_any_options_of_a_checkpoint_are_read_or_refused(name: str, value: object) -> None:
    given = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        options.load_checkpoint({"type_url": name, "value": given})
    except RpcError as error:
        assert name in error.message  # noqa: PT017 - either way is right


@given(st.binary(max_size=120))
@example(messages.BOOTSTRAP_PARAMS.encode({"instance_id": "c", "namespace": "n"}))
def test_any_standard_input_of_start_is_parameters_or_options(stdin: bytes) -> None:
    params = launch.bootstrap_params(stdin, "c", "n")
    assert params is None or (params["instance_id"], params["namespace"]) == ("c", "n")


@given(st.binary(max_size=120))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for table in (messages.CREATE, messages.ANY, messages.RUNC_OPTIONS, messages.BOOTSTRAP_PARAMS):
        try:
            values = table.decode(data)
        except Malformed:
            continue
        assert values.keys() == table.by_name.keys()


@given(st.text(max_size=40))
@example("%")
@example("%4")
@example("%zz")
@example("%ff")
def test_any_text_of_a_uri_is_undone(text: str) -> None:
    assert isinstance(unquote(text), str)
