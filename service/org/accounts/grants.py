"""Giving and revoking grants. A grant is never given to oneself, nor beyond the giver's own part of the tree."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.orm import joinedload

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts.ending import end_sessions
from service.org.accounts.models import Grant
from service.org.accounts.notes import note
from service.org.accounts.roles import PURPOSES_OF, office_of
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Organiser
from service.scope import scoped


def give(
    giver: Organiser,
    account: int,
    *,
    role: str,
    purpose: str,
    organisation_id: int,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    now: datetime,
) -> Grant:
    """A new grant, committed.

    ServiceError not_found for what the giver may not know of, forbidden for oneself, validation, office_held.
    """
    organisation = db.session.get(Organisation, organisation_id)
    known = organisation is not None and giver.may("grants", organisation.path)
    if not known or not _knows(giver, account):
        raise ServiceError("not_found")
    if account == giver.id:
        raise ServiceError("forbidden")
    if valid_to is not None and valid_to <= (valid_from or now):
        raise ServiceError("validation", errors={"valid_to": ["Not after the beginning."]})
    number = enter(
        account,
        role=role,
        purpose=purpose,
        organisation_id=organisation_id,
        valid_from=valid_from,
        valid_to=valid_to,
        given_by=giver.id,
        now=now,
    )
    db.session.commit()
    return db.session.scalars(_shown(Grant.id == number)).one()


def enter(
    account: int,
    *,
    role: str,
    purpose: str,
    organisation_id: int,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    given_by: int | None = None,
    now: datetime,
) -> int:
    """A new grant by whoever answers for it, in the caller's transaction; its number.

    ServiceError validation unless the role has that purpose, office_held if the account has another office.
    """
    if purpose not in PURPOSES_OF[role]:
        raise ServiceError("validation", errors={"purpose": ["Not a purpose of this role."]})
    _take_office(account, office_of(role))
    grant = Grant(
        organiser_id=account,
        role=role,
        office=office_of(role),
        purpose=purpose,
        organisation_id=organisation_id,
        valid_to=valid_to,
        given_by=given_by,
        valid_from=valid_from or now,
    )
    db.session.add(grant)
    db.session.flush()
    told: dict[str, int | str] = {"grant": grant.id, "role": role, "purpose": purpose, "organisation": organisation_id}
    note("grant.given", by=given_by, account=account, now=now, **told)
    return grant.id


def enter_role(
    account: int, *, role: str, organisation_id: int, valid_to: datetime | None = None, now: datetime
) -> None:
    """Grant a role with all of its purposes, on nobody's word but the operator's. Commits. ServiceError as `enter`."""
    if db.session.get(Organisation, organisation_id) is None:
        raise ServiceError("validation", errors={"organisation_id": ["Not acceptable."]})
    for purpose in PURPOSES_OF[role]:
        enter(account, role=role, purpose=purpose, organisation_id=organisation_id, valid_to=valid_to, now=now)
    db.session.commit()


def revoke(revoker: Organiser, grant_id: int, now: datetime) -> None:
    """End a grant at once; quiet if it has ended already. Commits. ServiceError not_found, forbidden for one's own."""
    grant = db.session.scalars(_shown(Grant.id == grant_id, _within(revoker))).one_or_none()
    if grant is None:
        raise ServiceError("not_found")
    if grant.organiser_id == revoker.id:
        raise ServiceError("forbidden")
    ended = scoped(update(Grant), Grant.id == grant_id, Grant.revoked_at.is_(None))
    db.session.execute(ended.values(revoked_at=now, revoked_by=revoker.id))
    # An open wall shows what it was let see when it asked: it has to ask anew.
    end_sessions(grant.organiser_id, now)
    note("grant.withdrawn", by=revoker.id, account=grant.organiser_id, now=now, grant=grant_id)
    db.session.commit()


def of_account(asker: Organiser, account: int) -> Sequence[Grant]:
    """The account's grants below the asker's part of the tree, past ones too, the newest first."""
    return db.session.scalars(_shown(Grant.organiser_id == account, _within(asker)).order_by(Grant.id.desc())).all()


def _take_office(account: int, office: str | None) -> None:
    if office is None:
        return
    # Whoever comes second, even at the same moment, finds the office taken.
    taken = scoped(update(Account), Account.id == account, (Account.office.is_(None)) | (Account.office == office))
    if db.session.scalar(taken.values(office=office).returning(Account.id)) is None:
        raise ServiceError("office_held")


def _knows(giver: Organiser, account: int) -> bool:
    """Whether the account belongs to the giver's own part of the tree: of another's nobody is told that it exists."""
    found = select(Account.id).join(Organisation, Organisation.id == Account.organisation_id)
    found = scoped(found, Account.id == account, giver.reaches("grants", Organisation.path))
    return db.session.scalar(found) is not None


def _shown(*conditions: ColumnElement[bool]) -> Select[Grant]:
    return scoped(select(Grant), *conditions).options(joinedload(Grant.organisation))


def _within(asker: Organiser) -> ColumnElement[bool]:
    reached = select(Organisation.id).where(asker.reaches("grants", Organisation.path))
    return Grant.organisation_id.in_(reached)
