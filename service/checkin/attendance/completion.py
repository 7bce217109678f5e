"""What completes an activity for a member: one credit, with its source. A pure rule; `evidence` gathers what it needs.

A check-in is enough. An organiser may ask for more of those who took part from afar: so many minutes of the live
stream, or a replay; by default nothing, since time before a screen is no measure of learning. Who was on site, in a
collective viewing, on a paper list or had to be entered by somebody else is asked for no minutes: nothing counts them.
A make-up (补学) completes it too.
"""

from typing import Literal, NamedTuple

Source = Literal["check_in", "live", "replay", "elsewhere"]
SOURCES: tuple[Source, ...] = ("check_in", "live", "replay", "elsewhere")


class Asked(NamedTuple):
    """What is asked for beside a check-in that a member made from afar; either will do."""

    live_minutes: int = 0
    replay: bool = False


class Evidence(NamedTuple):
    """What is known of one member: whether he came, and not only from afar; watched for long enough; made up for it."""

    came: bool = False
    there: bool = False
    watched: bool = False
    made_up: Literal["replay", "elsewhere"] | None = None


def credit(asked: Asked, shown: Evidence) -> Source | None:
    """The source of the member's one credit; None while he has none."""
    if shown.came and (shown.there or not any(asked)):
        return "check_in"
    if shown.came and asked.live_minutes and shown.watched:
        return "live"
    return shown.made_up


def missing(asked: Asked, shown: Evidence) -> list[str]:
    """What would give him one: a check-in, or the rest of what is asked, either of it; nothing once he has it."""
    if credit(asked, shown):
        return []
    if not shown.came:
        return ["check_in"]
    return [*(["live"] if asked.live_minutes else []), "replay"]
