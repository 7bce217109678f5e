"""Noting what happened, in the caller's transaction: a note exists exactly if that commits.

Nothing here names a person. Actor and subject are pseudonyms: with the key one can ask what member 17 did, and who
member 17 is only the roster tells, for as long as it knows. So a person can be erased and the chain stays whole.
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flask import current_app
from sqlalchemy import insert

from service.audit import keys
from service.audit.models import Note
from service.config import Config
from service.extensions import db

EVENTS = frozenset(
    {
        "access.refused", "account.changed", "account.created", "audit.pruned", "basis.recorded", "checkin.called",
        "client.changed", "client.created", "consent.given", "consent.withdrawn", "data.exported", "data.imported",
        "flag.resolved", "grant.given", "grant.withdrawn", "key.rotated", "login", "login.failed", "logout",
        "person.corrected", "person.erased", "person.exported", "plaintext.read", "rows.pseudonymised",
    }
)  # fmt: skip
OUTCOMES = frozenset({"done", "refused"})
# Who someone is enters the log as a pseudonym or not at all.
PERSONAL = frozenset({"login", "member", "member_id", "name", "openid", "organiser", "phone", "subject", "unionid"})
PSEUDONYM_BYTES = 16

# Built once, and without the model's machinery: every member's log-in adds one.
INSERT = insert(Note.__table__)  # type: ignore[arg-type]


class Party(NamedTuple):
    """Somebody: what kind (member, organiser, client, login …) and which; the log keeps the kind and a pseudonym."""

    kind: str
    which: int | str | None = None


def exact(moment: datetime) -> str:
    """`moment` as it is authenticated: what PostgreSQL keeps of it, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


SYSTEM = Party("system")
OPERATOR = Party("operator")


class Told(NamedTuple):
    """What a note says, in the order in which it is authenticated."""

    reference: uuid.UUID
    at: datetime
    event: str
    actor: str
    subject: str | None
    outcome: str
    details: dict[str, Any]

    def canonical(self) -> bytes:
        """The one form that macs and links are made of."""
        fields = [self.reference.hex, exact(self.at), *self[2:]]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def note(
    event: str,
    *,
    actor: Party,
    subject: Party | None = None,
    now: datetime,
    outcome: str = "done",
    details: dict[str, int | str | bool | None] | None = None,
) -> None:
    """Add what `actor` did to `subject` to the caller's transaction; `details` are neutral facts.

    ValueError if the event is unknown or the details name a person. After a refusal the caller commits too: an
    attempt that failed is worth as much.
    """
    check(event, outcome, details or {})
    config: Config = current_app.config["CHUNSHUI"]
    who, whom = pseudonym(actor, config), pseudonym(subject, config) if subject else None
    told = Told(uuid.uuid4(), now, event, who, whom, outcome, details or {})
    key_id, key = next(iter(keys.chain_keys(config).items()))
    db.session.execute(INSERT, told._asdict() | {"key": key_id, "mac": mac_of(key, told)})


def check(event: str, outcome: str, details: dict[str, Any]) -> None:
    """ValueError if this is nothing that may be noted."""
    if event not in EVENTS or outcome not in OUTCOMES:
        raise ValueError(f"unknown event or outcome: {event}, {outcome}")
    if personal := PERSONAL & details.keys():
        raise ValueError(f"details may not carry {', '.join(sorted(personal))}")
    if not all(value is None or isinstance(value, int | str) for value in details.values()):
        raise ValueError("details are numbers, short texts and switches")


def pseudonym(party: Party, config: Config) -> str:
    """The name that the log has for `party`."""
    return _pseudonym(party, keys.pseudonym_key(config))


def pseudonyms(party: Party, config: Config) -> list[str]:
    """Every name that the log may have for `party`, from before and after changes of the key."""
    return [_pseudonym(party, key) for key in keys.pseudonym_keys(config)]


def _pseudonym(party: Party, key: bytes) -> str:
    if party.which is None:
        return party.kind
    return f"{party.kind}:{keys.mac(key, party.kind.encode(), str(party.which).encode())[:PSEUDONYM_BYTES].hex()}"


def mac_of(key: bytes, told: Told) -> bytes:
    """What proves that a holder of the key said this."""
    return keys.mac(key, b"note", told.canonical())
