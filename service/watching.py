"""A programme's seat at the organisers' wall: keeps what the feed shows to the organiser whose cookie it has."""

import threading
import time
from datetime import datetime
from typing import Any

import socketio

from service.live.rehearsal import Shown

SAMPLE_SECONDS = 0.02


class Watcher:
    """The organisers' feed of one stream; `figures` is the last snapshot, empty until the first one comes."""

    def __init__(self, url: str, *, cookie: str) -> None:
        self.figures: dict[str, Any] = {}
        self._url = url
        self._cookie = cookie
        self._client = socketio.Client(reconnection_delay_max=2, handle_sigint=False)
        self._client.on("snapshot", self._heard, namespace="/organisers")

    def watch(self, stream: int) -> None:
        """Ask for the figures of `stream`, again after every reconnection."""
        self._client.on("connect", lambda: self._ask(stream), namespace="/organisers")
        self._client.connect(
            self._url, headers={"Cookie": self._cookie}, transports=["websocket"], namespaces=["/organisers"]
        )

    def close(self) -> None:
        """Leave the wall."""
        self._client.disconnect()

    def _ask(self, stream: int) -> None:
        self._client.emit("watch", {"stream": stream}, namespace="/organisers")

    def _heard(self, figures: dict[str, Any]) -> None:
        self.figures = figures


class Witness(Watcher):
    """An organiser's client that keeps every snapshot, and samples how old the one is that it shows."""

    def __init__(self, url: str, *, cookie: str) -> None:
        super().__init__(url, cookie=cookie)
        self.shown: list[Shown] = []
        self.ages: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._sampling = threading.Thread(target=self._sample, daemon=True)

    def watch(self, stream: int) -> None:
        """Look, and look at the clock, from now on."""
        super().watch(stream)
        self._sampling.start()

    def close(self) -> None:
        """Leave the wall."""
        self._over.set()
        self._sampling.join()
        super().close()

    def age(self, share: float) -> float | None:
        """The age in seconds that this share of all samples does not exceed; None without any."""
        ages = sorted(age for _, age in self.ages)
        return ages[min(len(ages) - 1, int(len(ages) * share))] if ages else None

    def age_p99(self, begin: float, end: float) -> float:
        """The 99th percentile of the age in seconds, of the samples between two moments."""
        ages = sorted(age for at, age in self.ages if begin <= at <= end)
        return ages[min(len(ages) - 1, len(ages) * 99 // 100)]

    def _heard(self, figures: dict[str, Any]) -> None:
        super()._heard(figures)
        exact = figures["basis"] == "exact"
        as_of = datetime.fromisoformat(figures["as_of"]).timestamp()
        self.shown.append(Shown(time.time(), as_of, figures["online"], figures["connections"], exact))

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            if self.shown:
                now = time.time()
                self.ages.append((now, now - self.shown[-1].as_of))
