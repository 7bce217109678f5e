"""The audit room: who did what to whom and when, in a log that only grows and that shows every later touch.

Any room notes what happened with `note`, in its own transaction; nobody waits for anybody. Within seconds the worker
takes the notes into the chain, and once a day it signs how far the chain reaches.
"""

from service.audit.notes import OPERATOR, SYSTEM, Party, note

__all__ = ["OPERATOR", "SYSTEM", "Party", "note"]
