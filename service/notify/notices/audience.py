"""From a SELECT of members to the channel that reaches each, and why the others are not reached.

Rooms to the right make the SELECT, in the columns of `Asked`; here it is wrapped, never read into memory.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import current_app
from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause

from service.config import Config
from service.notify.notices.ledger import CHANNEL as WECHAT
from service.notify.notices.models import ACCOUNT, Credit, Device, Notice, NoticeDelivery, Preference

# Whom a notice is for: member_id, organisation_path of the branch, openid in the mini-program or null, and consents:
# whether the member may be reminded, by consent or on another basis.
Asked = Select[int, str, str | None, bool]
Audience = Callable[[Notice], Asked]

# The order of an installation for members who said nothing.
ORDER = ("wechat_subscribe", "apns", "jpush", "fcm", ACCOUNT)
NAMES = ARRAY(Text())


@dataclass(frozen=True, kw_only=True)
class Means:
    """What people can be reached with: the installation's channels, and WeChat's templates for this kind of notice.

    `fields` are the template's, each with the fact that fills it; the Official Account has a template of its own.
    """

    channels: Sequence[str] = ()
    template: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    account_template: str = ""
    account_fields: Mapping[str, str] = field(default_factory=dict)
    language: str = "zh"

    @property
    def order(self) -> list[str]:
        """The channels, the best first; WeChat's only where there is a template."""
        return [one for one in ORDER if one in self.channels and self.templates.get(one, "none needed")]

    @property
    def templates(self) -> dict[str, str]:
        """The templates of those channels that need one."""
        return {WECHAT: self.template, ACCOUNT: self.account_template}

    def fields_of(self, lane: str) -> Mapping[str, str]:
        """The fields of a channel's template."""
        return self.account_fields if lane == ACCOUNT else self.fields

    @classmethod
    def of(cls, kind: str, channels: Sequence[str], config: Config) -> "Means":
        """Those for a kind of notice."""
        settings = (config.wechat_templates, config.wechat_account_templates)
        found, account = (json.loads(text or "{}").get(kind, {}) for text in settings)
        return cls(
            channels=channels,
            template=found.get("id", ""),
            fields=found.get("fields", {}),
            account_template=account.get("id", ""),
            account_fields=account.get("fields", {}),
            language=config.default_language,
        )


def audience_of(notice: Notice) -> Asked:
    """The SELECT of the room whose audience the notice names; KeyError for one that is not there."""
    known: Mapping[str, Audience] = current_app.extensions["audiences"]
    return known[notice.audience["name"]](notice)


def reached(asked: Asked, means: Means) -> CTE:
    """A row for each member of the audience: lane and address of the best channel, null with the reason `why`."""
    people = asked.cte("audience")
    order = cast(literal(means.order, NAMES), NAMES)
    wanted = func.coalesce(Preference.channels, order, type_=NAMES)
    device, credit = _device(people, order, wanted), _credit(people, means.template)
    by_wechat = and_(
        credit.c.openid.is_not(None),
        literal(WECHAT) == func.any(order),
        literal(WECHAT) == func.any(wanted),
        or_(device.c.channel.is_(None), _rank(wanted, literal(WECHAT)) < _rank(wanted, device.c.channel)),
    )
    lane: ColumnElement[Any] = case((~people.c.consents, null()), (by_wechat, WECHAT), else_=device.c.channel)
    address = case((~people.c.consents, null()), (by_wechat, credit.c.openid), else_=device.c.address)
    why = case(
        (~people.c.consents, "no_consent"),
        (~wanted.op("&&", is_comparison=True)(order), "unwanted" if means.order else "no_channel"),
        (or_(by_wechat, device.c.channel.is_not(None)), null()),
        (people.c.openid.is_not(None) if WECHAT in means.order else ~true(), "no_credit"),
        else_="no_address",
    )
    joined = (
        people.outerjoin(Preference, Preference.member_id == people.c.member_id)
        .outerjoin(device, true())
        .outerjoin(credit, true())
    )
    language = func.coalesce(Preference.language, means.language).label("language")
    columns = (people.c.member_id, people.c.organisation_path, lane.label("lane"), address.label("address"), language)
    return select(*columns, why.label("why")).select_from(joined).cte("reached")


def _rank(wanted: ColumnElement[Any], lane: Any) -> ColumnElement[int]:
    return func.array_position(wanted, lane)


def _device(people: CTE, order: ColumnElement[Any], wanted: ColumnElement[Any]) -> LateralFromClause:
    """The member's newest device of the best of its channels."""
    mine = (Device.member_id == people.c.member_id, Device.channel == func.any(order))
    found = select(Device.channel, Device.address).where(*mine, Device.channel == func.any(wanted))
    return found.order_by(_rank(wanted, Device.channel), Device.registered_at.desc()).limit(1).lateral("device")


def _credit(people: CTE, template: str) -> LateralFromClause:
    """The member's openid, if an accept is left that no delivery waits to use."""
    same = (NoticeDelivery.address == people.c.openid, NoticeDelivery.template == template)
    pending = select(func.count()).where(*same, NoticeDelivery.state == "pending")
    waiting = pending.correlate(people).scalar_subquery()
    mine = (Credit.openid == people.c.openid, Credit.template == template)
    return select(Credit.openid).where(*mine, Credit.balance > waiting).lateral("credit")
