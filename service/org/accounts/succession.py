"""When an organisation is no more, what accounts were granted there goes to the one that it was merged into.

A grant is never changed: the one at the closed organisation is revoked, and the same is entered at its successor, in
one transaction, so that whoever holds it goes on. Where there is no successor it ends, and the account's sessions too.
Accounts and programmes of a merged organisation belong to its successor.
"""

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from service import audit
from service.clock import day_of
from service.extensions import db
from service.org.accounts.ending import end_sessions
from service.org.accounts.models import ApiClient, Grant
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.scope import scoped

# A chain of mergers is no longer; nothing in it is met twice.
LONGEST = 100


def succeed(now: datetime) -> int:
    """Let whatever stays with an organisation that is no more follow it; how many grants did. Commits."""
    today = day_of(now)
    gone = and_(Organisation.id == Grant.organisation_id, Organisation.closed_on <= today)
    standing = and_(Grant.revoked_at.is_(None), or_(Grant.valid_to.is_(None), Grant.valid_to > now))
    left = scoped(select(Grant), standing, exists().where(gone)).order_by(Grant.id)
    grants = db.session.scalars(left.with_for_update(of=Grant)).all()
    heirs = heirs_of({grant.organisation_id for grant in grants}, today)
    for grant in grants:
        pass_on(grant, heirs[grant.organisation_id], now)
    move_accounts(today, now)
    move_clients(today, now)
    db.session.commit()
    return len(grants)


def pass_on(grant: Grant, heir: int | None, now: datetime) -> None:
    """Revoke a grant and enter it at the heir, unless the account holds as much there already."""
    grant.revoked_at = now
    told = {"grant": grant.id, "reason": "merged" if heir else "closed"}
    note("grant.withdrawn", grant.organiser_id, now, **told)
    if heir is None:
        end_sessions(grant.organiser_id, now)
    elif not holds_already(grant, heir):
        same = {name: getattr(grant, name) for name in ("organiser_id", "role", "office", "purpose", "given_by")}
        days = {"valid_from": max(grant.valid_from, now), "valid_to": grant.valid_to}
        entered = Grant(organisation_id=heir, **same, **days)
        db.session.add(entered)
        db.session.flush()
        told = {"grant": entered.id, "role": grant.role, "purpose": grant.purpose, "organisation": heir}
        note("grant.given", grant.organiser_id, now, **told, reason="merged")


def holds_already(grant: Grant, heir: int) -> bool:
    """Whether another grant of the account gives as much at the heir, from no later and for as long."""
    mine = and_(Grant.organiser_id == grant.organiser_id, Grant.role == grant.role, Grant.purpose == grant.purpose)
    longer = (
        Grant.valid_to.is_(None)
        if grant.valid_to is None
        else or_(Grant.valid_to.is_(None), Grant.valid_to >= grant.valid_to)
    )
    there = and_(Grant.organisation_id == heir, Grant.revoked_at.is_(None), Grant.valid_from <= grant.valid_from)
    return db.session.scalar(scoped(select(Grant.id), mine, there, longer).limit(1)) is not None


def heirs_of(organisations: set[int], today: date) -> Mapping[int, int | None]:
    """Into which one each of these was merged in the end; None where the last of the chain was closed."""
    heirs: dict[int, int | None] = {}
    for first in organisations:
        heir: int | None = first
        for _ in range(LONGEST):
            found = db.session.get(Organisation, heir) if heir else None
            if found is None or found.closed_on is None or found.closed_on > today:
                break
            heir = found.successor_id
        heirs[first] = heir
    return heirs


def move_accounts(today: date, now: datetime) -> None:
    """Let the accounts of merged organisations belong to their successors."""
    for account, heir in merged(Account.id, Account.organisation_id, today):
        moved = scoped(update(Account), Account.id == account).values(organisation_id=heir)
        db.session.execute(moved)
        note("account.changed", account, now, change="organisation", organisation=heir)


def move_clients(today: date, now: datetime) -> None:
    """Let their programmes do so too, those that are disabled stay."""
    for client, heir in merged(ApiClient.id, ApiClient.organisation_id, today, ApiClient.disabled_at.is_(None)):
        db.session.execute(scoped(update(ApiClient), ApiClient.id == client).values(organisation_id=heir))
        details: dict[str, int | str | bool | None] = {"client": client, "change": "organisation", "organisation": heir}
        audit.note("client.changed", actor=audit.SYSTEM, now=now, details=details)


def merged(
    number: InstrumentedAttribute[int],
    organisation: InstrumentedAttribute[int],
    today: date,
    *conditions: ColumnElement[bool],
) -> list[tuple[int, int]]:
    """The rows that belong to a merged organisation, each with the heir."""
    question = select(number, organisation).join(Organisation, Organisation.id == organisation)
    ended = and_(Organisation.successor_id.is_not(None), Organisation.closed_on <= today)
    rows = db.session.execute(scoped(question, ended, *conditions)).all()
    heirs = heirs_of({row[1] for row in rows}, today)
    return [(row[0], heir) for row in rows if (heir := heirs[row[1]]) is not None]


def note(event: str, account: int, now: datetime, **details: int | str | bool | None) -> None:
    """Note what the change of the tree did to an account."""
    subject = audit.Party("organiser", account)
    audit.note(event, actor=audit.SYSTEM, subject=subject, now=now, details=details)
