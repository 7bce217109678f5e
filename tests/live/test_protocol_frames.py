"""Framing, checked against wsproto as the independent implementation, both ways."""

import pytest
import wsproto
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from service.live import websocket
from tests.live.recorder import Recorder, client_frame, opening


def client() -> wsproto.WSConnection:
    return wsproto.WSConnection(wsproto.ConnectionType.CLIENT)


def connected() -> tuple[wsproto.WSConnection, Recorder]:
    peer, wire = client(), Recorder()
    wire.data_received(peer.send(Request(host="gateway", target="/socket.io/?EIO=4&transport=websocket")))
    peer.receive_data(bytes(wire.written))
    wire.written.clear()
    accepted, greeting = peer.events()
    assert isinstance(accepted, AcceptConnection)
    assert isinstance(greeting, TextMessage)
    assert greeting.data.startswith('0{"sid":')
    return peer, wire


@given(st.text(max_size=3000))
def test_wsproto_reads_our_text_frames(text: str) -> None:
    peer, _ = connected()
    peer.receive_data(websocket.text_frame(text.encode()))
    parts = [event for event in peer.events() if isinstance(event, TextMessage)]
    assert "".join(part.data for part in parts) == text


def test_long_server_frames_are_read_by_wsproto() -> None:
    peer, _ = connected()
    text = "直" * 30_000
    peer.receive_data(websocket.text_frame(text.encode()))
    parts = [event for event in peer.events() if isinstance(event, TextMessage)]
    assert "".join(part.data for part in parts) == text


@given(st.lists(st.text(max_size=400), min_size=1, max_size=4))
def test_we_read_wsprotos_fragmented_messages(parts: list[str]) -> None:
    peer, wire = connected()
    for index, part in enumerate(parts):
        wire.data_received(peer.send(TextMessage(part, message_finished=index == len(parts) - 1)))
    assert wire.texts == ["".join(parts)]


@given(st.binary(max_size=125))
def test_a_ping_is_answered_with_its_payload(payload: bytes) -> None:
    peer, wire = connected()
    wire.data_received(peer.send(Ping(payload)))
    peer.receive_data(bytes(wire.written))
    assert [event.payload for event in peer.events() if isinstance(event, Pong)] == [payload]


def test_control_frames_pass_between_fragments() -> None:
    peer, wire = connected()
    wire.data_received(peer.send(TextMessage("6 one ", message_finished=False)))
    wire.data_received(client_frame(b"?", opcode=websocket.PING))
    wire.data_received(peer.send(TextMessage("two", message_finished=True)))
    assert wire.texts == ["6 one two"]
    assert bytes(wire.written) == websocket.pong_frame(b"?")


def test_the_close_handshake_echoes_the_code() -> None:
    peer, wire = connected()
    wire.data_received(peer.send(CloseConnection(code=1001, reason="bye")))
    peer.receive_data(bytes(wire.written))
    [event] = [event for event in peer.events() if isinstance(event, CloseConnection)]
    assert event.code == 1001
    assert wire.ends == ["hang_up"]


def test_a_whole_message_within_a_fragmented_one_is_refused_also_in_a_chunk_of_its_own() -> None:
    _, wire = connected()
    wire.data_received(client_frame(b"one", first=0x01))
    wire.data_received(client_frame(b"two"))
    assert bytes(wire.written) == websocket.close_frame(1002, "fragments out of order")
    assert wire.texts == []


def test_the_rest_of_a_frame_that_looks_like_a_frame_is_none() -> None:
    _, wire = connected()
    inner = client_frame(b"6 inner")
    outer = client_frame(b"6 outer" + inner, mask=bytes(4))
    wire.data_received(outer[: -len(inner)])
    wire.data_received(inner)
    assert wire.written.startswith(websocket.close_frame(1007, "text is not UTF-8"))
    assert wire.texts == []


WRONG = [
    (client_frame(b"x", mask=None), 1002, "client frames must be masked"),
    (client_frame(b"x", first=0xC1), 1002, "reserved bits are set"),
    (client_frame(b"x", opcode=0x3), 1002, "unknown opcode"),
    (client_frame(b"x", opcode=0xB), 1002, "unknown opcode"),
    (client_frame(b"x", opcode=websocket.BINARY), 1003, "binary messages are not accepted"),
    (client_frame(b"x", opcode=websocket.CONTINUATION), 1002, "fragments out of order"),
    (client_frame(b"x", first=0x09), 1002, "control frame is fragmented or too long"),
    (client_frame(b"x" * 126, opcode=websocket.PING), 1002, "control frame is fragmented or too long"),
    (b"\x81\xfe\x00\x7d" + bytes(4) + b"x" * 125, 1002, "length is not in its shortest form"),
    (b"\x81\xff" + (65535).to_bytes(8, "big"), 1002, "length is not in its shortest form"),
    (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1002, "length is not in its shortest form"),
    (client_frame(b"x" * 1001), 1009, "message too big"),
    (client_frame(b"x" * 600, first=0x01) + client_frame(b"x" * 600, first=0x80), 1009, "message too big"),
    (client_frame(b"x", first=0x01) + client_frame(b"x"), 1002, "fragments out of order"),
    (client_frame(b"\xff"), 1007, "text is not UTF-8"),
    (client_frame(b"\xed\xa0\x80"), 1007, "text is not UTF-8"),
]


@pytest.mark.parametrize(("data", "code", "reason"), WRONG)
def test_a_violation_is_closed_with_its_reason(data: bytes, code: int, reason: str) -> None:
    peer, wire = connected()
    wire.data_received(data)
    wire.data_received(client_frame(b"3"))
    peer.receive_data(bytes(wire.written))
    [event] = [event for event in peer.events() if isinstance(event, CloseConnection)]
    assert (event.code, event.reason) == (code, reason)
    assert wire.texts == []
    assert wire.ends == ["finish"]


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", b""), (b"\x03", b"\x03\xea"), (b"\x03\xed", b"\x03\xea"), (b"\x03\xe8\xff", b"\x03\xef")],
)
def test_close_frames_are_judged(payload: bytes, code: bytes) -> None:
    wire = Recorder()
    wire.data_received(opening())
    wire.written.clear()
    wire.data_received(client_frame(payload, opcode=websocket.CLOSE))
    assert bytes(wire.written) == bytes((0x88, len(code))) + code


def test_a_close_reason_is_cut_at_a_characters_edge() -> None:
    frame = websocket.close_frame(1008, "直" * 100)
    assert len(frame) <= 127
    assert frame[4:].decode() == "直" * 41


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmasking_twice_changes_nothing(payload: bytes, key: bytes) -> None:
    masked = websocket.unmask(payload, key)
    assert masked == bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    assert websocket.unmask(masked, key) == payload
