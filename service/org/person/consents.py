"""Consents and legal bases. Repeats change nothing; what ended stays as a record of its time."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, select, update
from sqlalchemy.dialects.postgresql import insert

from service import audit
from service.errors import ServiceError
from service.extensions import db
from service.labels import BASES, PURPOSES
from service.org.person.models import Consent, LegalBasis
from service.scope import scoped


def given(member: int) -> Sequence[Consent]:
    """A member's consents, withdrawn ones too, the oldest first."""
    return db.session.scalars(scoped(select(Consent), Consent.member_id == member).order_by(Consent.id)).all()


def agrees(member: int, purpose: str) -> bool:
    """Whether `member` consents to `purpose` now; rooms ask before they act on nothing but consent."""
    return db.session.scalar(_open(member, purpose)) is not None


def give(member: int, purpose: str, *, version: str, actor: audit.Party, now: datetime) -> Consent:
    """Record a consent, committed; a repeat gets the one that stands. ServiceError validation: nobody asks for it."""
    if PURPOSES.get(purpose) is None or basis_of(purpose) != "consent":
        raise ServiceError("validation", errors={"purpose": ["Not based on consent."]})
    row = {"member_id": member, "purpose": purpose, "version": version, "given_at": now}
    made = db.session.scalar(insert(Consent).values(row).on_conflict_do_nothing().returning(Consent.id))
    if made is not None:
        _note("consent.given", member, purpose, actor, now)
    db.session.commit()
    return db.session.scalars(_open(member, purpose)).one()


def withdraw(member: int, purpose: str, *, actor: audit.Party, now: datetime) -> None:
    """End a consent, committed; quiet if there is none."""
    standing = (Consent.member_id == member, Consent.purpose == purpose, Consent.withdrawn_at.is_(None))
    ending = scoped(update(Consent), *standing).values(withdrawn_at=now)
    ended = db.session.execute(ending.returning(Consent.id)).all()
    if ended:
        _note("consent.withdrawn", member, purpose, actor, now)
    db.session.commit()


def basis_of(purpose: str) -> str:
    """The basis that data of a purpose are processed on now."""
    recorded = select(LegalBasis.basis).where(LegalBasis.purpose == purpose, LegalBasis.until.is_(None))
    return db.session.scalar(recorded) or PURPOSES[purpose].basis


def recorded() -> dict[str, str]:
    """The bases that this installation recorded, by purpose."""
    rows = db.session.execute(select(LegalBasis.purpose, LegalBasis.basis).where(LegalBasis.until.is_(None)))
    return {row.purpose: row.basis for row in rows}


def record_basis(purpose: str, basis: str, *, reference: str, now: datetime) -> None:
    """From now on data of `purpose` are processed on `basis`; the one before ends. Commits."""
    if purpose not in PURPOSES or basis not in BASES:
        raise ServiceError("validation", errors={"purpose": ["Unknown purpose or basis."]})
    standing = (LegalBasis.purpose == purpose, LegalBasis.until.is_(None))
    db.session.execute(update(LegalBasis).where(*standing).values(until=now))
    row = {"purpose": purpose, "basis": basis, "reference": reference, "since": now}
    db.session.execute(insert(LegalBasis).values(row))
    audit.note("basis.recorded", actor=audit.OPERATOR, now=now, details={"purpose": purpose, "basis": basis})
    db.session.commit()


def _open(member: int, purpose: str) -> Select[Consent]:
    standing = (Consent.member_id == member, Consent.purpose == purpose, Consent.withdrawn_at.is_(None))
    return scoped(select(Consent), *standing)


def _note(event: str, member: int, purpose: str, actor: audit.Party, now: datetime) -> None:
    audit.note(event, actor=actor, subject=audit.Party("member", member), now=now, details={"purpose": purpose})
