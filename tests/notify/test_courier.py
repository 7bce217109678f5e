"""Deliveries end to end: a real receiver, a real database, the courier as the worker runs it."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update

from service.clock import now as read_clock
from service.extensions import db as database
from service.notify import deliveries
from service.notify.courier import Courier, keep_house
from service.notify.deliveries import Claim
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.places import Places
from service.notify.queue import Verdict
from tests.notify.conftest import configured
from tests.notify.factories import all_deliveries, make_endpoint, publish_check_in
from tests.notify.receiver import Arrival, Receiver, Reply
from tests.waiting import eventually


def run_until(courier: Courier, app: APIFlask, receiver: Receiver, arrivals: int) -> None:
    """Turns of the courier until the receiver has heard `arrivals` requests."""

    def turn() -> bool:
        courier(app)
        return len(receiver.arrivals) >= arrivals

    eventually(turn)


def test_a_delivery_is_signed_and_neutral(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    _, secret = make_endpoint(receiver.url)
    publish_check_in(member=4711)
    courier(app)

    (arrival,) = receiver.arrivals
    body = arrival.verified(secret)
    assert body["type"] == "checkin.created"
    assert datetime.fromisoformat(body["timestamp"]).tzinfo == UTC
    assert body["data"].keys() == {"activity", "number", "subject"}
    assert b"4711" not in arrival.content
    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 204)
    assert delivery.delivered_at is not None
    assert arrival.id == delivery.webhook_id


def test_subjects_are_stable_and_differ_per_endpoint(
    app: APIFlask, courier: Courier, receiver: Receiver, other_receiver: Receiver
) -> None:
    make_endpoint(receiver.url)
    make_endpoint(other_receiver.url)
    publish_check_in(member=1)
    publish_check_in(member=2)
    publish_check_in(member=1)
    courier(app)

    def subjects(receiver: Receiver) -> list[str]:
        return sorted(arrival.body["data"]["subject"] for arrival in receiver.arrivals)

    here, there = subjects(receiver), subjects(other_receiver)
    assert len(here) == 3
    assert len(set(here)) == 2
    assert not set(here) & set(there)
    assert not set(receiver.ids) & set(other_receiver.ids)


def test_a_failure_is_repeated_with_the_same_id_and_body(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    _, secret = make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(500 if len(receiver.arrivals) < 3 else 200)
    publish_check_in()
    run_until(courier, app, receiver, 3)

    assert len(set(receiver.ids)) == 1
    assert len({arrival.content for arrival in receiver.arrivals}) == 1
    assert all(arrival.verified(secret) for arrival in receiver.arrivals)
    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("delivered", 3, None)


def test_410_disables_the_endpoint(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(410)
    publish_check_in(count=3)
    courier(app)

    assert {delivery.state for delivery in all_deliveries()} == {"dead"}
    assert not database.session.get_one(Endpoint, endpoint.id).enabled
    heard = len(receiver.arrivals)
    publish_check_in()
    courier(app)
    assert len(receiver.arrivals) == heard
    assert len(all_deliveries()) == 3


def test_redirects_are_failures_and_not_followed(
    app: APIFlask, courier: Courier, receiver: Receiver, other_receiver: Receiver
) -> None:
    configured(app, webhook_retry_seconds=60.0)
    make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(307, {"Location": other_receiver.url})
    publish_check_in()
    courier(app)

    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.last_status, delivery.last_error) == ("pending", 307, "redirect")
    assert not other_receiver.arrivals


def test_retry_after_is_honoured(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(503, {"Retry-After": "3600"})
    publish_check_in()
    before = read_clock()
    courier(app)

    (delivery,) = all_deliveries()
    assert delivery.due_at >= before + timedelta(seconds=3600)


def test_a_silent_receiver_times_out(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    configured(app, webhook_timeout_seconds=0.2, webhook_retry_seconds=60.0)
    make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(delay=1.0)
    publish_check_in()
    courier(app)

    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.last_error) == ("pending", "timeout")


def test_private_addresses_are_refused_at_the_connection(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    configured(app, webhook_private_addresses=False, webhook_retry_seconds=60.0)
    make_endpoint(receiver.url.replace("127.0.0.1", "localhost"))
    publish_check_in()
    courier(app)

    (delivery,) = all_deliveries()
    assert delivery.last_error == "address_refused"
    assert not receiver.arrivals


def test_an_endless_answer_is_cut_short(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(200, body=b"x" * 3_000_000)
    publish_check_in()
    courier(app)
    (delivery,) = all_deliveries()
    assert delivery.state == "delivered"


def test_out_of_time_is_dead(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    make_endpoint(receiver.url)
    receiver.reply = lambda _: Reply(500)
    publish_check_in()
    courier(app)
    database.session.execute(update(Delivery).values(give_up_at=read_clock(), due_at=read_clock()))
    database.session.commit()
    courier(app)

    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.last_status, delivery.last_error) == ("dead", 500, "status")


CRASHING_WORKER = """
import sys
from service.app import create_core
from service.config import Config
from service.notify.courier import Courier
Courier()(create_core(Config.from_env()))
"""


def worker_environment(app: APIFlask) -> dict[str, str]:
    config = app.config["CHUNSHUI"]
    return os.environ | {
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "SECRET_KEY": config.secret_key,
        "WEBHOOK_PRIVATE_ADDRESSES": "true",
    }


def test_a_worker_killed_between_send_and_mark_is_made_good(
    app: APIFlask, courier: Courier, receiver: Receiver
) -> None:
    _, secret = make_endpoint(receiver.url)
    publish_check_in()
    started = threading.Event()
    workers: list[subprocess.Popen[bytes]] = []

    def kill_then_accept(_: Arrival) -> Reply:
        started.wait(10)
        if len(receiver.arrivals) == 1:
            os.kill(workers[0].pid, signal.SIGKILL)
        return Reply(200)

    receiver.reply = kill_then_accept
    workers.append(
        subprocess.Popen([sys.executable, "-c", CRASHING_WORKER], env=worker_environment(app), cwd=os.getcwd())
    )
    started.set()
    assert workers[0].wait(30) == -signal.SIGKILL

    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    courier(app)
    assert len(receiver.arrivals) == 1, "the dead worker's lease still runs"

    database.session.execute(update(Delivery).values(lease_until=read_clock()))
    database.session.commit()
    courier(app)
    first, second = receiver.arrivals
    assert first.id == second.id
    assert first.verified(secret) == second.verified(secret)
    assert [delivery.state for delivery in all_deliveries()] == ["delivered"]


def test_two_workers_share_and_never_repeat(app: APIFlask, receiver: Receiver) -> None:
    make_endpoint(receiver.url)
    publish_check_in(count=150)
    couriers = [Courier(capacity=16, each=16) for _ in range(2)]
    threads = [threading.Thread(target=courier, args=(app,)) for courier in couriers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for courier in couriers:
        courier.close()

    assert len(receiver.ids) == 150
    assert len(set(receiver.ids)) == 150
    assert {delivery.attempts for delivery in all_deliveries()} == {1}


def test_a_slow_receiver_does_not_hold_up_another(app: APIFlask, receiver: Receiver, other_receiver: Receiver) -> None:
    """The slow one answers only after the other has everything, which it may not prevent."""
    make_endpoint(receiver.url)
    make_endpoint(other_receiver.url)
    everything = threading.Event()

    def slow(_: Arrival) -> Reply:
        everything.wait(10)
        return Reply()

    def quick(_: Arrival) -> Reply:
        if len(other_receiver.arrivals) == 20:
            everything.set()
        return Reply()

    receiver.reply, other_receiver.reply = slow, quick
    publish_check_in(count=20)
    courier = Courier(capacity=8, each=8)
    courier(app)
    courier.close()

    assert {(delivery.state, delivery.attempts) for delivery in all_deliveries()} == {("delivered", 1)}


def test_stopping_gives_back_what_is_under_way(
    app: APIFlask, courier: Courier, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.notify.courier.LAST_ATTEMPTS_SECONDS", 0.05)
    stopping = app.extensions["stopping"] = threading.Event()

    def stop(_: Arrival) -> Reply:
        stopping.set()
        return Reply(delay=0.5)

    receiver.reply = stop
    make_endpoint(receiver.url)
    publish_check_in()
    courier(app)

    (delivery,) = all_deliveries()
    assert (delivery.state, delivery.attempts, delivery.lease_until) == ("pending", 0, None)


def test_an_unreadable_secret_fails_that_endpoint_only(
    app: APIFlask, courier: Courier, receiver: Receiver, other_receiver: Receiver
) -> None:
    broken, _ = make_endpoint(receiver.url)
    make_endpoint(other_receiver.url)
    broken.secret_ciphertext = broken.subject_key_ciphertext
    database.session.commit()
    configured(app, webhook_retry_seconds=60.0)
    publish_check_in()
    courier(app)

    assert not receiver.arrivals
    assert len(other_receiver.arrivals) == 1
    assert sorted(str(delivery.last_error) for delivery in all_deliveries()) == ["None", "secret"]


def test_after_a_database_error_nothing_is_lost(
    app: APIFlask, courier: Courier, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_endpoint(receiver.url)
    publish_check_in()
    settle, calls = deliveries.settle, []

    def settle_at_the_third_call(verdicts: list[Verdict[Claim]], now: datetime) -> None:
        calls.append(len(verdicts))
        if calls[-1] and len([call for call in calls if call]) < 2:
            raise ConnectionError("the database went away")
        settle(verdicts, now)

    monkeypatch.setattr(deliveries, "settle", settle_at_the_third_call)
    with pytest.raises(ConnectionError):
        courier(app)
    assert [delivery.state for delivery in all_deliveries()] == ["delivered"]
    assert len(receiver.arrivals) == 1


def test_housekeeping_forgets_settled_events_and_reseals(app: APIFlask, courier: Courier, receiver: Receiver) -> None:
    endpoint, secret = make_endpoint(receiver.url)
    publish_check_in(count=2)
    courier(app)
    database.session.execute(
        text("UPDATE outbox SET fanned_out_at = now() - interval '8 days' WHERE id = (SELECT min(id) FROM outbox)")
    )
    database.session.commit()
    old = app.config["CHUNSHUI"].secret_key
    configured(app, secret_key="the next secret, also 32 characters", previous_secret_key=old)
    before = endpoint.secret_ciphertext
    keep_house(app)
    database.session.rollback()
    assert database.session.query(Outbox).count() == 1
    assert database.session.get_one(Endpoint, endpoint.id).secret_ciphertext != before

    configured(app, previous_secret_key="")
    publish_check_in()
    courier(app)
    assert receiver.arrivals[-1].verified(secret)


def test_places_shrink_with_failures_and_grow_with_successes() -> None:
    places: Places[int] = Places(each=8)
    places.learn(1, success=False)
    assert (places.free(1), places.free(2)) == (4, 8)
    for _ in range(9):
        places.learn(1, success=False)
    assert places.free(1) == 1
    for _ in range(9):
        places.learn(1, success=True)
    assert places.free(1) == 8


def test_places_are_shared_fairly() -> None:
    places: Places[int] = Places(each=8)
    places.taken[3] = 8
    assert places.share([1, 2, 3], 10) == {1: 5, 2: 5}
    assert len(places.share(list(range(10, 40)), 4)) == 4


def test_who_holds_places_already_gets_fewer_new_ones() -> None:
    places: Places[int] = Places(each=8)
    places.taken[1] = 4
    assert places.share([1, 2], 4) == {2: 4}
    places.taken[2] = 2
    assert places.share([1, 2], 2) == {2: 2}


@given(st.dictionaries(st.integers(1, 30), st.integers(0, 8)), st.integers(0, 40))
def test_shares_fit_into_the_room_and_the_limits(taken: dict[int, int], room: int) -> None:
    places: Places[int] = Places(each=8)
    places.taken.update(taken)
    shares = places.share(list(taken), room)
    assert sum(shares.values()) <= room
    assert all(0 < given <= places.free(endpoint) for endpoint, given in shares.items())
    if room and any(places.free(endpoint) for endpoint in taken):
        assert shares


def test_where_there_is_little_room_everybody_gets_a_turn() -> None:
    places: Places[int] = Places(each=8)
    assert {endpoint for _ in range(500) for endpoint in places.share(list(range(8)), 1)} == set(range(8))
