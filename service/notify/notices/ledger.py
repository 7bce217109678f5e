"""The ledger of WeChat's one-time consents: one accept buys one message, for a WeChat user and a template.

No API tells the balance. The client's report adds, a message that WeChat took subtracts, and whoever refuses, or is
refused (43101), stands at nothing. A report that was forged costs its maker one refusal.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import ARRAY, Text, bindparam, text

from service.errors import ServiceError
from service.extensions import db
from service.notify.channels.wechat.happenings import Chosen, Happening

# WeChat asks for five templates at most at once.
MOST = 5
CHANNEL = "wechat_subscribe"

ADD = text(
    """
    -- scope: one WeChat user
    INSERT INTO wechat_credits (openid, template, member_id, balance, reference, changed_at)
    SELECT :openid, template, :member, 1, :reference, :now FROM unnest(:templates) AS template
    ON CONFLICT (openid, template) DO UPDATE
    SET balance = wechat_credits.balance + 1, member_id = :member, reference = :reference, changed_at = :now
    WHERE wechat_credits.reference <> :reference
    """
).bindparams(bindparam("templates", type_=ARRAY(Text)))
ZERO = text(
    """
    -- scope: WeChat users that are named
    UPDATE wechat_credits SET balance = 0, changed_at = :now
    FROM unnest(:openids, :templates) AS gone (openid, template)
    WHERE wechat_credits.openid = gone.openid AND wechat_credits.template = gone.template
    """
).bindparams(bindparam("openids", type_=ARRAY(Text)), bindparam("templates", type_=ARRAY(Text)))
SPEND = text(
    """
    -- scope: WeChat users that are named
    UPDATE wechat_credits SET balance = greatest(0, balance - spent.times), changed_at = :now
    FROM (
        SELECT openid, template, count(*) AS times FROM unnest(:openids, :templates) AS one (openid, template)
        GROUP BY openid, template
    ) AS spent
    WHERE wechat_credits.openid = spent.openid AND wechat_credits.template = spent.template
    """
).bindparams(bindparam("openids", type_=ARRAY(Text)), bindparam("templates", type_=ARRAY(Text)))


def report(openid: str, member: int, choices: Mapping[str, str], *, reference: str, now: datetime) -> None:
    """Take over what the dialog of `reference` brought, once. Commits. ServiceError validation for too many."""
    if len(choices) > MOST:
        raise ServiceError("validation", errors={"choices": [f"At most {MOST}."]})
    accepted = sorted(template for template, choice in choices.items() if choice == "accept")
    refused = [(openid, template) for template, choice in sorted(choices.items()) if choice in ("reject", "ban")]
    values = {"openid": openid, "member": member, "templates": accepted, "reference": reference, "now": now}
    if accepted:
        db.session.execute(ADD, values)
    zero(refused, now)
    db.session.commit()


def spend(taken: Iterable[tuple[str, str]], now: datetime) -> None:
    """WeChat took a message of each (openid, template); in the caller's transaction."""
    _change(SPEND, taken, now)


def zero(gone: Iterable[tuple[str, str]], now: datetime) -> None:
    """Nothing is left of each (openid, template); in the caller's transaction."""
    _change(ZERO, gone, now)


def _change(statement: object, pairs: Iterable[tuple[str, str]], now: datetime) -> None:
    # In one order everywhere, so that two who change the same rows do not wait for each other.
    ordered = sorted(pairs)
    if ordered:
        openids, templates = zip(*ordered, strict=True)
        values = {"openids": list(openids), "templates": list(templates), "now": now}
        db.session.execute(statement, values)  # type: ignore[call-overload]


def listen(happening: Happening, _app: str, now: datetime) -> None:
    """WeChat told of a choice: one that refuses is the end; accepts are counted where the client reports them."""
    if isinstance(happening, Chosen) and not happening.accepted:
        zero([(happening.openid, happening.template)], now)
