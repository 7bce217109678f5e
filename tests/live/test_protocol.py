"""Laws of the protocol: splitting changes nothing, nothing raises; and what each packet does."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.live import packets, websocket
from service.live.protocol import CLOSED, CLOSING, CONNECTED, OPEN
from tests.live.recorder import SID, Recorder, client_frame, opening

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
texts = st.one_of(
    st.just("3"),
    st.just("6"),
    st.just("41"),
    st.builds(lambda auth: "40" + json.dumps(auth), st.dictionaries(st.text(), values, max_size=3)),
    st.builds(
        lambda ack, name, data: f"42{'' if ack is None else ack}" + json.dumps([name, data]),
        st.none() | st.integers(0, 10**12),
        st.text(),
        values,
    ),
    st.builds(lambda ack: f"43{ack}[]", st.integers(0, 99)),
    st.sampled_from(["40/other,", "40/other,{}", "41/other,"]),
)
masks = st.binary(min_size=4, max_size=4)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One message, whole or in fragments with control frames between them."""
    payload, mask = draw(texts).encode(), draw(masks)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    stream = b""
    for index, part in enumerate(parts):
        final = 0x80 if index == len(parts) - 1 else 0
        opcode = websocket.CONTINUATION if index else websocket.TEXT
        stream += client_frame(part, first=final | opcode, mask=mask)
        if draw(st.booleans()):
            stream += client_frame(draw(st.binary(max_size=125)), opcode=draw(st.sampled_from([9, 10])), mask=mask)
    return stream


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    stream = opening() + client_frame(b"40{}") + b"".join(draw(st.lists(messages(), max_size=5)))
    return stream + draw(st.sampled_from([b"", client_frame(b"\x03\xe8", opcode=8), client_frame(b"x", mask=None)]))


def feed(chunks: list[bytes]) -> Recorder:
    wire = Recorder()
    for chunk in chunks:
        wire.data_received(chunk)
    return wire


def outcome(wire: Recorder) -> tuple[object, ...]:
    return wire.hooks, wire.texts, wire.ends, bytes(wire.written), wire.state


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.lists(st.integers(0, 10**6), max_size=12))
def test_any_split_of_a_stream_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = sorted(cut % (len(stream) + 1) for cut in cuts)
    chunks = [stream[a:b] for a, b in zip([0, *edges], [*edges, len(stream)], strict=True)]
    assert outcome(feed(chunks)) == outcome(feed([stream]))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(streams())
def test_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    assert outcome(feed([bytes((byte,)) for byte in stream])) == outcome(feed([stream]))


class Thrifty(Recorder):
    """With a small budget."""

    __slots__ = ()

    budget = 20


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.integers(1, 400))
def test_nobody_gets_more_than_the_budget_out_of_us(stream: bytes, size: int) -> None:
    generous, thrifty = Recorder(), Thrifty()
    for start in range(0, len(stream), size):
        for wire in (generous, thrifty):
            wire.data_received(stream[start : start + size])
    assert (("flooded",) in thrifty.hooks) == (generous.spent > Thrifty.budget)
    expected = [hook for hook in thrifty.hooks if hook != ("flooded",)]
    assert expected == generous.hooks[: len(expected)]
    assert len(thrifty.texts) <= Thrifty.budget
    if generous.spent > Thrifty.budget:
        assert thrifty.state == CLOSED


@given(st.lists(st.binary(max_size=200), max_size=6), st.booleans())
@example([b"\r\n\r\n"], False)
@example([b"GET / HTTP/1.1\r\n\r\n"], False)
def test_random_bytes_never_raise(chunks: list[bytes], upgraded: bool) -> None:
    feed([opening(), *chunks] if upgraded else chunks)


@given(st.lists(st.text() | texts | st.text(alphabet='0123456789[]{}",/-:e.NaInfty\\ud')))
@example(["4" + "2" + "[" * 990])
@example(['42["\\ud800"]'])
@example(['42["a",1e999]', "42[NaN]", "451-[]", "4"])
def test_random_texts_never_raise(lines: list[str]) -> None:
    feed([opening(), client_frame(b"40")] + [client_frame(line.encode()) for line in lines])


def opened(*lines: str, connect: str = "40{}") -> Recorder:
    wire = feed([opening(), client_frame(connect.encode())])
    wire.written.clear()
    for line in lines:
        wire.data_received(client_frame(line.encode()))
    return wire


def test_the_greeting_is_engine_ios_open_packet() -> None:
    wire = feed([opening()])
    head, _, frame = bytes(wire.written).partition(b"\r\n\r\n")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert b"Extensions" not in head
    assert json.loads(frame[3:] if frame[1] < 126 else frame[5:]) == {
        "sid": SID,
        "upgrades": [],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1000,
    }


def test_connect_is_answered_with_a_sid() -> None:
    wire = feed([opening()])
    wire.written.clear()
    wire.data_received(client_frame(b'40{"token":"t"}'))
    assert bytes(wire.written) == websocket.text_frame(b'40{"sid":"abc"}')
    assert wire.hooks == [("connecting", {"token": "t"})]
    assert wire.state == CONNECTED


def test_a_refused_connect_is_told_and_closed() -> None:
    wire = feed([opening()])
    wire.written.clear()
    wire.data_received(client_frame(b'40{"token":"bad"}'))
    told = packets.refused_frame("no", {"code": "token_invalid"})
    assert bytes(wire.written) == told + websocket.close_frame(1008, "no")
    assert wire.state == CLOSING


def test_an_event_carries_its_ack_id() -> None:
    wire = opened('4217["join",{"stream":7}]', '42["leave"]')
    assert wire.hooks[1:] == [("event", "join", [{"stream": 7}], "17"), ("event", "leave", [], "")]
    assert bytes(wire.written) == websocket.text_frame(b"4317[{}]")


def test_goodbye_and_hello_again_on_one_connection() -> None:
    wire = opened("41")
    assert wire.hooks[-1] == ("disconnecting",)
    assert wire.state == OPEN
    wire.data_received(client_frame(b"40{}"))
    assert wire.state == CONNECTED


def test_engine_close_is_a_goodbye() -> None:
    wire = opened("1")
    assert wire.hooks[-1] == ("disconnecting",)
    assert bytes(wire.written) == websocket.close_frame(1000)


def test_a_foreign_namespace_is_refused_and_harmless() -> None:
    wire = opened("40/admin,{}")
    assert bytes(wire.written) == websocket.text_frame(b'44/admin,{"message":"Invalid namespace"}')
    assert wire.state == CONNECTED


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("40{}", "already connected"),
        ("40[]", "connect data must be an object"),
        ("42", "an event needs a name"),
        ("42{}", "an event needs a name"),
        ("42[7]", "an event needs a name"),
        ("42[", "packet is not valid JSON"),
        ('42["a"]x', "packet is not valid JSON"),
        ('42["a",NaN]', "packet is not valid JSON"),
        ("42" + "[" * 900, "packet is not valid JSON"),
        ("42" + "1" * 17 + '["a"]', "acknowledgement id is too long"),
        ('451-["a"]', "binary packets are not accepted"),
        ("44{}", "unknown packet type"),
        ("4", "unknown packet type"),
        ('42/x,["a"]', "no such namespace"),
        ("2probe", "unexpected Engine.IO packet"),
        ("", "unexpected Engine.IO packet"),
        ("hello", "unexpected Engine.IO packet"),
    ],
)
def test_a_wrong_packet_is_closed_with_its_reason(line: str, reason: str) -> None:
    wire = opened(line)
    assert bytes(wire.written) == websocket.close_frame(1002, reason)
    assert [hook[0] for hook in wire.hooks] == ["connecting"]


def test_events_before_connect_are_refused() -> None:
    wire = feed([opening()])
    wire.written.clear()
    wire.data_received(client_frame(b'42["join"]'))
    assert bytes(wire.written) == websocket.close_frame(1002, "connect first")


def test_nothing_is_read_after_the_end() -> None:
    wire = opened("1", '42["join"]')
    wire.data_received(client_frame(b"", opcode=websocket.CLOSE))
    assert wire.ends == ["finish", "hang_up"]
    assert wire.state == CLOSED
    wire.data_received(client_frame(b"3"))
    assert wire.hooks[-1] == ("disconnecting",)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (opening("/"), "not_found"),
        (opening("/socket.io/?EIO=3&transport=websocket"), "transport_unsupported"),
        (opening("/socket.io/?EIO=4&transport=polling"), "transport_unsupported"),
        (opening("/socket.io/?" + "a&" * 20), "transport_unsupported"),
        (opening(Upgrade=""), "upgrade_required"),
        (opening(Sec_WebSocket_Version="8"), "websocket_version"),
        (opening(Connection="keep-alive"), "websocket_invalid"),
        (opening(Sec_WebSocket_Key="short"), "websocket_invalid"),
        (opening(Sec_WebSocket_Key="\xe4" * 24), "websocket_invalid"),
        (opening(Content_Length="3"), "websocket_invalid"),
        (opening().replace(b"GET", b"POST"), "websocket_invalid"),
        (opening().replace(b"Host", b"Sec-WebSocket-Version"), "bad_request"),
        (opening().replace(b"HTTP/1.1", b"HTTP/1.0"), "bad_request"),
        (opening().replace(b"Host:", b"Host :"), "bad_request"),
        (opening().replace(b"Host", b"\nHost"), "bad_request"),
        (b"\x16\x03\x01\x00\r\n\r\n", "bad_request"),
        (opening(Refuse="gateway_full"), "gateway_full"),
        (opening(Cookie="c" * 9000), "headers_too_large"),
        (b"A" * 9000, "headers_too_large"),
    ],
)
def test_what_is_not_upgraded_and_why(request_: bytes, code: str) -> None:
    wire = feed([request_])
    assert [(hook[0], hook[2]) for hook in wire.hooks] == [("answer", code)]
    assert wire.written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert (wire.state, wire.ends) == (CLOSED, ["finish"])


def test_headers_are_read_in_any_case() -> None:
    request = (
        opening()
        .replace(b"Sec-WebSocket-Key", b"sec-websocket-KEY")
        .replace(b"Upgrade\r\n", b"keep-alive, upgrade\r\n")
    )
    wire = feed([request])
    assert wire.written.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")


def test_an_offer_of_compression_is_declined() -> None:
    wire = feed([opening(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")])
    assert b"deflate" not in wire.written
    assert wire.state == OPEN
