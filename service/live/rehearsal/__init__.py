"""Synthetic members: they take the real path against a running installation and count for themselves.

`run(plan, report)` logs the members in, has them join along an arrival curve, drop and come back, check in
and leave, and returns what they counted without ever asking the server: the other half of every audit.
"""

from service.live.rehearsal.bounds import Audit, Counted, Shown, audits, outside
from service.live.rehearsal.conductor import GeneratorError, Rehearsal, run
from service.live.rehearsal.curves import CURVES, arrived
from service.live.rehearsal.plan import Candidate, Plan, Progress, Result, Tally

__all__ = [
    "CURVES",
    "Audit",
    "Candidate",
    "Counted",
    "GeneratorError",
    "Plan",
    "Progress",
    "Rehearsal",
    "Result",
    "Shown",
    "Tally",
    "arrived",
    "audits",
    "outside",
    "run",
]
