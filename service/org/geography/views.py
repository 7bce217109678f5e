"""REST doors of divisions: for anyone who has logged in to look up, for organisers at the top to change."""

from dataclasses import asdict
from datetime import date
from typing import Any

from apiflask import APIBlueprint
from flask import g

from service.auth import granted
from service.clock import day_of
from service.clock import now as read_clock
from service.errors import ServiceError
from service.org.access import member_or_organiser
from service.org.entries import Entry
from service.org.geography import changes, lookup, sets
from service.org.geography.schemas import (
    DivisionChangeIn,
    DivisionChangesOut,
    DivisionOut,
    DivisionsOut,
    GeographySetOut,
    LookupIn,
)
from service.org.organisers import Organiser
from service.org.tree.schemas import AsOfIn

bp = APIBlueprint("geography", __name__, tag="Divisions")

DIVISION = "/divisions/<int(max=999999999999):code>"


@bp.get("/divisions")
@member_or_organiser
@bp.input(LookupIn, location="query")
@bp.output(DivisionsOut)
def find(query_data: dict[str, Any]) -> dict[str, Any]:
    """Find divisions by name, or list those below one

    A name needs a `parent` above it or a `level` beside it; aliases and former names count. Without a name those
    directly below `parent` are listed, without either the provinces.
    """
    day, name = query_data["as_of"] or today(), query_data["name"]
    if name is None:
        return {"divisions": lookup.children(query_data["parent"], day), "ambiguous": False}
    found = lookup.find(name, day=day, parent=query_data["parent"], level=query_data["level"])
    return {"divisions": found, "ambiguous": len(found) > 1}


@bp.get(DIVISION)
@member_or_organiser
@bp.input(AsOfIn, location="query")
@bp.output(DivisionOut)
def show(code: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show a division as of a day"""
    try:
        return lookup.by_code(str(code), query_data["as_of"] or today())._asdict()
    except ServiceError:
        raise ServiceError("not_found") from None


@bp.get(f"{DIVISION}/changes")
@member_or_organiser
@bp.output(DivisionChangesOut)
def changed(code: int) -> dict[str, Any]:
    """List the changes of a division"""
    return {"changes": changes.of(str(code))}


@bp.post(f"{DIVISION}/changes")
@granted("roster")
@bp.input(DivisionChangeIn)
@bp.output(DivisionChangesOut, status_code=201)
def change(code: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Enter a change of a division

    From a day on, which is not to come. A change that is there already changes nothing.
    """
    check_may_change(g.organiser)
    enter(str(code), json_data)
    return {"changes": changes.of(str(code))}


@bp.get("/geography-sets/<string(maxlength=64):key>")
@member_or_organiser
@bp.input(AsOfIn, location="query")
@bp.output(GeographySetOut)
def geography_set(key: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show a set of divisions as of a day

    `sichuan-border`: the counties of Sichuan that touch another province.
    """
    if not key.isprintable():
        raise ServiceError("not_found")
    return asdict(sets.of_day(key, query_data["as_of"] or today()))


def enter(code: str, json_data: dict[str, Any]) -> None:
    """Call the rule of the change's kind."""
    on, entry = json_data["on"] or today(), Entry(today(), g.organiser.id)
    if json_data["kind"] == "renamed":
        changes.rename(code, name=json_data["name"], on=on, entry=entry)
    elif json_data["kind"] == "moved":
        changes.move(code, parent=json_data["parent"], on=on, entry=entry)
    else:
        changes.abolish(code, on=on, successor=json_data["successor"], entry=entry)


def check_may_change(organiser: Organiser) -> None:
    """ServiceError forbidden unless the organiser's grant is for a whole tree."""
    if all("." in path for path in organiser.paths("roster")):
        raise ServiceError("forbidden")


def today() -> date:
    """The civil day of the request."""
    return day_of(read_clock())
