"""What is done quickly for nearly everybody gives what the plain way gives."""

import string
from base64 import b64encode

import psycopg
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.live import packets, stays, upgrade, websocket
from service.live.stays import Row
from tests.live.recorder import opening
from tests.live.stage import Stage

KEYS = st.binary(min_size=16, max_size=16)
ODD_KEYS = st.text(string.ascii_letters + "=+/ ", max_size=30)
HEADS = st.builds(
    lambda key, twice, odd, extra: opening(
        Sec_WebSocket_Key=odd or b64encode(key).decode(),
        X_More=f"{extra}\r\nSec-WebSocket-Key: {odd}" if twice else extra,
    ),
    KEYS,
    st.booleans(),
    st.one_of(st.just(""), ODD_KEYS),
    st.sampled_from(["", "a", "b" * 900, "Sec-WebSocket-Key: x"]),
)


@given(HEADS)
@example(b"\r\n\r\n")
@example(b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
def test_a_head_is_judged_the_same_whether_its_like_was_seen_or_not(head: bytes) -> None:
    request = upgrade.read_request(head)
    expected = "bad_request" if request is None else upgrade.refusal(request)
    for _ in range(2):
        found = upgrade.read_opening(head)
        assert found.code == expected
        if request is None or found.request is None:
            assert found.request is request is None
        else:
            other = {"sec-websocket-key": ""}
            assert found.request.headers | other == request.headers | other
            assert found.request[:3] == request[:3]
            assert expected or found.key == request.headers["sec-websocket-key"].encode()


@given(st.binary(min_size=2, max_size=12))
def test_a_short_frame_is_read_as_any_other(data: bytes) -> None:
    first, second = data[0], data[1]
    found = websocket.read_frame(data, 0, 1000)
    wrong = websocket._header_violation(first, second)
    assert (found == wrong) if wrong else not isinstance(found, websocket.Violation) or second & 0x7F >= 126


@given(st.text(max_size=30))
@example('20["join",{"stream":7}]')
def test_a_sentence_means_the_same_the_second_time(text: str) -> None:
    assert packets.read_packet(text) == packets.read_packet(text) == packets._read(text)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 62), TEXTS, TEXTS, st.integers(0, 1 << 50), st.booleans()), min_size=1))
def test_columns_reach_postgresql_as_they_were(stage: Stage, values: list[tuple[int, str, str, float, bool]]) -> None:
    rows = [Row(n, 1, 2, n, a, b, a, b, at / 1e6, None if lasts else at / 1e6) for n, a, b, at, lasts in values]
    columns = stays._columns(rows, 0.5)
    query = """SELECT * FROM unnest(%(number)s::bigint[], %(organisation)s::text[], %(source)s::text[],
                                    %(joined)s::bigint[], %(gone)s::bigint[])"""
    with psycopg.connect(stage.postgres.url) as connection:
        found = connection.execute(query, columns).fetchall()
    assert found == [(n, a, b, at + 500_000, None if lasts else at + 500_000) for n, a, b, at, lasts in values]
