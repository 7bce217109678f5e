"""What a process may say while its parts die: troubles that it names and bears, never an exception that escaped."""

import json
from pathlib import Path

# Errors and criticals that are the handling itself: said once, with what is done about it.
HANDLED = (
    "database unavailable",
    "deny list and streams are stale; admitting by the last ones",
    "started without deny list and streams",
)
# gunicorn's arbiter about a worker that was killed; it starts another one.
ARBITER = ("was sent SIGKILL", "was terminated due to signal 9")
ESCAPED = ("Traceback", "never retrieved", "Exception ignored", "Exception in callback", "Fatal error")


def unhandled(log: Path) -> list[str]:
    """The lines of a process's log that tell of something which nobody handled."""
    return [line for line in log.read_text(errors="replace").splitlines() if not bears(line)]


def bears(line: str) -> bool:
    """Whether a line tells of nothing worse than a trouble that is being handled."""
    if any(sign in line for sign in ESCAPED):
        return False
    said = json.loads(line) if line.startswith("{") else {"level": "error" if "[ERROR]" in line else "info"}
    if said.get("level") not in ("error", "critical"):
        return True
    return said.get("event") in HANDLED or any(sign in line for sign in ARBITER)
