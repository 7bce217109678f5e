"""Deliveries of notices, as the engine (`queue`) carries them: who is sent what, and what its answer makes of it."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, Text, bindparam, delete, or_, select, text, update

from service.extensions import db
from service.notify import queue
from service.notify.channels.sends import Outcome, Send
from service.notify.channels.wechat.happenings import Happening, Settled
from service.notify.notices import ledger
from service.notify.notices.audience import Means
from service.notify.notices.kinds import KINDS, said, spoken_facts
from service.notify.notices.models import Device, Notice, NoticeDelivery, Preference
from service.notify.notices.quiet import Quiet
from service.notify.queue import Queue, Verdict, pause
from service.scope import everything, scoped

LEASE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 5.0
# How long a member can look at what was told, and an organiser at what became of it.
KEEP = timedelta(days=90)
# What is found out without asking the provider.
EXPIRED = Outcome(kind="permanent", code="expired")
CALLED_OFF = Outcome(kind="permanent", code="called_off")

QUEUE = Queue(
    table="notice_deliveries",
    lane="lane",
    lane_type=Text(),
    joined="notices WHERE notices.id = notice_deliveries.notice_id",
    columns="notice_deliveries.key, notice_id, member_id, address, template, language, notices.state AS notice_state",
    apart="address",
    facts={
        "last_error": (Text(), lambda outcome: outcome.error),
        "receipt": (Text(), lambda outcome: outcome.receipt),
    },
)
WAITING = text(
    """
    -- scope: whoever has something due
    SELECT lane FROM unnest(:lanes) AS known (lane) WHERE EXISTS (
        SELECT FROM notice_deliveries WHERE notice_deliveries.lane = known.lane AND state = 'pending' AND due_at <= :now
        AND (lease_until IS NULL OR lease_until <= :now)
    )
    """
).bindparams(bindparam("lanes", type_=ARRAY(Text)))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One delivery in our hands until `lease_until`."""

    id: int
    lane: str
    key: uuid.UUID
    notice_id: int
    member_id: int
    address: str
    template: str | None
    language: str
    notice_state: str
    attempts: int
    give_up_at: datetime
    lease_until: datetime
    again: bool


def waiting(lanes: Collection[str], now: datetime) -> list[str]:
    """Those of `lanes` that something is due for."""
    return list(db.session.scalars(WAITING, {"lanes": list(lanes), "now": now}))


def claim(shares: Mapping[str, int], *, now: datetime) -> list[Claim]:
    """Take up to `shares[lane]` due deliveries of each lane, never two to one address. Commits."""
    return [Claim(**row) for row in QUEUE.claim(shares, now=now, lease_seconds=LEASE_SECONDS)]


def judge(held: Claim, outcome: Outcome, *, now: datetime) -> Verdict[Claim]:
    """What the engine says, and cancelled for what was called off."""
    if outcome is CALLED_OFF:
        return Verdict(claim=held, state="cancelled", due_at=now, outcome=outcome)
    return queue.judge(held, outcome, now=now, first_pause=FIRST_PAUSE_SECONDS)


def settle(verdicts: Sequence[Verdict[Claim]], now: datetime) -> None:
    """Write what came of the attempts, and what follows for credits and devices. Commits."""
    if not verdicts:
        return
    ours = QUEUE.settle(verdicts)
    mine = [verdict for verdict in verdicts if verdict.claim.id in ours]
    paid = [(one.claim.address, one.claim.template or "") for one in mine if one.claim.lane == ledger.CHANNEL]
    states = [(one.state, one.outcome.spent) for one in mine if one.claim.lane == ledger.CHANNEL]
    ledger.spend([pair for pair, (state, _) in zip(paid, states, strict=True) if state == "delivered"], now)
    ledger.zero([pair for pair, (_, spent) in zip(paid, states, strict=True) if spent], now)
    for verdict in mine:
        if verdict.outcome.kind == "drop_address":
            _drop(verdict)
    db.session.commit()


def _drop(verdict: Verdict[Claim]) -> None:
    """Forget a device that is gone, unless it was registered again since."""
    which = [Device.channel == verdict.claim.lane, Device.address == verdict.claim.address]
    if verdict.outcome.since is not None:
        which.append(Device.registered_at <= verdict.outcome.since)
    db.session.execute(scoped(delete(Device), *which))


def listen(happening: Happening, _app: str, now: datetime) -> None:
    """WeChat told what became of a message that it had taken: one that failed is due again, or dead after all.

    LookupError where its receipt is not written down yet: the event is handed on again a little later.
    """
    if not isinstance(happening, Settled) or happening.outcome.kind == "done":
        return
    taken = (NoticeDelivery.receipt == happening.receipt, NoticeDelivery.address == happening.openid)
    question = (
        scoped(select(NoticeDelivery), *taken, NoticeDelivery.state == "delivered")
        .order_by(NoticeDelivery.id.desc())
        .limit(1)
    )
    found = db.session.scalar(question.with_for_update())
    if found is None:
        raise LookupError("no such receipt")
    outcome, again = happening.outcome, happening.outcome.kind == "retry" and now < found.give_up_at
    seconds = max(outcome.after, pause(found.attempts, first=FIRST_PAUSE_SECONDS))
    found.state, found.last_error, found.delivered_at = "pending" if again else "dead", outcome.code, None
    found.due_at = min(now + timedelta(seconds=seconds), found.give_up_at) if again else now
    # WeChat takes the old key for a repeat of what it took, and drops it.
    found.key = uuid.uuid4()
    if outcome.kind == "drop_address":
        db.session.execute(scoped(delete(Device), Device.channel == found.lane, Device.address == found.address))


def release(claims: Collection[Claim], due_at: Mapping[int, datetime] | None = None) -> None:
    """Give back what was not attempted, until `due_at` where that says so. Commits."""
    QUEUE.release(claims, due_at)


def notices_of(claims: Collection[Claim]) -> dict[int, Notice]:
    """The notices that `claims` carry."""
    found = scoped(select(Notice), Notice.id.in_({held.notice_id for held in claims}))
    notices = {notice.id: notice for notice in db.session.scalars(found)}
    db.session.expunge_all()
    return notices


def asleep(claims: Collection[Claim], notices: Mapping[int, Notice], now: datetime) -> dict[int, datetime]:
    """Of `claims` those that come in their member's quiet hours and may not wake, and when these hours end."""
    soft = [held for held in claims if not KINDS[notices[held.notice_id].kind].wakes]
    members = {held.member_id for held in soft}
    asked = scoped(select(Preference), Preference.member_id.in_(members), Preference.quiet_from.is_not(None))
    quiet = {one.member_id: Quiet.of(one) for one in db.session.scalars(asked)}
    return {
        held.id: quiet[held.member_id].ends(now)
        for held in soft
        if held.member_id in quiet and quiet[held.member_id].covers(now)
    }


def send_of(held: Claim, notice: Notice, means: Means) -> Send:
    """What a channel is given: neutral texts, except in the fields of a template that WeChat has approved."""
    spoken = said(notice.kind, held.language, texts=notice.texts, facts=notice.facts)
    known = spoken_facts(notice.facts, held.language) | {"title": spoken.title, "text": spoken.full}
    fields = {name: known.get(fact, "") for name, fact in means.fields_of(held.lane).items()} if held.template else {}
    return Send(
        delivery=held.id,
        address=held.address,
        key=held.key,
        title=spoken.title,
        text=spoken.neutral,
        template=held.template or "",
        data=fields or {"notice": str(notice.id)},
        page=f"pages/notice?id={notice.id}",
        language=held.language,
        # At most 64 bytes, and no two keys alike.
        collapse=uuid.uuid5(uuid.NAMESPACE_URL, notice.key).hex,
        expires_at=held.give_up_at,
    )


def expire(now: datetime) -> int:
    """Give up what could not even be tried in its life; how many. Commits."""
    late = update(NoticeDelivery).where(
        NoticeDelivery.state == "pending",
        NoticeDelivery.give_up_at < now,
        or_(NoticeDelivery.lease_until.is_(None), NoticeDelivery.lease_until <= now),
    )
    result = db.session.execute(
        everything("whoever is late is given up", late.values(state="dead", last_error="expired"))
    )
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]


def prune(now: datetime) -> int:
    """Forget notices that expired `KEEP` ago, with their deliveries; how many. Commits."""
    old = delete(Notice).where(Notice.expires_at < now - KEEP).execution_options(synchronize_session=False)
    db.session.execute(text("SET LOCAL statement_timeout = '5min'"))
    result = db.session.execute(everything("whatever is old is forgotten", old))
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]
