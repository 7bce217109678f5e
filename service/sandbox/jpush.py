"""JPush: one answer for a whole request, rate headers, and a `cid` whose repeat gives the first answer."""

import base64
import itertools
import secrets
from typing import Any

from service.sandbox.faults import Answer, Faults

APP_KEY, MASTER_SECRET = "sandbox", "the sandbox's master secret"
QUOTA = 600


class JPush:
    """The rules; devices are known that were registered with `POST /sandbox/devices`, or all if none was."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.known: set[str] = set()
        self.told: list[tuple[str, ...]] = []
        self._first: dict[str, Answer] = {}
        self._cids: set[str] = set()
        self._numbers = itertools.count(1)

    def cids(self, query: dict[str, str], authorization: str) -> Answer:
        """`GET /v3/push/cid`."""
        if not _entitled(authorization):
            return _error(1004, 401)
        fresh = [secrets.token_hex(16) for _ in range(min(int(query.get("count", "1")), 1000))]
        self._cids.update(fresh)
        return Answer({"cidlist": fresh})

    def push(self, told: dict[str, Any], authorization: str) -> Answer:
        """`POST /v3/push`."""
        if not _entitled(authorization):
            return _error(1004, 401)
        cid = str(told.get("cid", ""))
        if cid in self._first:
            return self._first[cid]
        fault = self._faults.happens("jpush")
        if fault is not None and fault.code == "lost_reply":
            self._take(told)
            return Answer(None)
        if fault is not None:
            code = int(fault.code or 1000)
            return _error(code, 429 if code == 2002 else 500 if code == 1000 else 400, reset=fault.seconds)
        answer = self._take(told)
        if cid in self._cids:
            self._first[cid] = answer
        return answer

    def _take(self, told: dict[str, Any]) -> Answer:
        audience = told.get("audience")
        ids = audience.get("registration_id", []) if isinstance(audience, dict) else []
        if not ids or len(ids) > 1000 or any(not str(one).isalnum() for one in ids):
            return _error(1003, 400)
        found = tuple(one for one in ids if not self.known or one in self.known)
        if not found:
            return _error(1011, 400)
        self.told.append(found)
        return Answer({"sendno": "0", "msg_id": str(next(self._numbers))}, headers=_limits(QUOTA - 1, 60))


def _entitled(authorization: str) -> bool:
    login = base64.b64encode(f"{APP_KEY}:{MASTER_SECRET}".encode()).decode()
    return authorization == f"Basic {login}"


def _limits(remaining: int, reset: float) -> dict[str, str]:
    return {
        "X-Rate-Limit-Quota": str(QUOTA), "X-Rate-Limit-Remaining": str(remaining), "X-Rate-Limit-Reset": f"{reset:g}"
    }  # fmt: skip


def _error(code: int, status: int, reset: float = 60) -> Answer:
    body = {"error": {"code": code, "message": "refused by the sandbox"}}
    return Answer(body, status=status, headers=_limits(0, reset or 60) if code == 2002 else {})
