"""The organisers' feed: who may watch what, what they are told and when."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
import redis
from apiflask import APIFlask
from flask.testing import FlaskClient
from flask_socketio import SocketIOTestClient
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session

from service.live.disclosure import Outlook
from service.live.feed import Feed, Reader
from service.live.figures import note_check_ins
from service.live.nodes import View
from service.live.presence import Attribution, Holding, Reply
from service.live.scripts import Slot, Timing, call, slots_of
from service.org.access import COOKIE
from service.org.accounts.sessions import sign_out
from tests.factories import make_activity, make_division, make_organisation, make_organiser, make_place

TIMING = Timing(lease=5000, stale=1500)
STREAM = 7
SLOTS = slots_of(STREAM, 1)


def flush(client: redis.Redis, holding: Holding) -> None:
    batch = holding.batch(renew=True)
    assert batch is not None
    arguments = batch.arguments(TIMING)[1:]
    holding.acknowledge(Reply.parse(call(client, "flush", holding.slot, *arguments, boot=batch.boot)))


def joined(client: redis.Redis, stream: int, members: int, attribution: Attribution) -> Holding:
    holding = Holding(Slot(stream))
    for member in range(1, members + 1):
        holding.join(member, attribution)
        holding.connect()
    flush(client, holding)
    return holding


class Wall:
    """A feed whose emissions are kept."""

    def __init__(self, client: redis.Redis) -> None:
        self.told: list[tuple[dict[str, Any], list[str]]] = []
        self.feed = Feed(client, timing=TIMING, emit=lambda told, clients: self.told.append((told, clients)))

    def tick(self) -> list[tuple[dict[str, Any], list[str]]]:
        self.told.clear()
        self.feed.tick()
        return list(self.told)


@pytest.fixture
def wall(valkey: redis.Redis) -> Wall:
    return Wall(valkey)


def nobody() -> redis.Redis:
    """A client of a Valkey that is not there."""
    return redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))


# Of an organiser of the province, whose everybody is.
ALL = Outlook(own=((1,),), mine=frozenset({1, 2, 3}))
VIEW = View(SLOTS, (1, "省"), ((2, "市"), (3, "市")), None, (("54", "西藏"),), ALL)
HOME = Attribution("1.2.9", "54.5401", "h5", "hls")


def test_every_reading_is_told_whether_anything_changed_or_not(wall: Wall, valkey: redis.Redis) -> None:
    holding = joined(valkey, STREAM, 2, HOME)
    wall.feed.watch("a", VIEW)
    [(first, clients)] = wall.tick()
    assert clients == ["a"]
    assert (first["online"], first["connections"], first["joined"], first["peak"]) == (2, 2, 2, 2)
    assert first["organisation"] == {"id": 1, "name": "省", "online": 2, "checked_in": None}
    assert first["organisations"] == [
        {"id": 2, "name": "市", "online": 2, "checked_in": None},
        {"id": 3, "name": "市", "online": 0, "checked_in": None},
    ]
    assert (first["place"], first["places"]) == (
        None,
        [{"code": "54", "name": "西藏", "online": 2, "checked_in": None}],
    )
    assert (first["channels"], first["sources"]) == ({"h5": 2}, {"hls": 2})
    assert (first["basis"], first["reason"]) == ("degraded", "rebuilding")
    [(unchanged, _)] = wall.tick()
    assert unchanged["as_of"] >= first["as_of"]
    assert unchanged == first | {"as_of": unchanged["as_of"]}
    holding.leave(2)
    flush(valkey, holding)
    [(second, _)] = wall.tick()
    assert (second["online"], second["seq"] > first["seq"], second["epoch"]) == (1, True, first["epoch"])


def test_a_check_in_is_a_change(wall: Wall, valkey: redis.Redis) -> None:
    wall.feed.watch("a", VIEW)
    wall.tick()
    note_check_ins(valkey, SLOTS, [5, 5, 6])
    [(told, _)] = wall.tick()
    assert told["checked_in"] == 2


def test_viewers_of_one_node_share_one_message(wall: Wall) -> None:
    other = View(SLOTS, None, ((3, "市"),), None, (), ALL)
    for client, view in (("b", VIEW), ("a", VIEW), ("c", other)):
        wall.feed.watch(client, view)
    assert sorted(clients for _, clients in wall.tick()) == [["a", "b"], ["c"]]


def test_a_newcomer_is_told_without_waiting(wall: Wall) -> None:
    wall.feed.watch("a", VIEW)
    wall.tick()
    wall.feed.watch("b", VIEW)
    assert [clients for _, clients in wall.tick()] == [["a", "b"]]


def test_watching_another_node_replaces_the_first(wall: Wall) -> None:
    wall.feed.watch("a", VIEW)
    wall.feed.watch("a", View(SLOTS, (3, "市"), (), None, (), ALL))
    [(told, _)] = wall.tick()
    assert told["organisation"]["id"] == 3
    wall.feed.unwatch("a", STREAM)
    wall.feed.unwatch("a", STREAM)
    assert wall.tick() == []


def test_who_has_gone_is_told_nothing(wall: Wall) -> None:
    wall.feed.watch("a", VIEW)
    wall.feed.watch("a", View(slots_of(8, 1), None, (), None, (), ALL))
    wall.feed.forget("a")
    assert wall.tick() == []


def test_without_valkey_the_last_figures_are_told_as_degraded(valkey: redis.Redis, monkeypatch: Any) -> None:
    wall = Wall(valkey)
    joined(valkey, STREAM, 2, HOME)
    wall.feed.watch("a", VIEW)
    [(before, _)] = wall.tick()
    away = nobody()
    monkeypatch.setattr(wall.feed, "_client", away)
    [(during, _)] = wall.tick()
    assert during == before | {"basis": "degraded", "reason": "valkey"}
    monkeypatch.setattr(wall.feed, "_client", valkey)
    [(after, _)] = wall.tick()
    assert after["reason"] == "rebuilding"
    away.close()


def test_figures_that_never_came_are_null_not_zero() -> None:
    away = nobody()
    wall = Wall(away)
    wall.feed.watch("a", VIEW)
    [(told, _)] = wall.tick()
    assert (told["online"], told["peak"], told["basis"], told["reason"]) == (None, None, "degraded", "valkey")
    assert told["organisation"] == {"id": 1, "name": "省", "online": None, "checked_in": None}
    away.close()


# The socket.

Connect = Callable[[str | None], SocketIOTestClient]


@pytest.fixture
def connect(app: APIFlask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Connect to /organisers with a cookie; nothing reads in the background."""
    monkeypatch.setattr(Reader, "start", lambda self: None)

    def connect(cookie: str | None) -> SocketIOTestClient:
        if cookie is None:
            client.delete_cookie(COOKIE)
        else:
            client.set_cookie(COOKIE, cookie)
        return app.extensions["socketio"].test_client(app, namespace="/organisers", flask_test_client=client)

    return connect


def ask(socket: SocketIOTestClient, event: str, *data: object) -> dict[str, Any]:
    answer: dict[str, Any] = socket.emit(event, *data, namespace="/organisers", callback=True)
    return answer


def heard(socket: SocketIOTestClient) -> list[dict[str, Any]]:
    received = socket.get_received("/organisers")
    return [one["args"][0] for one in received if one["name"] == "snapshot"]


def test_only_organisers_get_in(connect: Connect) -> None:
    assert not connect(None).is_connected("/organisers")
    assert not connect("nonsense").is_connected("/organisers")
    _, cookie = make_organiser()
    assert connect(cookie).is_connected("/organisers")


def test_an_organiser_watches_a_day(connect: Connect, app: APIFlask, valkey: redis.Redis) -> None:
    make_place()
    city = make_organisation(name="成都市", level="city")
    branch = make_organisation(name="支部", parent=city)
    stream = make_activity(lead=city).sittings[0].streams[0].id
    home, below = city.id, branch.id
    joined(valkey, stream, 3, Attribution(branch.path, "54.5401.540102", "h5", "hls"))
    _, cookie = make_organiser(organisation=city)
    socket = connect(cookie)
    assert ask(socket, "watch", {"stream": stream}) == {"ok": True}
    feed: Feed = app.extensions["organisers_door"].feed
    feed.tick()
    [told] = heard(socket)
    assert (told["stream"], told["online"], told["organisation"]) == (stream, 3, None)
    assert told["organisations"] == [{"id": home, "name": "成都市", "online": 3, "checked_in": None}]
    assert {"code": "54", "name": "西藏自治区", "online": 3, "checked_in": None} in told["places"]
    assert ask(socket, "watch", {"stream": stream, "organisation": home, "place": "5401"}) == {"ok": True}
    feed.tick()
    [told] = heard(socket)
    assert told["organisation"] == {"id": home, "name": "成都市", "online": 3, "checked_in": None}
    assert told["organisations"] == [{"id": below, "name": "支部", "online": 3, "checked_in": None}]
    assert told["place"] == {"code": "5401", "name": "拉萨市", "online": 3, "checked_in": None}
    assert told["places"] == [{"code": "540102", "name": "城关区", "online": 3, "checked_in": None}]
    assert ask(socket, "unwatch", {"stream": stream}) == {"ok": True}
    socket.disconnect("/organisers")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "validation"),
        ({"stream": "1"}, "validation"),
        ({"stream": 1, "other": 1}, "validation"),
        ("stream", "validation"),
        (None, "validation"),
        ({"stream": 2**40}, "stream_unknown"),
        ({"stream": 2**70}, "validation"),
    ],
)
def test_a_wrong_subscription_is_refused_with_a_problem(connect: Connect, asked: object, code: str) -> None:
    _, cookie = make_organiser()
    answer = ask(connect(cookie), "watch", asked)
    assert (answer["ok"], answer["error"]["code"]) == (False, code)


def test_nodes_outside_are_refused(connect: Connect) -> None:
    city, foreign = make_organisation(level="city"), make_organisation(level="city")
    stream = make_activity(lead=city).sittings[0].streams[0].id
    _, cookie = make_organiser(organisation=city)
    socket = connect(cookie)
    for wanted, code in (
        ({"organisation": foreign.id}, "not_found"),
        ({"organisation": 2**40}, "not_found"),
        ({"place": "99"}, "not_found"),
        ({"place": "5\x00"}, "validation"),
    ):
        assert ask(socket, "watch", {"stream": stream, **wanted})["error"]["code"] == code


def test_anothers_activity_looks_like_none(connect: Connect) -> None:
    stream = make_activity().sittings[0].streams[0].id
    _, cookie = make_organiser()
    assert ask(connect(cookie), "watch", {"stream": stream})["error"]["code"] == "stream_unknown"


def test_an_ancestors_organiser_may_watch(connect: Connect) -> None:
    province = make_organisation(level="province")
    city = make_organisation(level="city", parent=province)
    stream = make_activity(lead=city).sittings[0].streams[0].id
    _, cookie = make_organiser(organisation=province)
    socket = connect(cookie)
    assert ask(socket, "watch", {"stream": stream, "organisation": province.id}) == {"ok": True}


def test_an_unknown_event_is_answered(connect: Connect) -> None:
    _, cookie = make_organiser()
    assert ask(connect(cookie), "dance")["error"]["code"] == "event_unknown"


def test_who_logs_out_is_cut_off(connect: Connect, app: APIFlask, db: Session) -> None:
    organiser, cookie = make_organiser()
    socket = connect(cookie)
    reader: Reader = app.extensions["organisers_door"].reader
    reader.cut_off(datetime.now(UTC))
    assert socket.is_connected("/organisers")
    sign_out(organiser, datetime.now(UTC))
    assert ask(socket, "watch", {"stream": 1})["error"]["code"] == "token_invalid"
    reader.cut_off(datetime.now(UTC))
    assert not socket.is_connected("/organisers")


def test_abolished_divisions_are_not_offered(connect: Connect, app: APIFlask, db: Session) -> None:
    make_place()
    gone = make_division("5499", name="旧地区", level="prefecture", parent=make_division("54"))
    gone.valid_to = date(2000, 1, 1)
    db.commit()
    city = make_organisation(level="city")
    stream = make_activity(lead=city).sittings[0].streams[0].id
    _, cookie = make_organiser(organisation=city)
    socket = connect(cookie)
    ask(socket, "watch", {"stream": stream, "place": "54"})
    app.extensions["organisers_door"].feed.tick()
    [told] = heard(socket)
    assert "5499" not in {place["code"] for place in told["places"]}


def test_what_is_no_packet_ends_the_connection_and_raises_nothing(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, cut = app.extensions["socketio"].server.eio, []

    class Client:
        def close(self, **_: Any) -> None:
            cut.append(self)

    watch = '2/organisers,1["watch",'
    wrong: list[str | bytes] = [
        "",
        "9",
        "4/organisers,{}",
        "2/organisers,1",
        '2["join",{}]',
        "2/organisers,[]",
        "2/organisers,[[]]",
    ]
    wrong += ["2/organisers,{}", "3/organisers,9[]", '51-/organisers,["watch",{"_placeholder":true,"num":0}]', b"\0"]
    wrong += [watch + "[" * 20_000 + "]" * 20_000 + "]", watch + "9" * 5_000 + "]", watch + "9" * 200 + "]"]
    wrong += ['2/organisers,1["*"]', '2/organisers,1["connect"]', '2/organisers,["disconnect"]']
    for message in wrong:
        monkeypatch.setitem(engine.sockets, "x", Client())
        engine.handlers["message"]("x", message)
        assert len(cut) == 1, message
        cut.clear()


def test_only_the_organisers_namespace_is_open(app: APIFlask) -> None:
    assert not app.extensions["socketio"].test_client(app, namespace="/").is_connected("/")


def test_more_arguments_than_asked_for_do_no_harm(connect: Connect) -> None:
    _, cookie = make_organiser()
    socket = connect(cookie)
    assert ask(socket, "watch", {"stream": 10**9}, 1, 2)["error"]["code"] == "stream_unknown"
    assert ask(socket, "unwatch", {"stream": 10**9}, 1, 2) == {"ok": True}
