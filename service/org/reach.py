"""Members as the notify room asks for them: number, branch, openid, and whether they may be reminded."""

from typing import Any, cast

from flask import current_app
from sqlalchemy import ColumnElement, and_, exists, select, true

from service.config import Config
from service.extensions import db
from service.notify.notices.audience import Asked
from service.org.models import Member, Organisation, WechatIdentity
from service.org.person.consents import basis_of
from service.org.person.models import Consent
from service.scope import scoped


def remindable(*which: ColumnElement[bool]) -> Asked:
    """The members, not those who left, for whom `which`, conditions on members and their branches, hold."""
    config: Config = current_app.config["CHUNSHUI"]
    bound = and_(WechatIdentity.member_id == Member.id, WechatIdentity.appid == config.wechat_appid)
    columns: tuple[Any, ...] = (
        Member.id.label("member_id"),
        Organisation.path.label("organisation_path"),
        WechatIdentity.openid.label("openid"),
        _consents().label("consents"),
    )
    joined = select(*columns).join(Organisation, Organisation.id == Member.organisation_id)
    people = joined.outerjoin(WechatIdentity, bound)
    return cast(Asked, scoped(people, Member.status != "left", Member.rehearsal.is_(False), *which))


def _consents() -> ColumnElement[bool]:
    """Whether a member agreed to be reminded; true where reminders stand on another basis."""
    if basis_of("reminders") != "consent":
        return true()
    standing = (Consent.member_id == Member.id, Consent.purpose == "reminders", Consent.withdrawn_at.is_(None))
    return exists().where(*standing)


def openid_of(member: int) -> str | None:
    """The member's openid in the mini-program, if bound there."""
    config: Config = current_app.config["CHUNSHUI"]
    mine = (WechatIdentity.member_id == member, WechatIdentity.appid == config.wechat_appid)
    return db.session.scalar(scoped(select(WechatIdentity.openid), *mine))
