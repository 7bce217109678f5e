"""REST doors of the tree through time, for organisers."""

from collections.abc import Callable
from datetime import date
from typing import Any

from apiflask import APIBlueprint
from flask import g

from service.auth import granted
from service.clock import day_of
from service.clock import now as read_clock
from service.errors import ServiceError
from service.org.entries import Entry
from service.org.tree import asof, changes, scope
from service.org.tree.schemas import (
    AsOfIn,
    ChangeIn,
    ChangesOut,
    OrganisationDetail,
    OrganisationIn,
    OrganisationsOut,
    PageIn,
)

bp = APIBlueprint("tree", __name__, tag="Organisations")

ORGANISATION = "/organisations/<int(max=9223372036854775807):number>"


@bp.get(ORGANISATION)
@granted("roster")
@bp.input(AsOfIn, location="query")
@bp.output(OrganisationDetail)
def show(number: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show an organisation as of a day

    With the ways from the top to it; a joint body has several.
    """
    return detail(number, query_data["as_of"] or today())


@bp.get(f"{ORGANISATION}/children")
@granted("roster")
@bp.input(AsOfIn, location="query")
@bp.output(OrganisationsOut)
def children(number: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List who stood directly below an organisation on a day"""
    scope.seen(g.organiser, number, today())
    return {"organisations": list(asof.children(number, query_data["as_of"] or today())), "next": None}


@bp.get(f"{ORGANISATION}/subtree")
@granted("roster")
@bp.input(PageIn, location="query")
@bp.output(OrganisationsOut)
def subtree(number: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List an organisation and all below it on a day

    Parents first, a page at a time.
    """
    scope.seen(g.organiser, number, today())
    limit = query_data["limit"]
    page = list(asof.subtree(number, query_data["as_of"] or today(), after=query_data["after"], most=limit + 1))
    more = len(page) > limit
    return {"organisations": page[:limit], "next": page[limit - 1].path if more else None}


@bp.get(f"{ORGANISATION}/changes")
@granted("roster")
@bp.output(ChangesOut)
def changed(number: int) -> dict[str, Any]:
    """List the changes of an organisation"""
    scope.seen(g.organiser, number, today())
    return {"changes": changes.of(number)}


@bp.post("/organisations")
@granted("roster")
@bp.input(OrganisationIn)
@bp.output(OrganisationDetail, status_code=201)
def found(json_data: dict[str, Any]) -> dict[str, Any]:
    """Found an organisation

    Below one of the organiser's part of the tree.
    """
    on = json_data.pop("on") or today()
    scope.target(g.organiser, json_data["parent"])
    number = changes.found(changes.Founding(**json_data), on=on, entry=entry())
    return detail(number, today())


@bp.post(f"{ORGANISATION}/changes")
@granted("roster")
@bp.input(ChangeIn)
@bp.output(ChangesOut, status_code=201)
def change(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Enter a change of an organisation

    `moved` below, `merged` into, `joined` to or `parted` from the organisation `to`, `closed`, or `renamed`; from a day
    on, which may lie back or, but for a renaming, ahead. A change that is there already changes nothing.
    """
    scope.changeable(g.organiser, number)
    on = json_data["on"] or today()
    enter(number, json_data, on)
    return {"changes": changes.of(number)}


def detail(number: int, day: date) -> dict[str, Any]:
    """An organisation that the organiser may see, as OrganisationDetail wants it; not_found if it was not on `day`."""
    organisation = scope.seen(g.organiser, number, today())
    node = asof.node(number, day)
    if node is None:
        raise ServiceError("not_found")
    return node._asdict() | {
        "lineages": asof.lineages(number, day, within=g.organiser.paths("roster")),
        "closed_on": organisation.closed_on,
        "successor": organisation.successor_id,
    }


def enter(number: int, change: dict[str, Any], on: date) -> None:
    """Call the rule of the change's kind."""
    kind = change["kind"]
    if kind == "renamed":
        changes.rename(number, name=change["name"], on=on, entry=entry())
    elif kind == "closed":
        changes.close(number, on=on, entry=entry())
    else:
        to = scope.target(g.organiser, change["to"])
        rules: dict[str, Callable[[], None]] = {
            "moved": lambda: changes.move(number, to=to, on=on, entry=entry()),
            "merged": lambda: changes.merge(number, into=to, on=on, entry=entry()),
            "joined": lambda: changes.join(number, parent=to, on=on, until=change["until"], entry=entry()),
            "parted": lambda: changes.part(number, parent=to, on=on, entry=entry()),
        }
        rules[kind]()


def entry() -> Entry:
    """An entry by the organiser who asks."""
    return Entry(today(), g.organiser.id)


def today() -> date:
    """The civil day of the request."""
    return day_of(read_clock())
