"""The roster: members, what the doors need to know of one, and the invitations that bind a WeChat user to one."""

import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import TextClause, insert, text

from service.errors import ServiceError
from service.extensions import db
from service.home import rehearsed
from service.org.models import Invitation, Member, Organisation
from service.org.wechat import WechatUser

INVITATION_DAYS = 30
# No letter or digit that a person mistakes for another; 16 of them are 79 bits, so SHA-256 alone protects a code.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXY"


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """A member with home branch and present place, as tokens and answers show them; place is "" if unknown."""

    id: int
    status: str
    rehearsal: bool
    organisation_id: int
    organisation_name: str
    organisation_path: str
    place_code: str | None
    place_name: str | None
    place_path: str

    @property
    def home(self) -> str:
        """The organisation path that its tokens carry."""
        return rehearsed(self.organisation_path) if self.rehearsal else self.organisation_path


# Written out and built once: every member logs in within the same half hour.
FACTS = """
-- scope: one member, by number or WeChat identity
SELECT m.id, m.status, m.rehearsal, o.id, o.name, o.path, d.code, d.name, coalesce(d.path, '')
FROM {source} JOIN organisations o ON o.id = m.organisation_id LEFT JOIN divisions d ON d.code = m.place_code
"""
BY_NUMBER = text(FACTS.format(source="members m") + "WHERE m.id = :member")
BY_IDENTITY = text(
    FACTS.format(source="wechat_identities w JOIN members m ON m.id = w.member_id /* scope: the identity */")
    + "WHERE w.appid = :appid AND w.openid = :openid"
)
# The row lock lets one of two concurrent uses through; the other waits for it and finds the invitation used.
BIND = text(
    """
    -- scope: who holds the code
    WITH invitation AS MATERIALIZED (
        SELECT id, member_id FROM invitations
        WHERE code_hash = :code_hash AND used_at IS NULL AND expires_at > :now FOR UPDATE
    ), bound AS (
        INSERT INTO wechat_identities (appid, openid, unionid, member_id)
        SELECT :appid, :openid, :unionid, member_id FROM invitation
        ON CONFLICT DO NOTHING RETURNING member_id
    )
    UPDATE invitations SET used_at = :now FROM invitation JOIN bound USING (member_id)
    WHERE invitations.id = invitation.id
    """
)


def member_facts(member: int) -> MemberFacts | None:
    """The facts of a member number."""
    return _one(BY_NUMBER, member=member)


def bound_member(appid: str, openid: str) -> MemberFacts | None:
    """The member that this WeChat user is bound to."""
    return _one(BY_IDENTITY, appid=appid, openid=openid)


def _one(question: TextClause, **values: Any) -> MemberFacts | None:
    row = db.session.execute(question, values).one_or_none()
    return MemberFacts(*row) if row else None


def add_member(
    name: str, *, organisation: Organisation, place_code: str | None = None, rehearsal: bool = False
) -> Member:
    """A new member of `organisation`, in the caller's transaction."""
    member = Member(name=name, organisation_id=organisation.id, place_code=place_code, rehearsal=rehearsal)
    db.session.add(member)
    db.session.flush()
    return member


def invite(members: Iterable[int], now: datetime) -> list[str]:
    """One invitation code for each member number, in the caller's transaction; told here and never again."""
    codes, rows = [], []
    for member in members:
        code = "".join(secrets.choice(ALPHABET) for _ in range(16))
        codes.append("-".join(code[i : i + 4] for i in range(0, 16, 4)))
        expires = now + timedelta(days=INVITATION_DAYS)
        rows.append({"code_hash": hashed(code), "member_id": member, "expires_at": expires})
    if rows:
        db.session.execute(insert(Invitation), rows)
    return codes


def hashed(code: str) -> bytes:
    """What is stored of an invitation code; spaces, dashes and case do not matter."""
    return sha256("".join(filter(str.isalnum, code)).lower().encode()).digest()


def bind(user: WechatUser, invitation: str, now: datetime) -> MemberFacts:
    """The member that `invitation` names, bound to `user` from now on, in the caller's transaction.

    Of a user who was bound meanwhile it is the member that he is bound to, and the invitation stays unused.
    ServiceError invitation_invalid if it is unknown, used or expired, or its member is bound already.
    """
    db.session.execute(BIND, asdict(user) | {"code_hash": hashed(invitation), "now": now})
    member = bound_member(user.appid, user.openid)
    if member is None or member.status == "left":
        raise ServiceError("invitation_invalid")
    return member
