"""Binding a WeChat user to a member by what WeChat vouches for: a phone number, or the same person in another app.

A member has one WeChat user in each app. Whoever changes his WeChat account is unbound first, by himself or, when the
phone is lost, by his organiser.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, text

from service.errors import ServiceError
from service.extensions import db
from service.notify.notices import wishes
from service.notify.notices.models import ACCOUNT
from service.org.models import Invitation, Member, WechatIdentity
from service.org.people.identity import keyring
from service.org.people.numbers import phone as normal_phone
from service.org.roster import MemberFacts, bound_member
from service.org.sessions import log_out_everywhere
from service.org.wechat import WechatUser
from service.scope import scoped

BY_PHONE = text(
    """
    -- scope: who has the number
    INSERT INTO wechat_identities (appid, openid, unionid, member_id)
    SELECT :appid, :openid, :unionid, m.id FROM sealed_numbers n JOIN members m ON m.id = n.member_id
    WHERE n.kind = 'phone' AND n.blind_index = ANY(:indexes) AND m.status <> 'left' AND NOT m.rehearsal
    ON CONFLICT DO NOTHING
    """
)
BY_UNIONID = text(
    """
    -- scope: the WeChat user
    INSERT INTO wechat_identities (appid, openid, unionid, member_id)
    SELECT :appid, :openid, :unionid, min(member_id) FROM wechat_identities WHERE unionid = :unionid
    HAVING count(DISTINCT member_id) = 1
    ON CONFLICT DO NOTHING
    """
)
NOTE_UNIONID = text(
    """
    -- scope: the WeChat user
    UPDATE wechat_identities SET unionid = :unionid
    WHERE appid = :appid AND openid = :openid AND unionid IS DISTINCT FROM :unionid
    """
)


def recognised(user: WechatUser) -> MemberFacts | None:
    """The member that `user` is bound to, in this app or, joined by his unionid, in another; in the transaction.

    A unionid that leads to two members leads to none.
    """
    member = bound_member(user.appid, user.openid)
    if user.unionid is None:
        return member
    db.session.execute(NOTE_UNIONID if member else BY_UNIONID, asdict(user))
    return member or bound_member(user.appid, user.openid)


def bind_by_phone(user: WechatUser, phone: Callable[[], str]) -> MemberFacts:
    """The member whose number WeChat says `user` has, bound from now on, in the caller's transaction.

    ServiceError phone_unknown if no member has it, or another WeChat user is bound to him already: whoever
    holds a phone that was somebody else's learns nothing.
    """
    number = normal_phone(phone())
    if number is not None:
        indexes = keyring().indexes(number.encode(), "phone")
        db.session.execute(BY_PHONE, asdict(user) | {"indexes": indexes})
    member = bound_member(user.appid, user.openid)
    if member is None:
        raise ServiceError("phone_unknown")
    return member


def unbind(member: Member, now: datetime) -> None:
    """Let no WeChat user be bound to a member any more, close his sessions, void his invitations. Commits."""
    db.session.execute(scoped(delete(WechatIdentity), WechatIdentity.member_id == member.id))
    wishes.leave(member.id, ACCOUNT)
    db.session.execute(scoped(delete(Invitation), Invitation.member_id == member.id, Invitation.used_at.is_(None)))
    log_out_everywhere(member.id, now)
    db.session.commit()
