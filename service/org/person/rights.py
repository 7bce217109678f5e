"""See, take along, correct and erase what is held of a person, whatever room holds it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import exists, select, text

from service import audit
from service.clock import day_of
from service.errors import ServiceError
from service.extensions import db
from service.holdings import held, holdings, label, salts
from service.org.models import Division, Member
from service.org.people.models import Standing
from service.scope import reason, scoped

# Live figures of an activity may be made again from its rows until a day after it; then the person can leave them.
SETTLED = timedelta(hours=48)
# For how long an erasure is carried on in activities that were not settled yet.
CARRIED = timedelta(days=90)


def find(member: int) -> Member:
    """The member, unless erased; ServiceError not_found."""
    found = db.session.get(Member, member, execution_options=reason("one person"))
    if found is None or found.erased_at is not None:
        raise ServiceError("not_found")
    return found


def export(member: int, *, actor: audit.Party, now: datetime) -> dict[str, Any]:
    """All that is held of a member, by table, with the label of the whole; noted, committed."""
    find(member)
    document = {"member": member, "label": label(), "held": held(member)}
    audit.note("person.exported", actor=actor, subject=audit.Party("member", member), now=now)
    db.session.commit()
    return document


def correct(member: int, changes: dict[str, Any], *, actor: audit.Party, now: datetime) -> Member:
    """Set name or present place, committed; the note says which, not what. ServiceError validation for no place."""
    found = find(member)
    if changes.get("place_code") and db.session.get(Division, changes["place_code"]) is None:
        raise ServiceError("validation", errors={"place_code": ["Unknown."]})
    changed = sorted(name for name, value in changes.items() if getattr(found, name) != value)
    for name in changed:
        setattr(found, name, changes[name])
    if changed:
        subject = audit.Party("member", member)
        audit.note("person.corrected", actor=actor, subject=subject, now=now, details={"fields": " ".join(changed)})
    db.session.commit()
    return found


def erase(member: int, *, actor: audit.Party, now: datetime) -> None:
    """Remove what leads to the person, and the person from what counts need; committed at once, quiet if repeated.

    What the activities of the last two days still need for their figures follows within an hour of its time.
    """
    row = db.session.get(Member, member, with_for_update=True, execution_options=reason("one person"))
    if row is None:
        raise ServiceError("not_found")
    if row.erased_at is None:
        for holding in holdings():
            if holding.forget:
                holding.forget(member, now)
        _unname(member, now - SETTLED)
        audit.note("person.erased", actor=actor, subject=audit.Party("member", member), now=now)
    db.session.commit()


def carry_on(now: datetime) -> int:
    """Finish recent erasures in activities that have settled since; how many rows. Commits each person."""
    recent = scoped(select(Member.id), Member.erased_at > now - CARRIED).order_by(Member.id)
    done = 0
    for member in db.session.scalars(recent).all():
        done += _unname(member, now - SETTLED)
        db.session.commit()
    return done


def age(now: datetime, days: int) -> int:
    """Take everybody out of what ended more than `days` ago, and erase who left before that; how many rows. Commits.

    Rows of activities that are counted stay, without their people; what else has ended is removed.
    """
    before = now - max(timedelta(days=days), SETTLED)
    for member in left_before(day_of(before)):
        erase(member, actor=audit.SYSTEM, now=now)
    db.session.execute(text("SET LOCAL statement_timeout = 0"))
    done = _unname(None, before)
    if done:
        audit.note("rows.pseudonymised", actor=audit.SYSTEM, now=now, details={"rows": done})
    db.session.commit()
    return done


def left_before(day: date) -> Sequence[int]:
    """Who has left, before a day, and has not come back since."""
    changed = exists().where(Standing.member_id == Member.id, Standing.kind == "status")
    gone = (Member.status == "left", Member.erased_at.is_(None), changed, ~changed.where(Standing.since >= day))
    return db.session.scalars(scoped(select(Member.id), *gone).order_by(Member.id)).all()


def _unname(member: int | None, before: datetime) -> int:
    made = salts()
    return sum(holding.unname(member, before, made) for holding in holdings() if holding.unname)
