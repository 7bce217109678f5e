"""REST doors of notices: a member's inbox, wishes and devices; an organiser's look at what became of a notice."""

from collections.abc import Callable, Sequence
from datetime import time
from typing import Any

from apiflask import APIBlueprint
from flask import current_app, g

from service.auth import granted, member_required
from service.clock import now as read_clock
from service.errors import ServiceError
from service.limits import per_account
from service.notify.notices import ledger, log, wishes
from service.notify.notices.kinds import said
from service.notify.notices.models import NoticeDelivery, Preference
from service.notify.notices.schemas import (
    DeviceIn,
    FateOut,
    FatesIn,
    FatesOut,
    InboxOut,
    NodesOut,
    NoticeDetail,
    PageIn,
    PreferenceIn,
    PreferenceOut,
    SubscriptionsIn,
)

bp = APIBlueprint("notices", __name__, tag="Notices")

NOTICE = "/notices/<int(max=9223372036854775807):notice_id>"
TOLD = f"{NOTICE}/deliveries/<int(max=9223372036854775807):told_id>"


@bp.get("/me/notices")
@member_required
@bp.input(PageIn, location="query")
@bp.output(InboxOut)
def inbox(query_data: dict[str, Any]) -> dict[str, Any]:
    """Read one's inbox, the newest first"""
    page = wishes.inbox(g.actor.member, **query_data)
    return {"notices": [_item(one) for one in page], "next": _next(page, query_data["limit"])}


@bp.post("/me/notices/<int(max=9223372036854775807):item_id>/reading")
@member_required
@bp.output({}, status_code=204)
def read(item_id: int) -> str:
    """Say that one read it"""
    wishes.read(g.actor.member, item_id, read_clock())
    return ""


@bp.get("/me/notice-preferences")
@member_required
@bp.output(PreferenceOut)
def preferences() -> dict[str, Any]:
    """Show how one wants to be told"""
    return _shown(wishes.preference_of(g.actor.member))


@bp.put("/me/notice-preferences")
@member_required
@per_account
@bp.input(PreferenceIn)
@bp.output(PreferenceOut)
def prefer(json_data: dict[str, Any]) -> dict[str, Any]:
    """Say how one wants to be told"""
    hours = {name: json_data[name] and time.fromisoformat(json_data[name]) for name in ("quiet_from", "quiet_until")}
    wishes.prefer(g.actor.member, json_data | hours)
    return _shown(wishes.preference_of(g.actor.member))


@bp.put("/me/devices")
@member_required
@per_account
@bp.input(DeviceIn)
@bp.output({}, status_code=204)
def register(json_data: dict[str, Any]) -> str:
    """Say where one's app is reached"""
    wishes.register(g.actor.member, **json_data, now=read_clock())
    return ""


@bp.delete("/me/devices/<string(maxlength=40):channel>")
@member_required
@bp.output({}, status_code=204)
def unregister(channel: str) -> str:
    """Be reached there no more"""
    wishes.unregister(g.actor.member, channel)
    return ""


@bp.post("/me/subscriptions")
@member_required
@per_account
@bp.input(SubscriptionsIn)
@bp.output({}, status_code=204)
def subscribe(json_data: dict[str, Any]) -> str:
    """Report what WeChat's dialog of subscriptions brought

    Each accept is good for one message.
    """
    find: Callable[[int], str | None] = current_app.extensions["openid_of"]
    openid = find(g.actor.member)
    if openid is None:
        raise ServiceError("conflict")
    ledger.report(openid, g.actor.member, **json_data, now=read_clock())
    return ""


@bp.get(NOTICE)
@granted("activities")
@bp.output(NoticeDetail)
def show(notice_id: int) -> dict[str, Any]:
    """Show what became of a notice

    By channel, fate and last error, in the organiser's own part of the tree.
    """
    notice = log.notice_of(g.organiser, notice_id)
    names = ("id", "kind", "state", "due_at", "expires_at", "told_at")
    return {name: getattr(notice, name) for name in names} | {"counts": log.counts(notice, g.organiser)}


@bp.delete(NOTICE)
@granted("activities")
@per_account
@bp.output({}, status_code=204)
def call_off(notice_id: int) -> str:
    """Call a notice off

    What is on its way arrives; nothing more is sent.
    """
    log.call_off(log.notice_of(g.organiser, notice_id))
    return ""


@bp.get(f"{NOTICE}/nodes")
@granted("activities")
@bp.output(NodesOut)
def nodes(notice_id: int) -> dict[str, Any]:
    """Show what became of a notice at each node below"""
    return {"nodes": log.by_node(log.notice_of(g.organiser, notice_id), g.organiser)}


@bp.get(f"{NOTICE}/deliveries")
@granted("activities")
@bp.input(FatesIn, location="query")
@bp.output(FatesOut)
def deliveries(notice_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List a notice's deliveries, the newest first

    `state=dead` are those that were given up, each with its reason.
    """
    page = log.deliveries(log.notice_of(g.organiser, notice_id), g.organiser, **query_data)
    return {"deliveries": page, "next": _next(page, query_data["limit"])}


@bp.post(f"{TOLD}/retry")
@granted("activities")
@per_account
@bp.output(FateOut, status_code=202)
def retry(notice_id: int, told_id: int) -> Any:
    """Send a delivery that was given up again"""
    notice = log.notice_of(g.organiser, notice_id)
    return log.retry(notice, g.organiser, told_id, read_clock())


def _next(page: Sequence[NoticeDelivery], limit: int) -> int | None:
    return page[-1].id if len(page) == limit else None


def _item(one: NoticeDelivery) -> dict[str, Any]:
    notice = one.notice
    words = said(notice.kind, one.language, texts=notice.texts, facts=notice.facts)
    shown = {"kind": notice.kind, "activity": notice.activity_id, "title": words.title, "text": words.full}
    return {"id": one.id, "told_at": one.delivered_at, "read_at": one.read_at, **shown}


def _shown(preference: Preference) -> dict[str, Any]:
    hours = {name: getattr(preference, name) for name in ("quiet_from", "quiet_until")}
    clocks = {name: hour and hour.isoformat("minutes") for name, hour in hours.items()}
    return {name: getattr(preference, name) for name in ("language", "timezone", "channels")} | clocks
