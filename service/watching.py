"""A programme's seat at the organisers' wall: logs in as an organiser and keeps the last figures of the feed."""

import json
from typing import Any
from urllib.request import Request, urlopen

import socketio


class Watcher:
    """The organisers' feed of one stream; `figures` is the last snapshot, empty until the first one comes."""

    def __init__(self, url: str, *, login: str, password: str) -> None:
        self.figures: dict[str, Any] = {}
        self._url = url
        self._cookie = log_in(url, login, password)
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


def log_in(url: str, login: str, password: str) -> str:
    """The Cookie header of a new organiser's session."""
    body = json.dumps({"login": login, "password": password}).encode()
    request = Request(f"{url}/api/v1/organisers/sessions", body, {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=10) as response:  # noqa: S310 - an address that the caller chose
        return str(response.headers["Set-Cookie"]).split(";", 1)[0]
