"""Organisers who were refused: each attempt is in the audit log, but for what would flood it.

What an organiser may not see is answered as if there were none, so that the log tells attempts on others' things and
slips of one's own alike. Of one account each process notes so many an hour, says in the last that there may be more,
and in the first of the next hour how many it left out.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from service import audit
from service.errors import ServiceError
from service.extensions import db

NOTED = ("forbidden", "not_found")
MOST, WINDOW = 20, timedelta(hours=1)
ACCOUNTS = 10_000


@dataclass
class Tally:
    """An account's hour."""

    since: datetime
    count: int = 0


class Refusals:
    """Notes refusals, and forgets accounts that have been quiet the longest."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._tallies: OrderedDict[int, Tally] = OrderedDict()

    def note(
        self,
        refusal: ServiceError,
        organiser: int,
        *,
        door: str,
        subject: audit.Party | None,
        thing: int | None,
        now: datetime,
    ) -> None:
        """Note that `organiser` was refused at `door` what he asked of. Commits; what the request began is undone."""
        if refusal.code not in NOTED:
            return
        told = self._told(organiser, now)
        if told is None:
            return
        db.session.rollback()
        details = {"door": door, "code": refusal.code, **({} if thing is None else {"thing": thing}), **told}
        actor = audit.Party("organiser", organiser)
        audit.note("access.refused", actor=actor, subject=subject, now=now, outcome="refused", details=details)
        db.session.commit()

    def _told(self, organiser: int, now: datetime) -> dict[str, int | str | bool | None] | None:
        """What a note says of those beside it; None if this one is left out."""
        tally = self._tallies.pop(organiser, None)
        left_out = 0
        if tally is None or now - tally.since >= WINDOW:
            left_out = max(0, tally.count - self.most) if tally else 0
            tally = Tally(now)
        tally.count += 1
        self._tallies[organiser] = tally
        while len(self._tallies) > ACCOUNTS:
            self._tallies.popitem(last=False)
        if tally.count > self.most:
            return None
        told: dict[str, int | str | bool | None] = {"left_out": left_out} if left_out else {}
        return told | {"more": True} if tally.count == self.most else told
