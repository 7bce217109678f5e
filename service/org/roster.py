"""The roster: members, what the doors need to know of one, and the invitations that bind a WeChat user to one."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from service.errors import ServiceError
from service.extensions import db
from service.org.models import Division, Invitation, Member, Organisation, WechatIdentity

INVITATION_DAYS = 30
# No letter or digit that a person mistakes for another; 16 of them are 79 bits, so SHA-256 alone protects a code.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXY"


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """A member with home branch and present place, as tokens and answers show them; place is "" if unknown."""

    id: int
    status: str
    organisation_id: int
    organisation_name: str
    organisation_path: str
    place_code: str | None
    place_name: str | None
    place_path: str


Facts = Select[int, str, int, str, str, str, str, str]


def facts() -> Facts:
    """The question for MemberFacts; the caller says of whom."""
    return (
        select(
            Member.id,
            Member.status,
            Organisation.id,
            Organisation.name,
            Organisation.path,
            Division.code,
            Division.name,
            func.coalesce(Division.path, ""),
        )
        .join(Organisation, Organisation.id == Member.organisation_id)
        .outerjoin(Division, Division.code == Member.place_code)
    )


def member_facts(member: int) -> MemberFacts | None:
    """The facts of a member number."""
    return one(facts().where(Member.id == member))


def bound_member(appid: str, openid: str) -> MemberFacts | None:
    """The member that this WeChat user is bound to."""
    identity = (WechatIdentity.appid == appid) & (WechatIdentity.openid == openid)
    return one(facts().join(WechatIdentity, WechatIdentity.member_id == Member.id).where(identity))


def one(question: Facts) -> MemberFacts | None:
    """The facts that `question`, made from `facts`, finds; None if there is nobody."""
    row = db.session.execute(question).one_or_none()
    return MemberFacts(*row) if row else None


def add_member(name: str, *, organisation: Organisation, place_code: str | None = None) -> Member:
    """A new member of `organisation`, in the caller's transaction."""
    member = Member(name=name, organisation_id=organisation.id, place_code=place_code)
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


def bind(*, appid: str, openid: str, unionid: str | None, invitation: str, now: datetime) -> None:
    """Bind a WeChat user to the member that `invitation` names and use it up, in the caller's transaction.

    Quiet if the user was bound meanwhile, and the invitation stays unused; ServiceError invitation_invalid if it
    is unknown, used or expired, or its member is bound already.
    """
    # The row lock lets one of two concurrent uses through; the other finds the invitation used.
    question = select(Invitation).where(Invitation.code_hash == hashed(invitation)).with_for_update()
    found = db.session.scalars(question.execution_options(populate_existing=True)).one_or_none()
    if found is not None and found.used_at is None and found.expires_at > now:
        identity = {"appid": appid, "openid": openid, "unionid": unionid, "member_id": found.member_id}
        added = insert(WechatIdentity).values(identity).on_conflict_do_nothing().returning(WechatIdentity.id)
        if db.session.scalar(added) is not None:
            db.session.execute(update(Invitation).where(Invitation.id == found.id).values(used_at=now))
            return
    if bound_member(appid, openid) is None:
        raise ServiceError("invitation_invalid")
