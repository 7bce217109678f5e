"""What a process may say while its parts die: troubles that it names and bears, never an exception that escaped."""

import json
import re
from pathlib import Path

from tests.factories import PASSWORD

# Errors and criticals that are the handling itself: said once, with what is done about it.
HANDLED = (
    "database unavailable",
    "deny list and streams are stale; admitting by the last ones",
    "started without deny list and streams",
)
# gunicorn's arbiter about a worker that was killed; it starts another one.
ARBITER = ("was sent SIGKILL", "was terminated due to signal 9")
ESCAPED = ("Traceback", "never retrieved", "Exception ignored", "Exception in callback", "Fatal error")


# What no log may hold: the fixtures' people, passwords and secrets, and whatever looks like a credential or a number
# of a person.
CONFIDENTIAL = re.compile(
    "|".join(
        [
            *map(re.escape, ("张三", "李组织", PASSWORD, "that only the tests know", "secret of the stand-in")),
            r"[\w-]{40,}\.[\w-]{43}(?![\w-])",  # an access token
            r"(?<![\w-])[2-9A-Y]{4}(?:-[2-9A-Y]{4}){3}(?![\w-])",  # an invitation
            r"whsec_\w",
            r"(?<![\w.-])1[3-9]\d{9}(?![\w.-])",  # a mobile number
            r"(?<![\w.-])\d{17}[\dXx](?![\w.-])",  # an identity number
        ]
    )
)


def unhandled(log: Path) -> list[str]:
    """The lines of a process's log that tell of something which nobody handled, or what no log may tell."""
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if not bears(line) or CONFIDENTIAL.search(line)]


def bears(line: str) -> bool:
    """Whether a line tells of nothing worse than a trouble that is being handled."""
    if any(sign in line for sign in ESCAPED):
        return False
    said = json.loads(line) if line.startswith("{") else {"level": "error" if "[ERROR]" in line else "info"}
    if said.get("level") not in ("error", "critical"):
        return True
    return said.get("event") in HANDLED or any(sign in line for sign in ARBITER)
