"""What the org room holds of a person: who he is, how he logs in, what he agreed to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm import aliased

from service.clock import day_of
from service.extensions import db
from service.holdings import Holding, Salts
from service.org.models import Denial, Invitation, Member, MemberSession, RefreshToken, WechatIdentity
from service.org.people.models import Attachment, FormerHome, Office, SealedNumber, Standing
from service.org.person.models import Consent
from service.org.sessions import revoke
from service.scope import scoped


def forget(member: int, now: datetime) -> None:
    """Leave of a member nothing but the number and the home that counts are made by; all its tokens are refused."""
    mine = scoped(select(MemberSession.id), MemberSession.member_id == member)
    for session in db.session.scalars(mine.where(MemberSession.revoked_at.is_(None))).all():
        revoke(session, now)
    gone = scoped(delete(RefreshToken), RefreshToken.session_id.in_(mine))
    # None of them is loaded: there is nothing to ask for beforehand.
    db.session.execute(gone.execution_options(synchronize_session=False))
    for model in (WechatIdentity, Invitation, SealedNumber, Attachment, Office, Standing):
        db.session.execute(scoped(delete(model), model.member_id == member))
    standing = (Consent.member_id == member, Consent.withdrawn_at.is_(None))
    db.session.execute(scoped(update(Consent), *standing).values(withdrawn_at=now))
    left = {"name": "", "place_code": None, "status": "left", "category": None, "erased_at": now}
    db.session.execute(scoped(update(Member), Member.id == member).values(left))
    # That he was active until now has just been kept too.
    db.session.execute(scoped(delete(FormerHome), FormerHome.member_id == member))


def unname(member: int | None, before: datetime, _: Salts) -> int:
    """Remove of everybody what ended before a moment: stays, offices, invitations, standings before the one since then.

    Of one member `forget` leaves nothing.
    """
    if member is not None:
        return 0
    day = day_of(before)
    later = aliased(Standing)
    same = (later.member_id == Standing.member_id) & (later.kind == Standing.kind)
    replaced = exists().where(same, later.since > Standing.since, later.since < day)
    ended: Sequence[tuple[Any, ColumnElement[bool]]] = (
        (Attachment, or_(Attachment.closed_on < day, Attachment.ends_on < day)),
        (Office, Office.ends_on < day),
        (Invitation, Invitation.expires_at < before),
        (Standing, replaced),
    )
    gone = [scoped(delete(model), over).execution_options(synchronize_session=False) for model, over in ended]
    return sum(db.session.execute(statement).rowcount for statement in gone)  # type: ignore[attr-defined]


HOLDING = Holding(
    room="org",
    columns=[
        Member.id,
        WechatIdentity.member_id,
        Invitation.member_id,
        MemberSession.member_id,
        Denial.member_id,
        Consent.member_id,
        SealedNumber.member_id,
        Attachment.member_id,
        Office.member_id,
        Standing.member_id,
        FormerHome.member_id,
    ],
    forget=forget,
    unname=unname,
)
