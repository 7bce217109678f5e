"""What the org room holds of a person: who he is, how he logs in, what he agreed to."""

from datetime import datetime

from sqlalchemy import delete, select, update

from service.extensions import db
from service.holdings import Holding
from service.org.models import Denial, Invitation, Member, MemberSession, RefreshToken, WechatIdentity
from service.org.people.models import Attachment, FormerHome, Office, SealedNumber
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
    for model in (WechatIdentity, Invitation, SealedNumber, Attachment, Office):
        db.session.execute(scoped(delete(model), model.member_id == member))
    standing = (Consent.member_id == member, Consent.withdrawn_at.is_(None))
    db.session.execute(scoped(update(Consent), *standing).values(withdrawn_at=now))
    left = {"name": "", "place_code": None, "status": "left", "erased_at": now}
    db.session.execute(scoped(update(Member), Member.id == member).values(left))
    # That he was active until now has just been kept too.
    db.session.execute(scoped(delete(FormerHome), FormerHome.member_id == member))


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
        FormerHome.member_id,
    ],
    forget=forget,
)
