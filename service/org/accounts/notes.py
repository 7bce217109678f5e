"""What the accounts tell the audit."""

from typing import Any

import structlog

log = structlog.get_logger("audit")


def note(event: str, *, by: int | None, account: int | None = None, **details: Any) -> None:
    """Something that must be answered for: who did it (None: the command line, or nobody yet) to which account.

    Numbers and words of our own only, no names and no secrets.
    """
    log.info(event, by=by, account=account, **details)
