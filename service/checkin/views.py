"""REST doors of the checkin room."""

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint
from flask import Flask, g
from flask.sansio.blueprints import BlueprintSetupState

from service.auth import member_required
from service.checkin import rules
from service.checkin.records import Attempt, check_ins_of
from service.checkin.schemas import CheckInIn, CheckInOut
from service.clock import now as read_clock
from service.errors import ServiceError
from service.limits import per_account

bp = APIBlueprint("checkin", __name__, tag="Check-in")


@bp.record_once
def register(state: BlueprintSetupState) -> None:
    """Lend the activity room what its detail shows of check-ins."""
    app: Flask = state.app  # type: ignore[assignment]
    app.extensions["check_ins_of"] = shown


@bp.post("/activities/<int(max=9223372036854775807):activity_id>/check-ins")
@member_required
@per_account
@bp.input(CheckInIn)
@bp.output(CheckInOut, status_code=201)
@bp.doc(
    responses={
        200: "The same record for the same reference again.",
        404: "No such activity for this member.",
        409: "Not now.",
    }
)
def check_in(activity_id: int, json_data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Check in

    201 the first time, 200 with the same record for the same reference again.
    """
    actor = g.actor
    attempt = Attempt(member=actor.member, organisation=actor.organisation, place=actor.place, **json_data)
    [answer] = rules.check_in(activity_id, [attempt], read_clock())
    if answer.record is None:
        raise refused(answer.refusal)
    return asdict(answer.record), 200 if answer.repeat else 201


def refused(refusal: ServiceError | None) -> Exception:
    """The refusal as it leaves: an activity that does not include the member looks like one that does not exist."""
    if refusal is None:
        return LookupError("an answer has a record or a refusal")
    return ServiceError("not_found") if refusal.code == "not_invited" else refusal


def shown(activity: int, member: int) -> list[dict[str, Any]]:
    """The member's check-ins of an activity, as CheckInOut shows them."""
    found: list[dict[str, Any]] = CheckInOut(many=True).dump(check_ins_of(activity, member))
    return found
