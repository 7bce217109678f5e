"""What WeChat's errcodes mean for a message, as its pages on sending messages and on access tokens tell them.

An errcode comes within HTTP 200, as number or as text; an absent one means success.
"""

import re
from collections.abc import Mapping
from typing import Any

from service.notify.channels.sends import Outcome, alarm, done, drop_address, permanent, retry

# The token is not, or no more, a token: another one, once.
TOKEN_DEAD = frozenset({40001, 40014, 42001})
# A field as errmsg names it: "argument invalid! data.thing1.value invalid".
NAMED = re.compile(r"data\.([a-z_]+[0-9]+)")
# How long a quota of the day is left alone, and one of the minute.
QUOTA_SECONDS, RATE_SECONDS, SHORT_SECONDS = 3600.0, 60.0, 1.0

NOT_SUBSCRIBED = Outcome(kind="permanent", code="43101", spent=True)
EVERYWHERE = {
    -1: retry("-1"),
    45009: retry("45009", after=QUOTA_SECONDS),
    45011: retry("45011", after=RATE_SECONDS),
    # Seen here, a token is dead although it was replaced once.
    **{code: alarm(str(code)) for code in (*TOKEN_DEAD, 40002, 40013, 40125, 40164, 40243, 41001, 41002, 41004)},
    45109: alarm("45109"),
}
SUBSCRIBE = EVERYWHERE | {
    43101: NOT_SUBSCRIBED,
    43107: alarm("43107", stops="template"),
    43108: retry("43108", after=SHORT_SECONDS),
    **{code: permanent(str(code)) for code in (40003, 40037, 41030, 45168, 47003)},
}
TEMPLATE = SUBSCRIBE | {
    40249: alarm("40249", stops="template"),
    43116: alarm("43116", stops="template"),
    43117: retry("43117", after=QUOTA_SECONDS),
    43004: drop_address("43004"),
}
# Of TEMPLATESENDJOBFINISH; some come with a space after the colon.
FINISHED = {
    "success": done("success"),
    "failed:user block": drop_address("user_block"),
    "failed:freq limit": retry("freq_limit", after=QUOTA_SECONDS),
    "failed:system failed": retry("system_failed"),
}


def number(value: Any) -> int:
    """An errcode as a number; -1, busy, for one that is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return -1


def errcode(answer: Mapping[str, Any]) -> int:
    """0 for success, also where nothing is said."""
    return number(answer.get("errcode", 0))


def judge(answer: Mapping[str, Any], table: Mapping[int, Outcome] = SUBSCRIBE) -> Outcome:
    """What came of a message. A code that no table knows is tried again after a while: it may be new, and pass."""
    code = errcode(answer)
    if code == 0:
        receipt = answer.get("msgid")
        return done(receipt=str(receipt) if receipt is not None else None)
    if code == 47003:
        named = NAMED.search(str(answer.get("errmsg", "")))
        return permanent("47003", wrong=named[1] if named else None)
    return table.get(code) or retry(str(code), after=RATE_SECONDS)


def finished(status: str) -> Outcome:
    """What the event at the end of a template message means."""
    return FINISHED.get(status.replace(": ", ":").strip(), permanent("unknown_status"))
