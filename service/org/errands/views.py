"""REST doors of errands: tables of the roster and of the organisations, sent in and asked for."""

from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response, g, request, url_for

from service.auth import granted, roomy
from service.clock import now as read_clock
from service.deadline import more_time
from service.errors import language_of_request
from service.limits import per_account
from service.org.errands import progress, rules
from service.org.errands.models import DUE, Errand
from service.org.errands.rules import MOST_BYTES, Wish
from service.org.errands.schemas import (
    AcceptanceIn,
    DifferencesOut,
    ErrandOut,
    ErrandsOut,
    ExportIn,
    ImportQuery,
)
from service.org.errands.subjects import label_of

bp = APIBlueprint("errands", __name__, tag="Imports and exports")

CHUNK_BYTES = 1 << 16
NUMBER = "int(max=9223372036854775807)"
ORGANISATION = f"/organisations/<{NUMBER}:number>"
ERRAND = f"/errands/<{NUMBER}:errand_id>"
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

Accepted = tuple[dict[str, Any], int, dict[str, str]]


@bp.post(f"{ORGANISATION}/imports")
@roomy(MOST_BYTES)
@granted("roster")
@per_account
@roomy(MOST_BYTES)
@bp.input(ImportQuery, location="query")
@bp.output(ErrandOut, status_code=202)
def send_in(number: int, query_data: dict[str, Any]) -> Accepted:
    """Send in a table of members or organisations

    The body is the file (XLSX, XLS, CSV), for this organisation and below. It is compared; nothing is written before
    the outcome was accepted.
    """
    wish = Wish(**query_data, organisation_id=number, language=language_of_request())
    return accepted(rules.send_in(wish, g.organiser, body(), read_clock()))


@bp.post(f"{ORGANISATION}/exports")
@granted("roster")
@per_account
@bp.input(ExportIn)
@bp.output(ErrandOut, status_code=202)
def ask_for(number: int, json_data: dict[str, Any]) -> Accepted:
    """Ask for a table of members or organisations

    Of this organisation and below; phone and identity numbers as their last four characters.
    """
    wish = Wish(**json_data, organisation_id=number, language=language_of_request())
    return accepted(rules.ask_for(wish, g.organiser, read_clock()))


@bp.get("/errands")
@granted("roster")
@bp.output(ErrandsOut)
def listed() -> dict[str, Any]:
    """List imports and exports of one's part of the tree, the latest 100"""
    return {"errands": [shown(one) for one in rules.visible(g.organiser)]}


@bp.get(ERRAND)
@granted("roster")
@bp.output(ErrandOut)
def show(errand_id: int) -> dict[str, Any]:
    """Show how far an import or export is"""
    return shown(rules.find(errand_id, g.organiser))


@bp.get(f"{ERRAND}/differences")
@granted("roster")
@bp.output(DifferencesOut)
def differences(errand_id: int) -> dict[str, Any]:
    """Show the first 200 rows of an import that change or are refused"""
    return {"differences": rules.differences(errand_id, g.organiser)}


@bp.get(f"{ERRAND}/file")
@granted("roster")
def fetch(errand_id: int) -> Response:
    """Fetch the file of an errand

    The fate of every row of an import, as CSV; or the table that was asked for.
    """
    errand, pieces = rules.fetched(errand_id, g.organiser, read_clock())
    name = f"{errand.subject}-{errand.id}-{label_of(errand.subject)}.{errand.format}"
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response(pieces, content_type=TYPES[errand.format], headers=headers)


@bp.put(f"{ERRAND}/acceptance")
@granted("roster")
@bp.input(AcceptanceIn)
@bp.output(ErrandOut, status_code=202)
def accept(errand_id: int, json_data: dict[str, Any]) -> Accepted:
    """Let an import be applied

    With the outcome that was seen; if anything has changed since, it is compared again and nothing is written.
    """
    return accepted(rules.accept(errand_id, g.organiser, json_data["outcome"], read_clock()))


@bp.delete(ERRAND)
@granted("roster")
@bp.output(ErrandOut)
def call_off(errand_id: int) -> dict[str, Any]:
    """Call off an import or export

    What was sent, and what was made of it, is thrown away.
    """
    return shown(rules.call_off(errand_id, g.organiser, read_clock()))


def body() -> Iterator[bytes]:
    """The body as it comes; each part of it has the time of a request of its own, so that a slow line may send too."""
    while chunk := request.stream.read(CHUNK_BYTES):
        more_time(request.environ)
        yield chunk


def accepted(errand: Errand) -> Accepted:
    """An errand as an answer that says where to ask for it."""
    return shown(errand), 202, {"Location": url_for("errands.show", errand_id=errand.id)}


def shown(errand: Errand) -> dict[str, Any]:
    """An errand as ErrandOut wants it."""
    names = ("id", "direction", "subject", "format", "day", "state", "counts", "outcome", "failure")
    times = ("created_at", "expires_at", "ended_at")
    return {
        **{name: getattr(errand, name) for name in names + times},
        "organisation": {"id": errand.organisation_id, "name": errand.organisation.name},
        "label": label_of(errand.subject),
        "progress": progress.of(errand.id) if errand.state in DUE else None,
    }
