"""What the accounts tell the audit."""

import logging
from typing import Any

log = logging.getLogger("audit")


def note(event: str, *, by: int | None, account: int | None = None, **details: Any) -> None:
    """Something that must be answered for: who did it (None: the command line, or nobody yet) to which account.

    Numbers and words of our own only, no names and no secrets.
    """
    log.info(
        "%s by=%s account=%s %s", event, by, account, " ".join(f"{name}={value}" for name, value in details.items())
    )
