"""Checking in. Many attempts at once, each with its own answer, whatever the others are.

The order is what keeps repeats harmless: a known reference is answered before any rule is asked, so that a retry
after the window has closed still gets its first answer; then the rules; then one INSERT of everybody in the order
of member numbers (two batches that overlap wait for each other in the same order, so they cannot lock each other
out); then a second SELECT, because a concurrent repeat that has just won comes back from no INSERT of ours. What is
refused is kept too, after all check-ins of the same transaction and in the same order.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from flask import current_app
from sqlalchemy.exc import DataError, IntegrityError

from service.activity.audience import invites
from service.checkin import proxies, records, refusals
from service.checkin.flags import devices
from service.checkin.group import sessions
from service.checkin.models import ASSISTED
from service.checkin.occasion import Occasion, Seat, find, listed, seat, welcome
from service.checkin.onsite import gates
from service.checkin.onsite.codes import Claim
from service.checkin.records import Attempt, Key, Record
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.home import home_of, rehearses
from service.live.figures import note_check_ins
from service.live.scripts import slots_of
from service.notify.outbox import Event, publish_each

log = logging.getLogger(__name__)

# What one bad attempt can do to a statement; anything else is the database's trouble and everybody's.
SPOILT = (DataError, IntegrityError, ValueError)

MOST = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt: the record, new or from the first time, or the refusal."""

    record: Record | None = None
    repeat: bool = False
    refusal: ServiceError | None = None


Answers = dict[Key, Answer]


def check_in(activity: int, attempts: Sequence[Attempt], now: datetime, *, keep: bool = True) -> list[Answer]:
    """The answer to each attempt, in their order; committed, told to the outbox and to the live figures.

    Without `keep` it is what would become of them, and nothing is written. ServiceError not_found if there is no such
    activity.
    """
    occasion = find(activity)
    first = {attempt.key: attempt for attempt in reversed(attempts)}
    unique = [first[key] for key in sorted(first)]
    answers: Answers = {}
    for some in in_batches(unique):
        fresh = settle(occasion, some, now, keep=keep)
        if keep:
            tell(occasion, entered(fresh))
        answers |= fresh
    told: set[Key] = set()
    return [_in_turn(attempt, first[attempt.key], answers[attempt.key], told) for attempt in attempts]


def check_in_together(
    activity: int, attempts: Sequence[Attempt], now: datetime, *, tolerated: Collection[str] = ()
) -> Answers | None:
    """The answers, committed and told, if nothing is refused but for a `tolerated` reason; else None, nothing written.

    For those who were found to be good one by one before: whoever checks in meanwhile waits for all of them.
    """
    occasion, answers = find(activity), Answers()
    try:
        for some in in_batches(sorted(attempts, key=lambda attempt: attempt.key)):
            answers |= judge(occasion, some, now)
    except SPOILT:
        db.session.rollback()
        return None
    if any(answer.refusal and answer.refusal.code not in tolerated for answer in answers.values()):
        db.session.rollback()
        return None
    db.session.commit()
    tell(occasion, entered(answers))
    return answers


def in_batches(attempts: Sequence[Attempt]) -> Iterator[Sequence[Attempt]]:
    """As many at a time as one statement takes."""
    return (attempts[start : start + MOST] for start in range(0, len(attempts), MOST))


def entered(answers: Answers) -> list[Record]:
    """The records that are new."""
    return [answer.record for answer in answers.values() if answer.record and not answer.repeat]


def settle(occasion: Occasion, attempts: Sequence[Attempt], now: datetime, *, keep: bool = True) -> Answers:
    """Answers by attempt, committed; a batch that one attempt spoils is halved until that one stands alone."""
    try:
        answers = judge(occasion, attempts, now)
        # What is only asked for holds nobody up for longer than a batch takes.
        (db.session.commit if keep else db.session.rollback)()
        return answers
    except SPOILT as error:
        db.session.rollback()
        if len(attempts) == 1:
            log.warning("a check-in could not be stored: %s", type(error).__name__)
            return {attempts[0].key: Answer(refusal=ServiceError("validation"))}
    middle = len(attempts) // 2
    halves = (attempts[:middle], attempts[middle:])
    return settle(occasion, halves[0], now, keep=keep) | settle(occasion, halves[1], now, keep=keep)


def judge(occasion: Occasion, attempts: Sequence[Attempt], now: datetime) -> Answers:
    """Answers by attempt, written in the caller's transaction; one bad attempt may fail them all."""
    answers = _first_answers(occasion, attempts)
    open_ones = [attempt for attempt in attempts if attempt.key not in answers]
    claims, unproven = gates.proven(occasion, open_ones, now)
    # Who may not come is told that, and nothing of his code or screen.
    refused = unproven | sessions.shut(occasion, open_ones) | turned_away(occasion, open_ones, now)
    seats: dict[Key, Seat] = {}
    for attempt in open_ones:
        if attempt.key not in refused:
            try:
                seats[attempt.key] = admit(occasion, attempt, now, claims.get(attempt.key))
            except ServiceError as refusal:
                refused[attempt.key] = refusal
    refused |= proxies.beyond_cap(occasion, [attempt for attempt in open_ones if attempt.key in seats])
    admitted = [attempt for attempt in open_ones if attempt.key in seats and attempt.key not in refused]
    made = records.insert(occasion, admitted, seats, now, read=claims)
    _publish(occasion, admitted, made)
    devices.note(occasion.id, admitted, made, now)
    answers |= {record.key: Answer(record) for record in made}
    late = [attempt for attempt in admitted if attempt.key not in answers]
    if late:
        answers |= _first_answers(occasion, late)
        refused |= _left_over({one.key: seats[one.key] for one in late if one.key not in answers}, claims)
    answers |= {key: Answer(refusal=refusal) for key, refusal in refused.items()}
    _keep_refusals(occasion, attempts, answers, now)
    return answers


def turned_away(occasion: Occasion, attempts: Sequence[Attempt], now: datetime) -> dict[Key, ServiceError]:
    """Who may not come: by the frozen roster, before that by the tree, attachments and the list of guests."""
    if occasion.attendance == "rostered" and occasion.frozen:
        on_list = listed(occasion, {attempt.member for attempt in attempts})
        strange = [attempt for attempt in attempts if attempt.member not in on_list]
    else:
        strange = [attempt for attempt in attempts if not _invited(occasion, attempt)]
        if strange:
            let_in = welcome(occasion, {attempt.member for attempt in strange}, now)
            strange = [attempt for attempt in strange if attempt.member not in let_in]
    # A synthetic member comes to rehearsals only, whatever any list says, and a real one to none.
    foreign = [one for one in attempts if rehearses(one.organisation) is not occasion.rehearsal]
    return {
        attempt.key: ServiceError("not_on_roster" if _invited(occasion, attempt) else "not_invited")
        for attempt in (*strange, *foreign)
    }


def _invited(occasion: Occasion, attempt: Attempt) -> bool:
    return invites(occasion.attendance, occasion.invited, attempt.organisation, rehearsal=occasion.rehearsal)


def admit(occasion: Occasion, attempt: Attempt, now: datetime, claim: Claim | None = None) -> Seat:
    """The sitting that `attempt` counts for, its code's if it brings one; ServiceError with the reason if none."""
    if (attempt.method in ASSISTED) is (attempt.entered_by is None):
        raise ServiceError("forbidden")
    if attempt.method == "proxy" and not attempt.reason:
        raise ServiceError("reason_missing")
    sitting = claim.sitting if claim else attempt.sitting
    return seat(occasion, attempt.method, sitting, attempt.happened_at, now)


def tell(occasion: Occasion, made: Sequence[Record]) -> None:
    """Tell the live figures of committed check-ins; Valkey may be away, then the ledger tells it later."""
    client: redis.Redis = current_app.extensions["valkey"]
    try:
        for window in occasion.windows:
            members = [record.member_id for record in made if record.sitting_id == window.sitting and record.counts]
            for stream, shards in window.streams if members else ():
                note_check_ins(client, slots_of(stream, shards), members)
    except redis.RedisError as error:
        log.warning("check-ins not told to the live figures: %s", type(error).__name__)


def _first_answers(occasion: Occasion, attempts: Sequence[Attempt]) -> Answers:
    """The first answers of references that are known already."""
    by_key = {attempt.key: attempt for attempt in attempts}
    return {record.key: _again(occasion, by_key[record.key], record) for record in records.known(attempts)}


def _again(occasion: Occasion, attempt: Attempt, record: Record) -> Answer:
    """The first answer again; a reference that was used for something else is the client's mistake."""
    # Not even a reference that was used elsewhere tells that an activity exists to which one is not invited.
    if record.activity_id != occasion.id and not _invited(occasion, attempt):
        return Answer(refusal=ServiceError("not_invited"))
    if record.activity_id != occasion.id or record.fingerprint not in (None, attempt.fingerprint):
        return Answer(refusal=ServiceError("reference_reused"))
    if record.annulled_at is not None:
        return Answer(refusal=ServiceError("checkin_annulled", sitting=record.sitting_id))
    return Answer(record, repeat=True)


def _left_over(seats: dict[Key, Seat], claims: Mapping[Key, Claim]) -> dict[Key, ServiceError]:
    """Why these were not written: the member is in the sitting by another reference, read this code before, or was
    taken out of the sitting.
    """
    codes = dict.fromkeys(seats, "checkin_annulled")
    codes |= dict.fromkeys(records.replayed({key: claims[key] for key in seats if key in claims}), "gate_code_replayed")
    codes |= dict.fromkeys(records.standing(seats), "already_checked_in")
    return {key: ServiceError(code, sitting=seats[key].window.sitting) for key, code in codes.items()}


def _keep_refusals(occasion: Occasion, attempts: Sequence[Attempt], answers: Answers, now: datetime) -> None:
    refused = ((attempt, answers[attempt.key].refusal) for attempt in attempts)
    refusals.keep(occasion.id, [(attempt, refusal.code) for attempt, refusal in refused if refusal], now)


def _publish(occasion: Occasion, attempts: Iterable[Attempt], made: Sequence[Record]) -> None:
    """Tell the outbox of those that stand at once; a proxy's turn comes with its confirmation."""
    homes = {attempt.key: home_of(attempt.organisation) for attempt in attempts}
    told: dict[tuple[int, str, datetime], list[Record]] = defaultdict(list)
    for one in made:
        if one.counts:
            told[one.sitting_id, one.method, one.happened_at].append(one)
    for alike in told.values():
        publish_each("checkin.created", payload(occasion, alike[0]), [(homes[one.key], one.member_id) for one in alike])


def event(topic: str, occasion: Occasion, organisation: str, record: Record) -> Event:
    """What push services hear of one check-in."""
    home, who = home_of(organisation), record.member_id
    return Event(topic=topic, organisation_path=home, subject_member=who, payload=payload(occasion, record))


def payload(occasion: Occasion, record: Record) -> dict[str, Any]:
    """What is said of a check-in: no number and no exact time by which two receivers could match their subjects."""
    return {
        "activity": occasion.id,
        "sitting": record.sitting_id,
        "method": record.method,
        "rehearsal": occasion.rehearsal,
        "happened_at": iso(record.happened_at.replace(second=0, microsecond=0)),
        "received_at": iso(record.received_at.replace(second=0, microsecond=0)),
    }


def _in_turn(attempt: Attempt, first: Attempt, answer: Answer, told: set[Key]) -> Answer:
    """The same attempt twice in one call: the second is a repeat of the first, or another under its reference."""
    if attempt is not first and attempt.fingerprint != first.fingerprint:
        return Answer(refusal=ServiceError("reference_reused"))
    if attempt.key in told and answer.record is not None:
        return Answer(answer.record, repeat=True)
    told.add(attempt.key)
    return answer
