"""The one delivery engine: which rows of a table are due, who holds them, and what follows from an attempt.

Webhooks and notices to members are two tables of one shape (`Attempted`), and a `Queue` says what differs. A row is
claimed with a lease and marked after the attempt, so a crash in between repeats it under the same key and loses
nothing; that the lease before was never given back is counted in `repeats`. While a lease runs nobody else attempts
the row.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, Text, TextClause, bindparam, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from service.extensions import db
from service.notify.channels.sends import Outcome

Lane = int | str
LONGEST_PAUSE = 6 * 3600.0


class Attempted:
    """The columns of a table that the engine works on."""

    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # How often it was taken while the one who held it had not said what came of it: each may have been sent.
    repeats: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    give_up_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Held(Protocol):
    """A row in our hands until `lease_until`."""

    @property
    def id(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def give_up_at(self) -> datetime: ...
    @property
    def lease_until(self) -> datetime: ...


H = TypeVar("H", bound=Held)
H_co = TypeVar("H_co", bound=Held, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Verdict(Generic[H_co]):
    """What an attempt makes of a row."""

    claim: H_co
    state: str
    due_at: datetime
    outcome: Outcome


def judge(claim: H, outcome: Outcome, *, now: datetime, first_pause: float) -> Verdict[H]:
    """Delivered, due again, or dead: refused for good or out of time. The last attempt is at `give_up_at`."""
    if outcome.kind == "done":
        return Verdict(claim=claim, state="delivered", due_at=now, outcome=outcome)
    if outcome.kind in ("permanent", "drop_address") or now >= claim.give_up_at:
        return Verdict(claim=claim, state="dead", due_at=now, outcome=outcome)
    seconds = max(pause(claim.attempts, first=first_pause), outcome.after)
    due = min(now + timedelta(seconds=seconds), claim.give_up_at)
    return Verdict(claim=claim, state="pending", due_at=due, outcome=outcome)


def pause(attempt: int, *, first: float, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the failed attempt number `attempt`: doubling, up to six hours, half of it random.

    The random half keeps the deliveries that failed together from coming back together.
    """
    # 2**40 is beyond any limit; the bound keeps the power a small number.
    whole = min(first * 2.0 ** min(attempt - 1, 40), LONGEST_PAUSE)
    return whole * (0.5 + 0.5 * jitter())


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A table of rows to attempt; `lane` is the column that shares are given by.

    `joined` names the tables that a claim reads beside it and how, `columns` what it returns beside the common ones.
    Rows with the same value of `apart` are never held at once. `facts` are the columns that say what came of it.
    """

    table: str
    lane: str
    lane_type: TypeEngine[Any]
    joined: str
    columns: str
    apart: str | None = None
    facts: Mapping[str, tuple[TypeEngine[Any], Callable[[Outcome], Any]]] = field(default_factory=dict)

    def claim(self, shares: Mapping[Any, int], *, now: datetime, lease_seconds: float) -> list[dict[str, Any]]:
        """Take up to `shares[lane]` due rows of each lane, for `lease_seconds`. Commits."""
        if self.apart is not None:
            # One claimer at a time: another's statement must not have begun before this one's leases can be seen.
            db.session.execute(LOCK, {"table": self.table})
        values = {
            "lanes": list(shares),
            "shares": list(shares.values()),
            "now": now,
            "lease_until": now + timedelta(seconds=lease_seconds),
        }
        rows = db.session.execute(self.claiming, values).all()
        db.session.commit()
        return [dict(row._mapping) for row in rows]

    def settle(self, verdicts: Sequence[Verdict[Held]]) -> set[int]:
        """Write what came of attempts, in the caller's transaction; the ids of those that were still in our hands.

        Only the holder of the lease may settle: one that slept past it must not undo what its successor did.
        """
        ordered = sorted(verdicts, key=lambda verdict: verdict.claim.id)
        values: dict[str, Any] = {
            "ids": [verdict.claim.id for verdict in ordered],
            "leases": [verdict.claim.lease_until for verdict in ordered],
            "states": [verdict.state for verdict in ordered],
            "dues": [verdict.due_at for verdict in ordered],
        }
        for name, (_, read) in self.facts.items():
            values[name] = [read(verdict.outcome) for verdict in ordered]
        return set(db.session.scalars(self.settling, values))

    def release(self, claims: Iterable[Held], due_at: Mapping[int, datetime] | None = None) -> None:
        """Give back what was claimed and not attempted to its end, as if it had not been. Commits.

        Another worker takes it at once, or from `due_at` on where that names its id.
        """
        held = sorted(claims, key=lambda one: one.id)
        if held:
            values = {
                "ids": [one.id for one in held],
                "leases": [one.lease_until for one in held],
                "dues": [(due_at or {}).get(one.id) for one in held],
            }
            db.session.execute(self.releasing, values)
        db.session.commit()

    @cached_property
    def claiming(self) -> TextClause:
        """The claim. Materialised, so that rows are chosen and locked once whatever the planner makes of the join."""
        apart = f"SELECT DISTINCT ON ({self.apart}) id, again FROM locked ORDER BY {self.apart}, due_at, id"  # noqa: S608
        alone = f"""AND NOT EXISTS (
            SELECT FROM {self.table} AS other WHERE other.{self.apart} = waiting.{self.apart}
            AND other.lease_until > :now
        )"""
        shown = "id, lease_until IS NOT NULL AS again, due_at" + (f", {self.apart}" if self.apart else "")
        statement = f"""
            -- scope: due ones of the lanes that are asked for
            WITH locked AS MATERIALIZED (
                SELECT taken.* FROM unnest(:lanes, :shares) AS given (lane, share)
                CROSS JOIN LATERAL (
                    SELECT {shown} FROM {self.table} AS waiting
                    WHERE {self.lane} = given.lane AND state = 'pending' AND due_at <= :now
                    AND (lease_until IS NULL OR lease_until <= :now) {alone if self.apart else ""}
                    ORDER BY due_at, id LIMIT given.share FOR UPDATE SKIP LOCKED
                ) AS taken
            ), due AS MATERIALIZED ({apart if self.apart else "SELECT id, again FROM locked"})
            UPDATE {self.table} SET lease_until = :lease_until, attempts = attempts + 1,
                repeats = repeats + CAST(due.again AS integer)
            FROM due, {self.joined} AND {self.table}.id = due.id
            RETURNING {self.table}.id, {self.table}.{self.lane}, attempts, give_up_at, lease_until, due.again,
                {self.columns}
            """  # noqa: S608
        lanes = bindparam("lanes", type_=ARRAY(self.lane_type))
        return text(statement).bindparams(lanes, bindparam("shares", type_=ARRAY(Integer)))

    @cached_property
    def settling(self) -> TextClause:
        """The marking."""
        written = "".join(f", {name} = verdict.{name}" for name in self.facts)
        statement = f"""
            -- scope: those that were claimed
            UPDATE {self.table} SET state = verdict.state, due_at = verdict.due_at, lease_until = NULL,
                delivered_at = CASE verdict.state WHEN 'delivered' THEN verdict.due_at END {written}
            FROM unnest(:ids, :leases, :states, :dues{"".join(f", :{name}" for name in self.facts)})
                AS verdict (id, lease_until, state, due_at{"".join(f", {name}" for name in self.facts)})
            WHERE {self.table}.id = verdict.id AND {self.table}.lease_until = verdict.lease_until
            RETURNING {self.table}.id
            """  # noqa: S608
        facts = [bindparam(name, type_=ARRAY(kind)) for name, (kind, _) in self.facts.items()]
        return text(statement).bindparams(*LISTS, bindparam("states", type_=ARRAY(Text)), *facts)

    @cached_property
    def releasing(self) -> TextClause:
        """The giving back."""
        statement = f"""
            -- scope: those that were claimed
            UPDATE {self.table} SET lease_until = NULL, attempts = attempts - 1,
                due_at = coalesce(given.due_at, {self.table}.due_at)
            FROM unnest(:ids, :leases, :dues) AS given (id, lease_until, due_at)
            WHERE {self.table}.id = given.id AND {self.table}.lease_until = given.lease_until
            AND {self.table}.state = 'pending'
            """  # noqa: S608
        return text(statement).bindparams(*LISTS)


MOMENTS = ARRAY(DateTime(timezone=True))
LISTS = (
    bindparam("ids", type_=ARRAY(BigInteger)),
    bindparam("leases", type_=MOMENTS),
    bindparam("dues", type_=MOMENTS),
)
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('claims of ' || :table, 0))")
