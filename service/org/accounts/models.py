"""Tables of the accounts: grants, second factors, ways back in, failed attempts, API clients.

Secrets rest sealed, or as hashes.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    and_,
    func,
    or_,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.extensions import Base
from service.labels import holds
from service.org.accounts.roles import OFFICES, PURPOSES, ROLES
from service.org.models import Organisation, Organiser
from service.scope import Scoped

MOMENT = DateTime(timezone=True)


@holds(
    purpose="access",
    keeps="account",
    internal="id role office purpose organisation_id valid_from valid_to given_at revoked_at",
    personal="organiser_id given_by revoked_by",
)
class Grant(Scoped, Base):
    """What an account may do: a role, for a purpose, at an organisation and below it, between two dates.

    Never changed, only revoked. `office` repeats the role if it is one of the three that are held apart; the foreign
    key to the account's own office keeps a second one out, whoever writes.
    """

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint(f"role IN {ROLES}", name="role"),
        CheckConstraint(f"purpose IN {PURPOSES}", name="purpose"),
        CheckConstraint(f"office IS NOT DISTINCT FROM CASE WHEN role IN {OFFICES} THEN role END", name="office"),
        CheckConstraint("valid_to IS NULL OR valid_from < valid_to", name="dates"),
        CheckConstraint("given_by <> organiser_id", name="giver"),
        ForeignKeyConstraint(
            ["organiser_id", "office"], ["organisers.id", "organisers.office"], name="fk_grants_office"
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organiser_id: Mapped[int] = mapped_column(ForeignKey("organisers.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(Text)
    office: Mapped[str | None] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    valid_from: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())
    valid_to: Mapped[datetime | None] = mapped_column(MOMENT)
    # Nobody: the operator at the command line, or the migration.
    given_by: Mapped[int | None] = mapped_column(ForeignKey("organisers.id"))
    given_at: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())
    revoked_at: Mapped[datetime | None] = mapped_column(MOMENT)
    revoked_by: Mapped[int | None] = mapped_column(ForeignKey("organisers.id"))

    account: Mapped[Organiser] = relationship(foreign_keys=[organiser_id])
    organisation: Mapped[Organisation] = relationship()

    @classmethod
    def holds(cls, now: datetime) -> ColumnElement[bool]:
        """Whether a grant holds at `now`."""
        begun = and_(cls.revoked_at.is_(None), cls.valid_from <= now)
        return and_(begun, or_(cls.valid_to.is_(None), cls.valid_to > now))


@holds(
    purpose="access",
    keeps="account",
    internal="last_step",
    personal="organiser_id",
    sensitive="secret_ciphertext pending_ciphertext",
)
class SecondFactor(Base):
    """An account's authenticator. `last_step` is the time step of the last code taken: each is good once."""

    __tablename__ = "second_factors"

    organiser_id: Mapped[int] = mapped_column(
        ForeignKey("organisers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    # Absent until a code from it confirmed the first one.
    secret_ciphertext: Mapped[bytes | None] = mapped_column(LargeBinary)
    # A new one waits here until a code from it confirms that it was taken over; the old one is good until then.
    pending_ciphertext: Mapped[bytes | None] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


@holds(purpose="access", keeps="account", internal="issuer linked_at", personal="organiser_id subject")
class ProviderLink(Scoped, Base):
    """Whose an account is at the identity provider. An account has one subject there, a subject one account here."""

    __tablename__ = "provider_links"
    __table_args__ = (UniqueConstraint("issuer", "subject", name="uq_provider_links_issuer_subject"),)

    organiser_id: Mapped[int] = mapped_column(
        ForeignKey("organisers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    linked_at: Mapped[datetime] = mapped_column(MOMENT)


@holds(purpose="access", keeps="account", internal="used_at", personal="organiser_id", sensitive="code_hash")
class RecoveryCode(Base):
    """One of the codes that stand in for a lost authenticator, good once; only its SHA-256 is kept."""

    __tablename__ = "recovery_codes"

    organiser_id: Mapped[int] = mapped_column(
        ForeignKey("organisers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(MOMENT)


@holds(
    purpose="access",
    keeps="account",
    internal="id proposed_at approved_at expires_at closed_at",
    personal="organiser_id proposed_by approved_by",
    sensitive="code_hash",
)
class Recovery(Scoped, Base):
    """A way back in for one account: proposed by one administrator, approved by another, used once by its owner."""

    __tablename__ = "recoveries"
    __table_args__ = (
        CheckConstraint("proposed_by <> organiser_id AND approved_by <> organiser_id", name="not_oneself"),
        CheckConstraint("approved_by <> proposed_by", name="two_people"),
        Index("uq_recoveries_open", "organiser_id", unique=True, postgresql_where=text("closed_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organiser_id: Mapped[int] = mapped_column(ForeignKey("organisers.id", ondelete="CASCADE"))
    # Nobody: the operator at the command line, or the opening of the account.
    proposed_by: Mapped[int | None] = mapped_column(ForeignKey("organisers.id"))
    proposed_at: Mapped[datetime] = mapped_column(MOMENT)
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("organisers.id"))
    approved_at: Mapped[datetime | None] = mapped_column(MOMENT)
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    # Used, or replaced by a later one.
    closed_at: Mapped[datetime | None] = mapped_column(MOMENT)

    account: Mapped[Organiser] = relationship(foreign_keys=[organiser_id])


@holds(purpose="access", keeps="day", internal="failures last_at open_at", personal="login_hash device")
class LoginAttempts(Base):
    """Failures with one login from one known browser, or from all unknown ones together (`device` is empty)."""

    __tablename__ = "login_attempts"

    # A hash, so that logins that no account has look the same, and mistyped passwords are not kept.
    login_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    device: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(MOMENT, index=True)
    open_at: Mapped[datetime] = mapped_column(MOMENT)


@holds(
    purpose="access",
    keeps="ever",
    internal="id client_id name organisation_id scopes created_at disabled_at",
    personal="created_by",
)
class ApiClient(Scoped, Base):
    """A programme that acts for an organisation, within its scopes."""

    __tablename__ = "api_clients"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    client_id: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[int] = mapped_column(ForeignKey("organisers.id"))
    created_at: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())
    disabled_at: Mapped[datetime | None] = mapped_column(MOMENT)

    organisation: Mapped[Organisation] = relationship()


@holds(purpose="access", keeps="ever", internal="id client_id created_at expires_at", sensitive="secret_hash")
class ApiClientSecret(Base):
    """A secret of an API client, good until `expires_at`; 256 random bits, so that SHA-256 alone protects it."""

    __tablename__ = "api_client_secrets"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("api_clients.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime | None] = mapped_column(MOMENT)
