"""Who may join which stream, from memory: streams' policies and the deny list, replaced as a whole at each refresh.

Promises: no database on the way of a join; what cannot be refreshed stays as it was (a frozen database shuts nobody
out), and `stale` says for how long.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from service.home import home_of, rehearses
from service.live.clerk import Link
from service.tokens import DenyList

FORGET_DAYS = 30

_POLICIES = """
-- scope: every stream; who may join is decided from what it answers
SELECT s.id, s.grace_seconds, extract(epoch FROM s.opens_at)::float8, extract(epoch FROM s.closes_at)::float8,
       a.attendance,
       ARRAY(SELECT o.path FROM activity_invitations i JOIN organisations o ON o.id = i.organisation_id
             WHERE i.activity_id = a.id),
       s.shards, a.rehearsal, a.id, t.id, t.checkin_called_at
FROM streams s JOIN sittings t ON t.id = s.sitting_id JOIN activities a ON a.id = t.activity_id
WHERE s.closes_at > now() - make_interval(days => %s) OR s.id = ANY(%s::bigint[])
"""
_DENIALS = "SELECT session_id FROM denials WHERE expires_at > now()"


class Call(NamedTuple):
    """That everybody was asked to check in, to which sitting of which activity, and when."""

    activity: int
    sitting: int
    called_at: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides a join to one stream; times in Unix seconds of the database's clock."""

    grace: int
    opens: float
    closes: float
    rostered: bool
    invited: tuple[str, ...]
    shards: int = 1
    rehearsal: bool = False
    call: Call | None = None

    def invites(self, organisation: str) -> bool:
        """Whether a member at this path may come: synthetic ones to rehearsals only, real ones to none.

        Beyond that `open` is for everybody.
        """
        if rehearses(organisation) is not self.rehearsal:
            return False
        if not self.rostered or not self.invited:
            return True
        organisation = home_of(organisation)
        return any(organisation == path or organisation.startswith(f"{path}.") for path in self.invited)

    def refusal(self, organisation: str, now: float) -> str | None:
        """The code of the refusal, or None."""
        if now < self.opens:
            return "stream_not_open"
        if now >= self.closes:
            return "stream_closed"
        return None if self.invites(organisation) else "not_invited"


@dataclass(frozen=True, slots=True)
class Rules:
    """All policies and denials as of one refresh."""

    policies: Mapping[int, Policy]
    denials: DenyList


NOTHING = Rules({}, DenyList())


def load(connection: Link, asked: Collection[int] = ()) -> Rules:
    """Read the rules, those of streams long over only if they were asked for; runs in the clerk's thread."""
    policies = connection.execute(_POLICIES, (FORGET_DAYS, list(asked))).fetchall()
    denials = connection.execute(_DENIALS).fetchall()
    return Rules(read_policies(policies), DenyList(session for (session,) in denials))


def read_policies(rows: Iterable[tuple[Any, ...]]) -> dict[int, Policy]:
    """Policies by stream from rows of the query."""
    return {stream: _read_policy(*rest) for stream, *rest in rows}


def _read_policy(
    grace: int, opens: float, closes: float, attendance: str, invited: list[str], shards: int, rehearsal: bool,
    activity: int, sitting: int, called_at: datetime | None,
) -> Policy:  # fmt: skip
    call = Call(activity, sitting, called_at) if called_at else None
    return Policy(grace, opens, closes, attendance == "rostered", tuple(invited), shards, rehearsal, call)
