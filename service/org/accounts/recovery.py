"""The way back in after a lost password or authenticator.

One administrator proposes it, another one approves it, and the owner brings the code that the second one was shown. The
code is good once, and it is asked for no matter how many log-ins have failed. It takes away password, authenticator,
the link to an identity provider and sessions, and leaves a session in which a new authenticator can be set up and
nothing else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from service.errors import ServiceError
from service.extensions import db
from service.org.accounts import attempts, factor
from service.org.accounts.ending import end_sessions
from service.org.accounts.models import Recovery
from service.org.accounts.notes import note
from service.org.accounts.passwords import acceptable, hash_of
from service.org.accounts.provider import links
from service.org.models import Organisation
from service.org.models import Organiser as Account
from service.org.organisers import Organiser
from service.scope import scoped

PROPOSAL = timedelta(days=3)
CODE_SECONDS = 3600
OPENING_SECONDS = 3 * 86_400


def propose(proposer: Organiser, account: int, now: datetime) -> Recovery:
    """Ask a second administrator to let the account's owner back in; committed.

    Again while one is open gives that one. ServiceError not_found, forbidden for one's own account.
    """
    _reach(proposer, "accounts", account)
    if account == proposer.id:
        raise ServiceError("forbidden")
    _close_expired(account, now)
    recovery = Recovery(organiser_id=account, proposed_by=proposer.id, proposed_at=now, expires_at=now + PROPOSAL)
    db.session.add(recovery)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        return db.session.scalars(_open().where(Recovery.organiser_id == account)).one()
    note("account.changed", by=proposer.id, account=account, now=now, change="recovery_proposed")
    db.session.commit()
    return recovery


def approve(approver: Organiser, recovery_id: int, now: datetime) -> str:
    """The code for the account's owner, told here and never again; committed.

    ServiceError not_found, forbidden for one's own account or proposal, conflict if it has been approved.
    """
    wanted = _open().where(Recovery.id == recovery_id, Recovery.expires_at > now)
    recovery = db.session.scalars(wanted.with_for_update(of=Recovery)).one_or_none()
    if recovery is None:
        raise ServiceError("not_found")
    _reach(approver, "grants", recovery.organiser_id)
    if approver.id in (recovery.organiser_id, recovery.proposed_by):
        raise ServiceError("forbidden")
    if recovery.code_hash is not None:
        raise ServiceError("conflict")
    code = factor.fresh_code()
    recovery.approved_by, recovery.approved_at = approver.id, now
    recovery.code_hash, recovery.expires_at = factor.hashed(code), now + timedelta(seconds=CODE_SECONDS)
    note("account.changed", by=approver.id, account=recovery.organiser_id, now=now, change="recovery_approved")
    db.session.commit()
    return code


def waiting(asker: Organiser, now: datetime) -> Sequence[Recovery]:
    """The open proposals that the asker may see, the oldest first."""
    seen = or_(asker.reaches("accounts", Organisation.path), asker.reaches("grants", Organisation.path))
    question = _open().join(Account, Account.id == Recovery.organiser_id)
    question = question.join(Organisation, Organisation.id == Account.organisation_id)
    question = question.where(Recovery.expires_at > now, Recovery.code_hash.is_(None), seen)
    return db.session.scalars(question.order_by(Recovery.id)).all()


def issue_now(account: int, now: datetime) -> str:
    """A code at once, on nobody's word but the operator's. Commits."""
    code = issue(account, now=now)
    note("account.changed", by=None, account=account, now=now, change="recovery_issued")
    db.session.commit()
    return code


def issue(account: int, *, now: datetime, seconds: int = CODE_SECONDS) -> str:
    """The same in the caller's transaction, good for `seconds`."""
    db.session.execute(
        scoped(update(Recovery), Recovery.organiser_id == account, Recovery.closed_at.is_(None)).values(closed_at=now)
    )
    code = factor.fresh_code()
    expires = now + timedelta(seconds=seconds)
    row = Recovery(organiser_id=account, proposed_at=now, code_hash=factor.hashed(code), expires_at=expires)
    db.session.add(row)
    return code


def use(login: str, *, code: str, password: str, now: datetime) -> int:
    """Let the account's owner back in with a new password, in the caller's transaction; the account's number.

    ServiceError validation for the password, recovery_invalid for anything else that is wrong.
    """
    if not acceptable(password, login):
        raise ServiceError("validation", errors={"password": ["Not acceptable."]})
    wanted = _open().join(Account, Account.id == Recovery.organiser_id)
    wanted = wanted.where(Account.login == login, Recovery.code_hash == factor.hashed(code), Recovery.expires_at > now)
    recovery = db.session.scalars(wanted.with_for_update(of=Recovery)).one_or_none()
    if recovery is None:
        raise ServiceError("recovery_invalid")
    recovery.closed_at = now
    number = recovery.organiser_id
    db.session.execute(scoped(update(Account), Account.id == number).values(password_hash=hash_of(password)))
    factor.remove(number)
    links.remove(number)
    end_sessions(number, now)
    attempts.forget(login)
    note("account.changed", by=number, now=now, change="recovery_used")
    return number


def _reach(asker: Organiser, purpose: str, account: int) -> None:
    question = select(Account.id).join(Organisation, Organisation.id == Account.organisation_id)
    if db.session.scalar(scoped(question, Account.id == account, asker.reaches(purpose, Organisation.path))) is None:
        raise ServiceError("not_found")


def _open() -> Select[Recovery]:
    return scoped(select(Recovery), Recovery.closed_at.is_(None)).options(joinedload(Recovery.account))


def _close_expired(account: int, now: datetime) -> None:
    old = scoped(update(Recovery), Recovery.organiser_id == account, Recovery.closed_at.is_(None))
    db.session.execute(old.where(Recovery.expires_at <= now).values(closed_at=now))
