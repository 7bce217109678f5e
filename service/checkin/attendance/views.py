"""REST doors of attendance: terms, figures, who is missing, leave, make-ups, guests, exemptions."""

from dataclasses import asdict
from io import BytesIO
from typing import Any

from apiflask import APIBlueprint
from flask import Response, g

from service.activity import rules as activities
from service.activity.models import Activity
from service.auth import granted, member_required
from service.checkin.attendance import (
    evidence,
    figures,
    leaves,
    lists,
    make_ups,
    nodes,
    own,
    printing,
    roster,
    sheet,
    terms,
)
from service.checkin.attendance.models import Leave, MakeUp
from service.checkin.attendance.schemas import (
    AttendanceOut,
    DecisionIn,
    ExemptionIn,
    ExemptionOut,
    ExemptionsOut,
    GuestIn,
    LeaveForIn,
    LeaveIn,
    LeaveOut,
    LeavesOut,
    MakeUpIn,
    MakeUpOut,
    MakeUpsOut,
    MissingOut,
    MissingQuery,
    NodeQuery,
    OwnOut,
    SheetQuery,
    TermsIn,
)
from service.checkin.group import figures as screens
from service.checkin.schemas import AnnulIn
from service.checkin.scope import activity_of, person, reached
from service.clock import now as read_clock
from service.errors import ServiceError, language_of_request
from service.home import home_of
from service.limits import per_account
from service.org.people.scope import member_of

bp = APIBlueprint("attendance", __name__, tag="Attendance")

ACTIVITY = "/activities/<int(max=9223372036854775807):activity_id>"
MEMBER = "/members/<int(max=9223372036854775807):member_id>"


@bp.put(f"{ACTIVITY}/attendance-terms")
@granted("activities")
@per_account
@bp.input(TermsIn)
@bp.output(TermsIn)
def agree(activity_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Say on which terms an activity takes check-ins"""
    terms.agree(activity_id, g.organiser, json_data)
    return json_data


@bp.get(f"{ACTIVITY}/attendance")
@granted("roster")
@bp.input(NodeQuery, location="query")
@bp.output(AttendanceOut)
def attendance(activity_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show an activity's attendance at a node of the organiser's part of the tree

    Everybody counts once, at home as of the day of the roster; who stays there from elsewhere is apart, in `staying`.
    """
    activity, now = activity_of(g.organiser, activity_id), read_clock()
    frozen, path = roster.of(activity.id), path_of(activity, query_data["node"])
    asked = evidence.asked(activity.id)
    found = (figures.rostered if frozen else figures.open_to_all)(activity.id, path, asked)
    head = {"activity": activity.id, "node": query_data["node"], "as_of": now, "basis": "exact", "unit": "member"}
    tail = {"attendance": activity.attendance, "guests": found.guests, "methods": found.methods}
    tail |= {"credits": found.credits, "asked": asked}
    tail["collective"] = collective(activity.id, path)
    if frozen is None:
        none = dict.fromkeys(("frozen_at", "roster_of", "denominator", "sums", "staying"))
        return head | tail | none | {"children": []}
    rule = frozen.denominator
    children = [{"node": number} | sums.shown(rule) for number, sums in found.children.items()]
    how = {"frozen_at": frozen.frozen_at, "roster_of": frozen.as_of, "denominator": rule}
    return (
        head | tail | how | {"sums": found.all.shown(rule), "children": children, "staying": found.staying.shown(rule)}
    )


@bp.get(f"{ACTIVITY}/missing")
@granted("roster")
@bp.input(MissingQuery, location="query")
@bp.output(MissingOut)
def missing(activity_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List who is missing now at a node: expected, not there, not on leave; 500 a page

    ServiceError not_rostered where nobody is expected, roster_open before the start.
    """
    activity = activity_of(g.organiser, activity_id)
    if roster.of(activity.id) is None:
        raise ServiceError("roster_open" if activity.attendance == "rostered" else "not_rostered")
    home, _, last = query_data["after"].partition(":")
    path = path_of(activity, query_data["node"])
    found = figures.missing(activity.id, path, after=(home, int(last or 0)))
    more = f"{found[-1].home_path}:{found[-1].member}" if len(found) == figures.MOST else None
    people = [{"member": one.member, "name": one.name, "organisation": branch(one.home_path)} for one in found]
    return {"missing": people, "after": more}


@bp.get(f"{ACTIVITY}/sign-in-sheet.xlsx")
@granted("roster")
@per_account
@bp.input(SheetQuery, location="query")
def sign_in_sheet(activity_id: int, query_data: dict[str, Any]) -> Response:
    """Take along the sign-in sheet of a node, to print and sign: who is expected, exempt, on leave, and who came how

    Up to 5,000 people. It is noted that it was taken.
    """
    asked, target = sheet.Asked(activity=activity_id, **query_data), BytesIO()
    taken = sheet.take(g.organiser, asked, read_clock(), most=sheet.MOST)
    printing.write(target, taken, language_of_request())
    response = Response(target.getvalue(), content_type=printing.KIND)
    response.headers.set("Content-Disposition", "attachment", filename=f"sign-in-{activity_id}-{asked.node}.xlsx")
    return response


@bp.get(f"{ACTIVITY}/my-attendance")
@member_required
@bp.output(OwnOut)
def own_attendance(activity_id: int) -> Any:
    """Show how one stands in an activity: expected or not, leave, make-up, and whether one has completed it"""
    activities.check_visible(activity_id, g.actor)
    return own.of(activity_id, g.actor.member, read_clock())


@bp.put(f"{ACTIVITY}/leave")
@member_required
@per_account
@bp.input(LeaveIn)
@bp.output(LeaveOut)
def ask_leave(activity_id: int, json_data: dict[str, Any]) -> Any:
    """Ask for leave from an activity; the branch decides"""
    activities.check_visible(activity_id, g.actor)
    return leaves.ask(activity_id, g.actor.member, by=None, now=read_clock(), **json_data)


@bp.delete(f"{ACTIVITY}/leave")
@member_required
@per_account
@bp.output({}, status_code=204)
def withdraw_leave(activity_id: int) -> str:
    """Take one's request, or leave, back"""
    activities.check_visible(activity_id, g.actor)
    leaves.withdraw(activity_id, g.actor.member)
    return ""


@bp.get(f"{ACTIVITY}/leaves")
@granted("roster")
@bp.output(LeavesOut)
def list_leaves(activity_id: int) -> dict[str, Any]:
    """List the requests of members of the organiser's part of the tree, the latest 500"""
    activity_of(g.organiser, activity_id)
    return {"leaves": leaves.of_activity(activity_id, reached(g.organiser, Leave.member_id, read_clock()))}


@bp.post(f"{ACTIVITY}/leaves")
@granted("roster")
@per_account
@bp.input(LeaveForIn)
@bp.output(LeaveOut, status_code=201)
def ask_leave_for(activity_id: int, json_data: dict[str, Any]) -> Any:
    """Ask for leave for a member who cannot do so himself"""
    activity_of(g.organiser, activity_id)
    now = read_clock()
    member = person(g.organiser, json_data["member"], now).id
    return leaves.ask(activity_id, member, reason=json_data["reason"], by=g.organiser.id, now=now)


@bp.put(f"{ACTIVITY}/leaves/<int(max=9223372036854775807):leave_id>/decision")
@granted("roster")
@per_account
@bp.input(DecisionIn)
@bp.output(LeaveOut)
def decide_leave(activity_id: int, leave_id: int, json_data: dict[str, Any]) -> Any:
    """Approve or decline a request; the same decision again changes nothing"""
    activity_of(g.organiser, activity_id)
    now = read_clock()
    visible = reached(g.organiser, Leave.member_id, now)
    return leaves.decide(activity_id, leave_id, visible=visible, by=g.organiser.id, now=now, **json_data)


@bp.post(f"{ACTIVITY}/make-ups")
@granted("roster")
@per_account
@bp.input(MakeUpIn)
@bp.output(MakeUpOut, status_code=201)
def make_up(activity_id: int, json_data: dict[str, Any]) -> tuple[Any, int]:
    """Record that a member made up for an activity, by replay or by a check-in elsewhere

    A record of its own: the absence stays what it was. 200 for the same reference again.
    """
    activity_of(g.organiser, activity_id)
    now = read_clock()
    member = person(g.organiser, json_data.pop("member"), now).id
    effort = make_ups.Effort(**json_data)
    made, repeat = make_ups.make_up(activity_id, member, effort, by=g.organiser.id, now=now)
    return made, 200 if repeat else 201


@bp.get(f"{ACTIVITY}/make-ups")
@granted("roster")
@bp.output(MakeUpsOut)
def list_make_ups(activity_id: int) -> dict[str, Any]:
    """List the make-ups of members of the organiser's part of the tree, taken back or not, the latest 500"""
    activity_of(g.organiser, activity_id)
    return {"make_ups": make_ups.of_activity(activity_id, reached(g.organiser, MakeUp.member_id, read_clock()))}


@bp.post(f"{ACTIVITY}/make-ups/<int(max=9223372036854775807):make_up_id>/annulment")
@granted("roster")
@per_account
@bp.input(AnnulIn)
@bp.output(MakeUpOut)
def annul_make_up(activity_id: int, make_up_id: int, json_data: dict[str, Any]) -> Any:
    """Take a make-up back, for a reason; the record stays, and another may follow"""
    activity_of(g.organiser, activity_id)
    now = read_clock()
    visible = reached(g.organiser, MakeUp.member_id, now)
    return make_ups.annul(activity_id, make_up_id, visible=visible, by=g.organiser.id, now=now, **json_data)


@bp.post(f"{ACTIVITY}/guests")
@granted("roster")
@per_account
@bp.input(GuestIn)
@bp.output(GuestIn, status_code=201)
def add_guest(activity_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Let a member of the organiser's part of the tree come as a guest, whom nobody expects"""
    activity_of(g.organiser, activity_id)
    now = read_clock()
    lists.add_guest(activity_id, person(g.organiser, json_data["member"], now).id, by=g.organiser.id, now=now)
    return json_data


@bp.get(f"{MEMBER}/exemptions")
@granted("roster")
@bp.output(ExemptionsOut)
def list_exemptions(member_id: int) -> dict[str, Any]:
    """List when a member is not expected"""
    return {"exemptions": lists.exemptions(member_of(g.organiser, member_id).id)}


@bp.post(f"{MEMBER}/exemptions")
@granted("roster")
@per_account
@bp.input(ExemptionIn)
@bp.output(ExemptionOut, status_code=201)
def exempt(member_id: int, json_data: dict[str, Any]) -> Any:
    """Expect a member at nothing, from a day on, perhaps until before another"""
    member = member_of(g.organiser, member_id).id
    return lists.exempt(member, by=g.organiser.id, now=read_clock(), **json_data)


def collective(activity: int, path: str) -> dict[str, Any]:
    """Collective viewing as CollectiveOut wants it."""
    found, children = screens.at(activity, path)
    return asdict(found) | {"children": [{"node": node} | asdict(one) for node, one in children.items()]}


def path_of(activity: Activity, node: int) -> str:
    """The path that rows of the activity have at a node of the organiser's part of the tree, as of its day."""
    return nodes.path_of(g.organiser, activity, node, read_clock())


def branch(path: str) -> int:
    """The number of the organisation that a path leads to."""
    return int(home_of(path).split(".")[-1])
