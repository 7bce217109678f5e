"""REST doors of a person's rights: a member sees, corrects and erases what is held of himself, and nobody else's."""

from typing import Any

from apiflask import APIBlueprint
from flask import current_app, g

from service.audit import Party
from service.auth import member_required
from service.clock import now as read_clock
from service.org.person import consents, rights
from service.org.person.schemas import (
    ConsentIn,
    ConsentOut,
    ConsentsOut,
    CorrectedOut,
    CorrectionIn,
    ErasureIn,
    HeldOut,
)

bp = APIBlueprint("person", __name__, tag="One's own data")


@bp.get("/me/data")
@member_required
@bp.output(HeldOut)
def data() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Take along all that is held of oneself

    The rows of each table, but hashes and ciphertexts; as JSON, to be kept.
    """
    document = rights.export(g.actor.member, actor=_self(), now=read_clock())
    return document, 200, {"Content-Disposition": "attachment; filename=chunshui.json"}


@bp.patch("/me")
@member_required
@bp.input(CorrectionIn)
@bp.output(CorrectedOut)
def correct(json_data: dict[str, Any]) -> Any:
    """Correct one's name or present place"""
    return rights.correct(g.actor.member, json_data, actor=_self(), now=read_clock())


@bp.post("/me/erasure")
@member_required
@bp.input(ErasureIn)
@bp.output({}, status_code=204)
def erase(json_data: dict[str, Any]) -> str:
    """Have oneself erased

    Cannot be undone. Counts keep their sums; no row of them leads to the person.
    """
    rights.erase(g.actor.member, actor=_self(), now=read_clock())
    current_app.extensions["deny_list"].expire()
    return ""


@bp.get("/me/consents")
@member_required
@bp.output(ConsentsOut)
def listed() -> dict[str, Any]:
    """List one's consents, withdrawn ones too"""
    return {"consents": consents.given(g.actor.member)}


@bp.post("/me/consents")
@member_required
@bp.input(ConsentIn)
@bp.output(ConsentOut, status_code=201)
def give(json_data: dict[str, Any]) -> Any:
    """Consent to a purpose

    A repeat gets the consent that stands.
    """
    return consents.give(g.actor.member, **json_data, actor=_self(), now=read_clock())


@bp.delete("/me/consents/<string(maxlength=40):purpose>")
@member_required
@bp.output({}, status_code=204)
def withdraw(purpose: str) -> str:
    """Withdraw a consent

    Quiet if there is none.
    """
    consents.withdraw(g.actor.member, purpose, actor=_self(), now=read_clock())
    return ""


def _self() -> Party:
    return Party("member", g.actor.member)
