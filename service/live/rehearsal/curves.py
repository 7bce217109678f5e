"""When synthetic members arrive.

An arrival curve is a pure function of (members, seconds): how many have arrived by a moment. Every curve
begins with nobody or with a first member at once, never falls, and has everybody inside by its last second.
"""

from collections.abc import Callable
from math import ceil


def _burst(elapsed: float) -> float:
    """Everybody at the opening."""
    return 1.0


def _ramp(elapsed: float) -> float:
    """The same number in every second."""
    return elapsed


def _founding_day(elapsed: float) -> float:
    """Early branches trickle in, most come around the opening, latecomers thin out."""
    early = 0.15 * min(1.0, elapsed / 0.4)
    opening = 0.65 * _smooth_step((elapsed - 0.3) / 0.35)
    late = 0.20 * (1.0 - (1.0 - max(0.0, (elapsed - 0.5) / 0.5)) ** 2)
    return early + opening + late


def _smooth_step(share: float) -> float:
    """Rise from 0 to 1 with no corner at either end."""
    bounded = min(1.0, max(0.0, share))
    return bounded * bounded * (3.0 - 2.0 * bounded)


CURVES: dict[str, Callable[[float], float]] = {
    "burst": _burst,
    "founding-day": _founding_day,
    "ramp": _ramp,
}


def arrived(curve: str, *, members: int, seconds: float, at: float) -> int:
    """How many of `members` have arrived `at` seconds after the start of a curve lasting `seconds`."""
    if at < 0:
        return 0
    if at >= seconds:
        return members
    return min(members, ceil(members * CURVES[curve](at / seconds)))
