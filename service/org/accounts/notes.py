"""What the accounts tell the audit log, in the caller's transaction."""

from datetime import datetime

from service import audit


def note(
    event: str, *, by: int | None, account: int | None = None, now: datetime, **details: int | str | bool | None
) -> None:
    """That the account `by` (None: whoever is at the command line) did this, to another one if one is named.

    Numbers and words of our own only, no names and no secrets.
    """
    actor = audit.OPERATOR if by is None else audit.Party("organiser", by)
    subject = None if account in (None, by) else audit.Party("organiser", account)
    audit.note(event, actor=actor, subject=subject, now=now, details=details)


def note_refusal(login: str, *, now: datetime, reason: str) -> None:
    """That somebody was not let in; a pseudonym of the login tells attempts on one apart, whether it exists or not."""
    _note_failure(audit.Party("login", login), now, reason)


def note_stranger(issuer: str, subject: str, *, now: datetime, reason: str) -> None:
    """The same of who came from an identity provider, by a pseudonym of the subject there."""
    _note_failure(audit.Party("subject", f"{issuer} {subject}"), now, reason)


def _note_failure(who: audit.Party, now: datetime, reason: str) -> None:
    audit.note("login.failed", actor=who, now=now, outcome="refused", details={"code": reason})
