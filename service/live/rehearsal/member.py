"""One synthetic member at one device: what it does on its connection, and what it counts.

A member at a second device is another `Member`, the first one's `twin`: together they are one person, who is online by
any of them. A member outlives its connections. It is IDLE (not started, or away), ASKING (connecting until the join is
accepted), JOINED, LEAVING (until the leave is acknowledged), LEFT (connected, in no stream) or FAILED.
"""

from enum import Enum
from typing import Any, Protocol

from service.live.rehearsal.connection import Connection
from service.live.rehearsal.frames import JOIN, LEAVE, REPEAT, Wire
from service.live.rehearsal.plan import Candidate, Tally

FINAL_REFUSALS = frozenset({"not_invited", "stream_closed", "stream_unknown", "token_invalid"})
ATTEMPTS = 6


class State(Enum):
    """Where a member is."""

    IDLE = 0
    ASKING = 1
    JOINED = 2
    LEAVING = 3
    LEFT = 4
    FAILED = 5


class Surroundings(Protocol):
    """What a member needs of the crowd that it belongs to."""

    wire: Wire
    tally: Tally
    asking: int
    wave: int

    def clock(self) -> float:
        """Monotonic seconds."""

    def open(self, member: "Member", connection: Connection) -> None:
        """Make the connection; the member hears of a failure through `ended`."""

    def accepted(self, member: "Member") -> None:
        """A join was accepted."""

    def broken(self, member: "Member") -> None:
        """The member lost its connection, or its attempt failed, and wants to try again."""

    def leaving(self, member: "Member") -> None:
        """The member leaves on purpose."""

    def heard(self, payload: bytes) -> None:
        """An event was pushed."""


class Member:
    """A synthetic member and the stay that it is in."""

    __slots__ = (
        "asked_at",
        "attempts",
        "away",
        "candidate",
        "connection",
        "crowd",
        "ever_joined",
        "since",
        "started_at",
        "state",
        "token",
        "twin",
        "wave",
    )

    def __init__(self, crowd: Surroundings, candidate: Candidate) -> None:
        self.crowd = crowd
        self.candidate = candidate
        self.token = candidate.token or ""
        self.state = State.IDLE
        self.connection: Connection | None = None
        self.attempts = 0
        self.ever_joined = False
        self.away = False
        self.twin: Member | None = None
        self.wave = -1
        self.started_at = self.asked_at = self.since = 0.0

    def connect(self) -> None:
        """Open a connection and join."""
        self._asking()
        self.started_at = self.crowd.clock()
        auth = {"token": self.token, "channel": self.candidate.channel, "source": self.candidate.source}
        self.connection = Connection(self, self.crowd.wire, self.crowd.wire.connect(auth))
        self.crowd.open(self, self.connection)

    def ready(self) -> None:
        """The namespace is open: join."""
        self._ask()

    def rejoin(self) -> None:
        """Join again on the connection that left; does nothing when that has gone meanwhile."""
        if self.state is State.LEFT:
            self._asking()
            self.started_at = self.crowd.clock()
            self._ask()

    def repeat(self) -> None:
        """Send the join once more; it must change nothing."""
        self._write(self.crowd.wire.repeat)

    def leave(self) -> None:
        """Leave the stream, keeping the connection."""
        self._end_stay()
        self.state = State.LEAVING
        self.crowd.leaving(self)
        self.crowd.tally.left += 1
        self._write(self.crowd.wire.leave)

    def depart(self) -> None:
        """Leave the stream and hang up at once, as a page that is closed."""
        self._end_stay()
        self.crowd.tally.left += 1
        self._write(self.crowd.wire.departure)
        self.hang_up()

    def drop(self) -> None:
        """Lose the connection without a word."""
        self._end_stay(away=True)
        self.crowd.tally.dropped += 1
        if self.connection is not None:
            self.connection.drop()
            self.connection = None

    def give_up_asking(self) -> None:
        """Nobody answers: drop the connection and try again later."""
        connection, self.connection = self.connection, None
        if self.state is State.ASKING and connection is not None:
            connection.drop()
            self.ended(connection, "no_answer")

    def hang_up(self) -> None:
        """Close whatever connection there is; a join under way stays in doubt."""
        if self.state is State.ASKING:
            self._no_longer_asking()
            self.crowd.tally.in_doubt += 1
        self.state = State.FAILED if self.state is State.FAILED else State.IDLE
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def answered(self, number: int, answer: dict[str, Any]) -> None:
        """An acknowledgement came."""
        accepted = bool(answer.get("ok"))
        if number == LEAVE and self.state is State.LEAVING:
            self.state = State.LEFT
        elif number == REPEAT:
            self.crowd.tally.repeats += accepted
        elif number == JOIN and self.state is State.ASKING:
            if accepted:
                self._accepted()
            else:
                self._refused(str(answer.get("error", {}).get("code", "refused")))

    def heard(self, payload: bytes) -> None:
        """An event came."""
        if self.wave != self.crowd.wave:
            self.wave = self.crowd.wave
            self.crowd.tally.reached += 1
        self.crowd.heard(payload)

    def ended(self, connection: Connection, reason: str) -> None:
        """The connection is gone, or never came about."""
        self.connection = None
        if self.state is State.JOINED:
            self._end_stay(away=True)
            self.crowd.tally.lost += 1
        elif self.state is State.ASKING:
            self._no_longer_asking()
        self._try_again(reason)

    def _asking(self) -> None:
        self.state = State.ASKING
        self.crowd.asking += 1

    def _no_longer_asking(self) -> None:
        self.state = State.IDLE
        self.crowd.asking -= 1

    def _ask(self) -> None:
        self.asked_at = self.crowd.clock()
        self._write(self.crowd.wire.join)

    def _accepted(self) -> None:
        tally = self.crowd.tally
        self._no_longer_asking()
        self.since, self.attempts = self.crowd.clock(), 0
        self._stand(State.JOINED, away=False)
        tally.stays += 1
        tally.latency_ms[_rounded((self.since - self.started_at) * 1000)] += 1
        if not self.ever_joined:
            self.ever_joined = True
            tally.joined += 0 if self.twin is not None and self.twin.ever_joined else 1
            tally.settled += 1
        self.crowd.accepted(self)

    def _end_stay(self, *, away: bool = False) -> None:
        now = self.crowd.clock()
        self._stand(State.IDLE, away=away)
        self.crowd.tally.watch_seconds += now - self.since
        self.crowd.tally.watch_seconds_asked += now - self.asked_at

    def _refused(self, code: str) -> None:
        self._no_longer_asking()
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self._try_again(code)

    def _try_again(self, reason: str) -> None:
        self.crowd.tally.errors[reason] += 1
        self.attempts += 1
        if reason in FINAL_REFUSALS or self.attempts > ATTEMPTS:
            self.fail()
            return
        self._stand(State.IDLE, away=self.ever_joined)
        self.crowd.broken(self)

    def fail(self) -> None:
        """Give up for good."""
        self._stand(State.FAILED, away=False)
        self.crowd.tally.failed += 1
        self.crowd.tally.settled += 0 if self.ever_joined else 1

    def _stand(self, state: State, *, away: bool) -> None:
        """Be in `state`, and count the person anew: online by any device, else away if one of them will return."""
        tally, was_online, was_away = self.crowd.tally, self._online(), self._away()
        tally.connections += (state is State.JOINED) - (self.state is State.JOINED)
        self.state, self.away = state, away
        tally.online += self._online() - was_online
        tally.away += self._away() - was_away

    def _online(self) -> bool:
        return self.state is State.JOINED or (self.twin is not None and self.twin.state is State.JOINED)

    def _away(self) -> bool:
        return not self._online() and (self.away or (self.twin is not None and self.twin.away))

    def _write(self, frame: bytes) -> None:
        if self.connection is not None:
            self.connection.write(frame)


def _rounded(milliseconds: float) -> int:
    """Two digits are enough, and few different values are told and added up quickly."""
    return round(milliseconds) if milliseconds < 100 else int(float(f"{milliseconds:.1e}"))
