"""Tables of the org room. Secrets are stored as hashes only; paths are materialised and sorted bytewise."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    and_,
    func,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.scope import Scoped

# Bytewise order makes a subtree one range of the index, whatever locale the server has.
PATH = Text(collation="C")

LEVELS = ("province", "prefecture", "county", "township")
# 联建功能型、议事型、服务型党组织
JOINT_KINDS = ("functional", "deliberative", "service")
# 在册、流动、出国（境）、失去联系、已转出
STATUSES = ("active", "floating", "abroad", "out_of_contact", "left")
# 正式党员、预备党员
CATEGORIES = ("full", "probationary")
ORGANISATION_LEVELS = ("province", "city", "county", "township", "branch")


def within(column: InstrumentedAttribute[str], path: str) -> ColumnElement[bool]:
    """Whether `column`, a materialised path, is `path` or below it: one index range.

    After `path` itself sort only longer paths; '.' precedes '/', and '/' precedes every digit.
    """
    return and_(column >= path, column < path + "/")


def covers(ancestor: str, path: str) -> bool:
    """Whether `path` is `ancestor` or below it."""
    return path == ancestor or path.startswith(ancestor + ".")


@holds(purpose="reference", keeps="ever", public="code name level parent_code path valid_from valid_to successor_code")
class Division(Base):
    """An administrative division, current or abolished; `path` leads through `parent_code` to the province."""

    __tablename__ = "divisions"
    __table_args__ = (CheckConstraint(f"level IN {LEVELS}", name="level"),)

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, index=True)
    level: Mapped[str] = mapped_column(Text)
    parent_code: Mapped[str | None] = mapped_column(ForeignKey("divisions.code"), index=True)
    path: Mapped[str] = mapped_column(PATH, unique=True)
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    successor_code: Mapped[str | None] = mapped_column(ForeignKey("divisions.code"))


@holds(purpose="reference", keeps="ever", public="code alias")
class DivisionAlias(Base):
    """Another spelling of a division's name, as people and articles write it."""

    __tablename__ = "division_aliases"

    code: Mapped[str] = mapped_column(ForeignKey("divisions.code"), primary_key=True)
    alias: Mapped[str] = mapped_column(Text, primary_key=True, index=True)


@holds(purpose="reference", keeps="ever", public="county_code neighbour_code")
class CountyBorder(Base):
    """A county of Sichuan and a county of another province that touch."""

    __tablename__ = "county_borders"

    county_code: Mapped[str] = mapped_column(ForeignKey("divisions.code"), primary_key=True)
    neighbour_code: Mapped[str] = mapped_column(ForeignKey("divisions.code"), primary_key=True, index=True)


@holds(
    purpose="organising",
    keeps="ever",
    internal="id parent_id path name level division_code code joint closed_on successor_id",
)
class Organisation(Base):
    """A node of the organisation tree; `path` is the dot-separated ids from the root to itself, today.

    A closed one keeps the last it had. What was before and what is to come is in `service.org.tree.models`.
    """

    __tablename__ = "organisations"
    __table_args__ = (
        CheckConstraint(f"level IN {ORGANISATION_LEVELS}", name="level"),
        CheckConstraint(f"joint IN {JOINT_KINDS}", name="joint"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("organisations.id"), index=True)
    path: Mapped[str] = mapped_column(PATH, unique=True)
    name: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)
    division_code: Mapped[str | None] = mapped_column(ForeignKey("divisions.code"))
    # The register's own code, by which an import knows it again.
    code: Mapped[str | None] = mapped_column(Text, unique=True)
    # What a joint body is for, which several parents hold for a time; it has no organisations below it.
    joint: Mapped[str | None] = mapped_column(Text)
    # The first day on which it is no more, and the one that it was merged into.
    closed_on: Mapped[date | None]
    successor_id: Mapped[int | None] = mapped_column(ForeignKey("organisations.id"), index=True)


@holds(
    purpose="membership",
    keeps="erased",
    internal="rehearsal erased_at",
    personal="id name",
    sensitive="organisation_id place_code status category",
)
class Member(Scoped, Base):
    """A member with a home branch and, where known, a present place. The id is the dense member number."""

    __tablename__ = "members"
    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="status"),
        CheckConstraint(f"category IN {CATEGORIES}", name="category"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    place_code: Mapped[str | None] = mapped_column(ForeignKey("divisions.code"))
    # As of today; since when, and what was before, is in `service.org.people.standings`.
    status: Mapped[str] = mapped_column(Text, server_default="active")
    category: Mapped[str | None] = mapped_column(Text)
    # A synthetic member, who takes part in rehearsals only; every list and figure of members leaves it out.
    rehearsal: Mapped[bool] = mapped_column(server_default=text("false"))
    # When the person was erased: what is left is a number that nothing leads from.
    erased_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    organisation: Mapped[Organisation] = relationship()
    place: Mapped[Division | None] = relationship()


@holds(purpose="membership", keeps="erased", internal="id appid", personal="openid unionid member_id")
class WechatIdentity(Scoped, Base):
    """A WeChat user of one app and the member that it is bound to, one to one."""

    __tablename__ = "wechat_identities"
    __table_args__ = (UniqueConstraint("appid", "openid"), UniqueConstraint("appid", "member_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    appid: Mapped[str] = mapped_column(Text)
    openid: Mapped[str] = mapped_column(Text)
    unionid: Mapped[str | None] = mapped_column(Text, index=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)


@holds(
    purpose="membership",
    keeps="erased",
    internal="id expires_at used_at",
    personal="member_id",
    sensitive="code_hash",
)
class Invitation(Scoped, Base):
    """A one-time code that binds a WeChat user to a member of the roster; only its SHA-256 is kept."""

    __tablename__ = "invitations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@holds(purpose="access", keeps="session", internal="id app", personal="member_id created_at expires_at revoked_at")
class MemberSession(Scoped, Base):
    """One log-in of a member in one app; its id is in every access token that it was given."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    app: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@holds(purpose="access", keeps="session", internal="id session_id used_at expires_at", sensitive="token_hash")
class RefreshToken(Base):
    """A refresh token of a session; good for one use, kept after it so that a second use is noticed."""

    __tablename__ = "refresh_tokens"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@holds(purpose="access", keeps="session", internal="session_id expires_at", personal="member_id")
class Denial(Base):
    """A session whose access tokens are refused until the last of them has expired by itself."""

    __tablename__ = "denials"

    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"), primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@holds(
    purpose="access",
    keeps="account",
    internal="id organisation_id office created_at",
    personal="login name",
    sensitive="password_hash",
)
class Organiser(Scoped, Base):
    """The account of somebody who organises or administers; what it may do, its grants say."""

    __tablename__ = "organisers"
    __table_args__ = (UniqueConstraint("id", "office"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    login: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    # The one of the three offices that its grants may name: set by the first such grant, and never changed.
    office: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    organisation: Mapped[Organisation] = relationship()


@holds(
    purpose="access",
    keeps="session",
    internal="id expires_at revoked_at",
    personal="organiser_id two_factors seen_at",
    sensitive="token_hash",
)
class OrganiserSession(Scoped, Base):
    """An organiser's log-in in one browser; the cookie's SHA-256 is kept, never the cookie."""

    __tablename__ = "organiser_sessions"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    organiser_id: Mapped[int] = mapped_column(ForeignKey("organisers.id", ondelete="CASCADE"), index=True)
    # Whether a second factor was shown.
    two_factors: Mapped[bool] = mapped_column(server_default=text("false"))
    # The last use, known to the minute.
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
