"""What the stand-ins answer, and what they are told to let go wrong."""

import random
from dataclasses import dataclass, field
from typing import Any

# Something that happens to an answer whatever it is, or one that WeChat's log-in gives instead; and for each provider,
# by `code`, any answer that its documents list.
KINDS = (
    "token_dead", "token_expired", "busy", "quota", "rate_limited", "risk", "lost_reply", "delay", "message", "verdict",
    "duplicate_event", "apns", "fcm", "jpush",
)  # fmt: skip


class SandboxError(Exception):
    """A request to the sandbox's own doors that makes no sense."""


@dataclass(frozen=True)
class Answer:
    """What to answer, after `delay` seconds; without a body the connection is cut instead."""

    body: dict[str, Any] | None
    status: int = 200
    delay: float = 0.0
    kind: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """Something to go wrong the next `times` times, for `openid` (or device) only if one is given; `code` says what.

    With a `share` below 1 it happens to that share of answers, by chance.
    """

    kind: str
    times: int
    openid: str | None = None
    seconds: float = 0.0
    code: str = ""
    share: float = 1.0


class Faults:
    """What is to go wrong."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def fail(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        self._faults.append(fault)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def happens(self, kind: str, whom: str = "") -> Fault | None:
        """The fault of `kind` that is due now, counted down; None if there is none."""
        for fault in self._faults:
            if fault.kind == kind and fault.openid in (None, whom) and random.random() < fault.share:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def delay(self, whom: str = "") -> float:
        """Seconds by which this answer is late."""
        fault = self.happens("delay", whom)
        return fault.seconds if fault else 0.0


def read_fault(told: dict[str, Any]) -> Fault:
    """{"kind": "busy|message|apns|…", "times"?: 1, "openid"?: "…", "seconds"?: 1.0, "code"?: "43107", "share"?: 1.0}"""
    try:
        fault = Fault(
            kind=str(told["kind"]),
            times=int(told.get("times", 1)),
            openid=told.get("openid"),
            seconds=float(told.get("seconds", 0.0)),
            code=str(told.get("code", "")),
            share=float(told.get("share", 1.0)),
        )
    except (KeyError, TypeError, ValueError):
        raise SandboxError("kind, times, openid, seconds, code, share") from None
    if fault.kind not in KINDS or fault.times < 1:
        raise SandboxError(f"kind: {', '.join(KINDS)}; times: at least 1")
    return fault
