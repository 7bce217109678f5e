"""What the worker writes to PostgreSQL about live streams: peaks, and the end of abandoned stays.

Promises: every write may be repeated and made by several workers at once. A stay is closed for its owner only after
the owner was silent for a while that the worker itself was awake and PostgreSQL there; the owner may correct it later.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select, tuple_, update

from service.activity.models import Stream
from service.extensions import db
from service.live.models import Gateway, Stay
from service.live.scripts import Slot, slots_of
from service.scope import everything, scoped

CHUNK = 5000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """A stream that is watched over, with its recorded peak."""

    id: int
    opens_at: datetime
    closes_at: datetime
    peak: int
    peak_at: datetime | None
    shards: int = 1

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Where its members are counted."""
        return slots_of(self.id, self.shards)


def record_peaks(peaks: Iterable[tuple[int, int, datetime]]) -> None:
    """Raise the recorded peaks of (stream, peak, when); a lower one changes nothing. Commits."""
    for stream, peak, at in peaks:
        higher = scoped(update(Stream), Stream.id == stream, Stream.peak < peak)
        db.session.execute(higher.values(peak=peak, peak_at=at))
    db.session.commit()


@dataclass
class Closer:
    """Closes the stays of gateways that went silent, when the silence was theirs and not ours."""

    silence: timedelta
    missed: timedelta
    _ran_at: datetime | None = None
    _patient_until: datetime | None = None

    def close(self, now: datetime) -> int:
        """Close what gateways silent for `silence` left open; how many stays. Commits.

        After a pause of this worker or of PostgreSQL, longer than `missed`, every gateway looks silent: each gets one
        more term first.
        """
        heard = db.session.scalar(select(func.clock_timestamp()))
        if self._ran_at is None or now - self._ran_at > self.missed:
            self._patient_until = now + self.silence
        self._ran_at = now
        if heard is None or (self._patient_until is not None and now < self._patient_until):
            return 0
        closed = 0
        while count := close_some(heard - self.silence):
            closed += count
        if closed:
            log.info("stays closed for silent gateways", stays=closed)
        return closed


def close_some(unheard_since: datetime) -> int:
    """Close a chunk of the open stays of gateways last heard before `unheard_since`; how many. Commits."""
    silent = select(Gateway.id).where(Gateway.heard_at < unheard_since)
    # Rows that somebody else holds are taken next time: an owner that came back must not wait for us, nor we for it.
    chosen = (
        select(Stay.connection, Stay.sequence)
        .where(Stay.left_at.is_(None), Stay.gateway_id.in_(silent))
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    closing = (
        update(Stay)
        .where(tuple_(Stay.connection, Stay.sequence).in_(select(chosen.c.connection, chosen.c.sequence)))
        .where(Stay.left_at.is_(None), Gateway.id == Stay.gateway_id)
        .values(left_at=func.greatest(Gateway.heard_at, Stay.joined_at), closed_by="reaper")
        .execution_options(synchronize_session=False)
    )
    count = db.session.execute(everything("of silent gateways, whoever was there", closing)).rowcount  # type: ignore[attr-defined]
    db.session.commit()
    return int(count)
