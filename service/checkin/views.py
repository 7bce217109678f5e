"""REST doors of check-ins: a member's own, and what an organiser enters, confirms, takes back and settles."""

from typing import Any

from apiflask import APIBlueprint
from flask import Flask, g
from flask.sansio.blueprints import BlueprintSetupState
from marshmallow import ValidationError

from service.auth import granted, member_required, roomy
from service.checkin import annulling, calling, desk, refusals, rules
from service.checkin.models import CheckIn, Refusal
from service.checkin.records import Attempt, check_ins_of
from service.checkin.schemas import (
    AnnulIn,
    BatchIn,
    BatchOut,
    CallIn,
    CallOut,
    CheckInOut,
    EntryIn,
    OwnIn,
    RefusalOut,
    RefusalsOut,
    SettlementIn,
)
from service.checkin.scope import activity_of, reached
from service.checkin.together import Together
from service.checkin.turnout import Teller
from service.clock import now as read_clock
from service.errors import ServiceError, language_of_request, problem
from service.limits import per_account, per_account_here

bp = APIBlueprint("checkin", __name__, tag="Check-in")

ACTIVITY = "/activities/<int(max=9223372036854775807):activity_id>"
CHECK_IN = f"{ACTIVITY}/check-ins/<int(max=9223372036854775807):check_in_id>"
# 500 entries with a reason each, escaped.
BATCH_BYTES = 1024 * 1024
TOGETHER = Together()


@bp.record_once
def register(state: BlueprintSetupState) -> None:
    """Lend the activity room what its detail shows of check-ins, and the live room what counts them."""
    app: Flask = state.app  # type: ignore[assignment]
    app.extensions["check_ins_of"] = shown
    app.extensions["turnout"] = Teller


@bp.post(f"{ACTIVITY}/check-ins")
@member_required
@per_account_here
@bp.input(OwnIn)
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
    method = "self" if json_data["code"] is None else "onsite_qr"
    who = {"member": actor.member, "organisation": actor.organisation, "place": actor.place}
    attempt = Attempt(**who, method=method, **json_data)
    answer = TOGETHER.check_in(activity_id, attempt)
    if answer.record is None:
        raise refused(answer.refusal)
    return answer.record._asdict(), 200 if answer.repeat else 201


@bp.delete(f"{ACTIVITY}/check-ins/<string(maxlength=64):reference>")
@member_required
@per_account
@bp.output(CheckInOut)
def undo(activity_id: int, reference: str) -> dict[str, Any]:
    """Undo one's own check-in by its reference, within 15 minutes

    The record stays, as taken back. Doing it again gives the same answer.
    """
    return annulling.undo(activity_id, g.actor.member, reference, read_clock())._asdict()


@bp.post(f"{ACTIVITY}/check-ins/batch")
@granted("roster")
@per_account
@roomy(BATCH_BYTES)
@bp.input(BatchIn)
@bp.output(BatchOut)
def enter(activity_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Enter check-ins for members of the organiser's part of the tree, up to 500

    Each has its own answer; the batch may be sent again as it is. What was refused is kept for the sender to settle.
    """
    read = [read_entry(one) for one in json_data["check_ins"]]
    entries = [one for one in read if isinstance(one, desk.Entry)]
    answers = iter(desk.enter(g.organiser, activity_id, entries, read_clock()))
    return {"answers": [told(next(answers)) if isinstance(one, desk.Entry) else unread(one) for one in read]}


@bp.delete(f"{ACTIVITY}/members/<int(max=9223372036854775807):member_id>/check-ins/<string(maxlength=64):entry>")
@granted("roster")
@per_account
@bp.output(CheckInOut)
def undo_entry(activity_id: int, member_id: int, entry: str) -> dict[str, Any]:
    """Undo what the organiser entered for a member, by its reference, within 15 minutes

    The record stays, as taken back; the member may check in himself. Doing it again gives the same answer.
    """
    activity_of(g.organiser, activity_id)
    return annulling.undo(activity_id, member_id, entry, read_clock(), by=g.organiser.id)._asdict()


@bp.put(f"{CHECK_IN}/confirmation")
@granted("roster")
@per_account
@bp.output(CheckInOut)
def confirm(activity_id: int, check_in_id: int) -> dict[str, Any]:
    """Confirm a proxy that another organiser entered; from then on it stands"""
    now = read_clock()
    activity_of(g.organiser, activity_id)
    visible = reached(g.organiser, CheckIn.member_id, now)
    return annulling.confirm(activity_id, check_in_id, visible=visible, by=g.organiser.id, now=now)._asdict()


@bp.post(f"{CHECK_IN}/annulment")
@granted("roster")
@per_account
@bp.input(AnnulIn)
@bp.output(CheckInOut)
def annul(activity_id: int, check_in_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Take a member's check-in back, for a reason

    The record stays. The member cannot put himself back, an organiser can.
    """
    now = read_clock()
    activity_of(g.organiser, activity_id)
    visible = reached(g.organiser, CheckIn.member_id, now)
    done = annulling.annul(activity_id, check_in_id, visible=visible, by=g.organiser.id, now=now, **json_data)
    return done._asdict()


@bp.post(f"{ACTIVITY}/check-in-calls")
@granted("activities")
@per_account
@bp.input(CallIn)
@bp.output(CallOut)
def call(activity_id: int, json_data: dict[str, Any]) -> Any:
    """Ask everybody in a sitting's streams to check in now

    Their pages show it within seconds. Asked again within half a minute it is the same call.
    """
    return calling.call(g.organiser, activity_id, json_data["sitting"], read_clock())


@bp.get(f"{ACTIVITY}/check-in-refusals")
@granted("roster")
@bp.output(RefusalsOut)
def list_refusals(activity_id: int) -> dict[str, Any]:
    """List refused attempts that nobody has settled, the latest 500

    Of members of the organiser's part of the tree, and what the organiser sent himself.
    """
    activity_of(g.organiser, activity_id)
    return {"refusals": refusals.waiting(activity_id, visible_refusals())}


@bp.put(f"{ACTIVITY}/check-in-refusals/<int(max=9223372036854775807):refusal_id>/settlement")
@granted("roster")
@per_account
@bp.input(SettlementIn)
@bp.output(RefusalOut)
def settle(activity_id: int, refusal_id: int, json_data: dict[str, Any]) -> Any:
    """Say what became of a refusal; the first settlement stays"""
    activity_of(g.organiser, activity_id)
    by, now = g.organiser.id, read_clock()
    return refusals.settle(activity_id, refusal_id, visible_refusals(), by=by, now=now, **json_data)


def visible_refusals() -> Any:
    """Of whom the organiser may see refusals."""
    return reached(g.organiser, Refusal.member_id, read_clock()) | (Refusal.entered_by == g.organiser.id)


def read_entry(given: Any) -> desk.Entry | ValidationError:
    """One entry of a batch, or why it cannot be read."""
    try:
        return desk.Entry(**EntryIn().load(given))
    except ValidationError as error:
        return error


def unread(error: ValidationError) -> dict[str, Any]:
    """The answer to an entry that cannot be read."""
    return told(rules.Answer(refusal=ServiceError("validation", errors=error.messages)))


def told(answer: rules.Answer) -> dict[str, Any]:
    """An answer as EntryOut wants it."""
    if answer.record is None:
        refusal = answer.refusal or ServiceError("internal")
        return {"status": refusal.status, "check_in": None, "problem": problem(refusal, language_of_request())}
    return {"status": 200 if answer.repeat else 201, "check_in": answer.record._asdict(), "problem": None}


def refused(refusal: ServiceError | None) -> Exception:
    """The refusal as it leaves: an activity that does not include the member looks like one that does not exist."""
    if refusal is None:
        return LookupError("an answer has a record or a refusal")
    return ServiceError("not_found") if refusal.code == "not_invited" else refusal


def shown(activity: int, member: int) -> list[dict[str, Any]]:
    """The member's check-ins of an activity, as CheckInOut shows them."""
    found: list[dict[str, Any]] = CheckInOut(many=True).dump(check_ins_of(activity, member))
    return found
