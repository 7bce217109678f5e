"""Asking the log about somebody, which takes the key that its pseudonyms are made with."""

import json
from collections.abc import Iterator

from sqlalchemy import or_, select, text

from service.audit.models import Entry
from service.audit.notes import Party, pseudonyms
from service.clock import iso
from service.config import Config
from service.extensions import db


def traced(party: Party, config: Config) -> Iterator[str]:
    """What `party` did and what was done to it, oldest first, one line of JSON each; sealed entries only."""
    names = pseudonyms(party, config)
    # There is no index to find them by: noting happens thousands of times a minute, asking some times a year.
    db.session.execute(text("SET LOCAL statement_timeout = 0"))
    mine = select(Entry).where(or_(Entry.actor.in_(names), Entry.subject.in_(names))).order_by(Entry.position)
    for entry in db.session.scalars(mine):
        role = "actor" if entry.actor in names else "subject"
        facts = {"position": entry.position, "at": iso(entry.at), "event": entry.event, "outcome": entry.outcome}
        yield json.dumps(facts | {"role": role, "details": entry.details}, ensure_ascii=False)
