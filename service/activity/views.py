"""REST doors of the activity room."""

import io
from typing import Any
from urllib.parse import urlsplit

import segno
from apiflask import APIBlueprint
from flask import Flask, Response, current_app, g, request
from flask.sansio.blueprints import BlueprintSetupState

from service.activity import editing, rules, telling
from service.activity.models import Activity, Sitting
from service.activity.recent import Recent
from service.activity.schemas import ActivitiesOut, ActivityDetail, ActivityEdit, ActivityIn
from service.activity.telling import Words
from service.auth import granted, member_required, public
from service.clock import now as read_clock
from service.config import Config
from service.limits import per_account
from service.notify.notices.schemas import NoticeOut, NoticesOut, PreviewIn, ReachOut, TellIn
from service.org.access import member_or_organiser

bp = APIBlueprint("activity", __name__, tag="Activities")

ACTIVITY = "/activities/<int(max=9223372036854775807):activity_id>"


@bp.record_once
def register(state: BlueprintSetupState) -> None:
    """Give the application a place for what all members are shown alike."""
    app: Flask = state.app  # type: ignore[assignment]
    app.extensions["recent_activities"] = Recent()


@bp.get("/activities")
@member_required
@bp.output(ActivitiesOut)
def listed() -> dict[str, Any]:
    """List the member's activities

    Current and upcoming ones that include the member.
    """
    return {"activities": [shown(one) for one in rules.of_member(g.actor, read_clock())]}


@bp.get("/organisers/activities")
@granted("activities")
@bp.output(ActivitiesOut)
def organised() -> dict[str, Any]:
    """List the organiser's activities

    Those that an organisation of the organiser's part of the tree holds, in any tier.
    """
    return {"activities": [shown(one) for one in rules.of_organiser(g.organiser)]}


@bp.get(ACTIVITY)
@member_or_organiser
@bp.output(ActivityDetail)
def show(activity_id: int) -> dict[str, Any]:
    """Show an activity

    With its streams, where to join them, and one's own check-ins. One that does not include the asker is not found.
    """
    if g.actor is None:
        return detail(rules.for_organiser(activity_id, g.organiser))
    rules.check_visible(activity_id, g.actor)
    address = gateway_address()
    shape = recent().get((activity_id, address), lambda: shown(rules.by_id(activity_id)))
    # The checkin room stands to the right of this one and registers its part of the answer.
    return shape | {"my_check_ins": current_app.extensions["check_ins_of"](activity_id, g.actor.member)}


@bp.post("/activities")
@granted("activities")
@per_account
@bp.input(ActivityIn)
@bp.output(ActivityDetail, status_code=201)
def create(json_data: dict[str, Any]) -> dict[str, Any]:
    """Create an activity

    By an organiser of a lead organisation or of one above it.
    """
    return detail(rules.for_organiser(editing.create(g.organiser, json_data), g.organiser))


@bp.patch(ACTIVITY)
@granted("activities")
@per_account
@bp.input(ActivityEdit)
@bp.output(ActivityDetail)
def edit(activity_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Edit an activity

    What is not named stays; sittings and streams are named by id, and one without id is added.
    """
    edited = editing.edit(activity_id, g.organiser, json_data)
    recent().forget()
    return detail(rules.for_organiser(edited, g.organiser))


@bp.get(f"{ACTIVITY}/notices")
@granted("activities")
@bp.output(NoticesOut)
def told(activity_id: int) -> dict[str, Any]:
    """List what is and was told of an activity, the newest first

    Reminders among it, which are planned with the activity and follow its times.
    """
    return {"notices": telling.of_activity(activity_id, g.organiser)}


@bp.post(f"{ACTIVITY}/notices")
@granted("activities")
@per_account
@bp.input(TellIn)
@bp.output(NoticeOut, status_code=201)
def tell(activity_id: int, json_data: dict[str, Any]) -> Any:
    """Tell those whom an activity is for

    Each finds it in the inbox, and is sent it by the first channel that reaches. A reference is told once.
    """
    return telling.tell(activity_id, g.organiser, Words(**json_data), read_clock())


@bp.post(f"{ACTIVITY}/notices/preview")
@granted("activities")
@per_account
@bp.input(PreviewIn)
@bp.output(ReachOut)
def preview(activity_id: int, json_data: dict[str, Any]) -> Any:
    """Say whom it would reach, by which channel, and why not the others"""
    return telling.preview(activity_id, g.organiser, Words(**json_data), read_clock())


@bp.get(f"{ACTIVITY}/qr.svg")
@public
def qr(activity_id: int) -> Response:
    """Show the QR code of the phone page's address"""
    config: Config = current_app.config["CHUNSHUI"]
    address = f"{config.web_url or request.host_url}".rstrip("/") + f"/m/?activity={activity_id}"
    image = io.BytesIO()
    segno.make(address, micro=False).save(image, kind="svg", scale=8, border=2, omitsize=True)
    return Response(image.getvalue(), content_type="image/svg+xml", headers={"Cache-Control": "max-age=300"})


def detail(activity: Activity) -> dict[str, Any]:
    """`activity` as ActivityDetail wants it, for an organiser, who checks in nowhere."""
    return shown(activity) | {"my_check_ins": []}


def recent() -> Recent:
    """This process's activities of a moment ago."""
    found: Recent = current_app.extensions["recent_activities"]
    return found


def shown(activity: Activity) -> dict[str, Any]:
    """`activity` as the schemas want it, each stream with the gateway."""
    series = activity.series
    return {
        **{name: getattr(activity, name) for name in ("id", *editing.PLAIN)},
        "series": {"id": series.id, "name": series.name, "edition": activity.edition} if series else None,
        "organisers": [
            {"organisation": {"id": one.organisation.id, "name": one.organisation.name}, "tier": one.tier}
            for one in activity.organisers
        ],
        "sittings": [shown_sitting(sitting) for sitting in activity.sittings],
    }


def shown_sitting(sitting: Sitting) -> dict[str, Any]:
    """`sitting` with its streams."""
    address = gateway_address()
    streams = [
        {name: getattr(stream, name) for name in ("id", *editing.STREAM_FIELDS)}
        | {"gateway": address, "sources": [{"kind": one.kind, "url": one.url} for one in stream.sources]}
        for stream in sitting.streams
    ]
    return {name: getattr(sitting, name) for name in ("id", *editing.SITTING_TIMES)} | {"streams": streams}


def gateway_address() -> str:
    """Where the members' socket is: the setting, or the host of this request with the gateway's port."""
    config: Config = current_app.config["CHUNSHUI"]
    own = urlsplit(request.host_url)
    host = f"[{own.hostname}]" if ":" in (own.hostname or "") else own.hostname
    return config.gateway_url or f"{own.scheme}://{host}:{config.gateway_port}"
