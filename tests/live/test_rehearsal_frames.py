"""The members' frames, checked by wsproto as the server."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Message, Request, TextMessage
from wsproto.frame_protocol import FrameProtocol

from service.live.rehearsal.frames import TEXT, FrameError, Wire, masked, prepare, split


@pytest.fixture
def wire() -> Wire:
    return prepare(host="example.org:8001", stream=7, random=bytes(range(20)))


def opened(wire: Wire) -> tuple[WSConnection, bytes]:
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(wire.upgrade)
    [request] = server.events()
    assert isinstance(request, Request)
    assert request.target == "/socket.io/?EIO=4&transport=websocket"
    return server, server.send(AcceptConnection())


def test_a_server_accepts_the_upgrade_and_the_expected_answer_is_its_answer(wire: Wire) -> None:
    _, answer = opened(wire)
    assert wire.accept in answer


def test_prepared_frames_are_the_packets_they_are_named_for(wire: Wire) -> None:
    server, _ = opened(wire)
    server.receive_data(wire.connect({"token": "t"}) + wire.join + wire.repeat + wire.leave + wire.pong)
    packets = [event.data for event in server.events() if isinstance(event, TextMessage)]
    assert packets[0].startswith("40")
    assert json.loads(packets[0][2:]) == {"token": "t"}
    assert packets[1:] == ['420["join",{"stream":7}]', '422["join",{"stream":7}]', '421["leave",{"stream":7}]', "3"]


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4))
def test_a_server_reads_what_was_masked(payload: bytes, key: bytes) -> None:
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(masked(2, payload, key))
    received = (frame.payload for frame in protocol.received_frames())
    assert b"".join(part for part in received if isinstance(part, bytes | bytearray)) == payload


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 2_000), max_size=6))
def test_any_split_of_the_stream_gives_the_same_frames(payloads: list[bytes], cuts: list[int]) -> None:
    protocol = FrameProtocol(client=False, extensions=[])
    stream = b"".join(bytes(protocol.send_data(payload, fin=True)) for payload in payloads)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    found: list[tuple[int, bytes]] = []
    rest = b""
    for start, end in pairwise(edges):
        frames, rest = split(rest + stream[start:end])
        found += frames
    assert found == [(2, payload) for payload in payloads]
    assert rest == b""


@pytest.mark.parametrize("data", [masked(TEXT, b"2", b"abcd"), b"\x01\x01a", b"\xc1\x01a", b"\x00\x01a"])
def test_what_no_server_sends_is_an_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        split(data)


def test_long_answers_are_read() -> None:
    protocol = FrameProtocol(client=False, extensions=[])
    for size in (125, 126, 65_535, 65_536):
        frame = bytes(protocol.send_data("x" * size, fin=True))
        assert split(frame) == ([(TEXT, b"x" * size)], b"")


def test_events_of_a_server_are_whole_messages(wire: Wire) -> None:
    server, _ = opened(wire)
    assert split(bytes(server.send(Message(data="2")))) == ([(TEXT, b"2")], b"")
