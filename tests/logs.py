"""What a process may say while its parts die: troubles that it names and bears, never an exception that escaped."""

import json
import os
import re
import stat
from collections.abc import Iterator
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


# What no log may hold, whoever made it: the fixtures' people, passwords and secrets, and whatever looks like a
# credential or a number of a person.
CONFIDENTIAL = re.compile(
    "|".join(
        [
            *map(re.escape, ("张三", "李组织", PASSWORD, "that only the tests know", "secret of the stand-in")),
            r"[\w-]{40,}\.[\w-]{43}(?![\w-])",  # an access token
            r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{43}(?![\w-])",  # a cookie, a refresh token
            r"(?<![\w-])[2-9A-Y]{4}(?:-[2-9A-Y]{4}){3}(?![\w-])",  # an invitation, a recovery code
            r"(?<!\w)(?=[A-Z]*[2-7])[A-Z2-7]{32}(?!\w)",  # an authenticator's secret
            r"whsec_\w",
            r"(?:aes256|sm4):[\w+/-]{40}",  # a sealing key
            r"://[^\s/:@]+:[^\s/:@]+@",  # a password in an address
            r"(?<![\w.-])1[3-9]\d{9}(?![\w.-])",  # a mobile number
            r"(?<![\w.-])\d{17}[\dXx](?![\w.-])",  # an identity number
        ]
    )
)
LONG = re.compile(r"[\w-]{16,}")
# What this process planted: every secret that it drew, and the name of every member that it made.
planted: set[str] = set()
names: set[str] = set()


def tells(said: str) -> bool:
    """Whether `said` holds what no log may."""
    if CONFIDENTIAL.search(said) or any(name in said for name in names):
        return True
    return not planted.isdisjoint(LONG.findall(said))


def plant(name: str) -> None:
    """Remember a member's name; what could be anything, as generated ones may be, is not looked for."""
    if len(name) >= 2 and re.fullmatch(r"[\u4e00-\u9fff]+", name):
        names.add(name)


class Overheard:
    """The files into which processes that the tests started write; each is held open, so that none is lost."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], int] = {}

    def keep(self, output: object) -> None:
        """Hold what was given to a process for its output, if it is a file."""
        name = getattr(output, "name", None)
        if isinstance(name, str) and stat.S_ISREG((found := Path(name).stat()).st_mode):
            key = (found.st_dev, found.st_ino)
            if key not in self._files:
                self._files[key] = os.open(name, os.O_RDONLY)

    def lines(self) -> Iterator[str]:
        """All that was written, as far as it tells too much; the files are let go."""
        while self._files:
            _, number = self._files.popitem()
            with os.fdopen(number, errors="replace") as file:
                yield from (line for line in file if tells(line))


def unhandled(log: Path) -> list[str]:
    """The lines of a process's log that tell of something which nobody handled, or what no log may tell."""
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if not bears(line) or tells(line)]


def bears(line: str) -> bool:
    """Whether a line tells of nothing worse than a trouble that is being handled."""
    if any(sign in line for sign in ESCAPED):
        return False
    said = json.loads(line) if line.startswith("{") else {"level": "error" if "[ERROR]" in line else "info"}
    if said.get("level") not in ("error", "critical"):
        return True
    return said.get("event") in HANDLED or any(sign in line for sign in ARBITER)
