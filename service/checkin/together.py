"""Single check-ins that arrive at a process at the same time go to the rule together.

Nobody waits for others to come: the first goes alone, and whoever comes while he is being written goes with the next
batch, which one of them leads within his own request. The youngest does: of his time the most is left.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from service.checkin import rules
from service.checkin.records import Attempt
from service.clock import now as read_clock
from service.errors import ServiceError

MOST = 500


@dataclass(eq=False, slots=True)
class Place:
    """One attempt in the queue, and what became of it."""

    attempt: Attempt
    # Told to lead, or told what became of it.
    called: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: rules.Answer | None = None
    failure: Exception | None = None


class Together:
    """The check-ins of one process that wait, by activity."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, list[Place]] = defaultdict(list)
        self._led: set[int] = set()

    def check_in(self, activity: int, attempt: Attempt) -> rules.Answer:
        """The answer to one attempt, after its commit. ServiceError not_found, and whatever failed the whole batch."""
        place = Place(attempt)
        with self._lock:
            self._waiting[activity].append(place)
            if activity not in self._led:
                self._led.add(activity)
                place.leads = True
        try:
            if not place.leads:
                place.called.wait()
            if place.leads:
                self._lead(activity)
        except BaseException:
            self._give_up(activity, place)
            raise
        if place.answer is None:
            raise place.failure or ServiceError("internal")
        return place.answer

    def _lead(self, activity: int) -> None:
        """Write everybody who waits by now, tell them, and call who leads next."""
        with self._lock:
            waiting = self._waiting[activity]
            batch, waiting[-MOST:] = waiting[-MOST:], []
        failure: Exception | None = ServiceError("database_unavailable", retry_after=2)  # if our own time runs out
        try:
            answers = rules.check_in(activity, [place.attempt for place in batch], read_clock())
            for place, answer in zip(batch, answers, strict=True):
                place.answer = answer
        except Exception as error:
            failure = error
        finally:
            for place in batch:
                place.failure, place.leads = failure, False
                place.called.set()
            self._hand_on(activity)

    def _hand_on(self, activity: int) -> None:
        with self._lock:
            if waiting := self._waiting[activity]:
                waiting[-1].leads = True
                waiting[-1].called.set()
            else:
                del self._waiting[activity]
                self._led.discard(activity)

    def _give_up(self, activity: int, place: Place) -> None:
        """Whoever waits no longer leads nobody."""
        with self._lock:
            waiting = self._waiting.get(activity, [])
            if place in waiting:
                waiting.remove(place)
        if place.leads:
            self._hand_on(activity)
