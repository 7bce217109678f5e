"""REST doors of gates."""

import base64
from typing import Any

from apiflask import APIBlueprint
from flask import current_app, g, request

from service.activity import rules as activities
from service.auth import granted, public
from service.checkin.occasion import find
from service.checkin.onsite import gates
from service.checkin.onsite.codes import SLOT_SECONDS
from service.checkin.onsite.models import Gate
from service.checkin.onsite.schemas import (
    GateIn,
    GateOut,
    GatesOut,
    GateWithCode,
    PairedOut,
    PairIn,
    ProofIn,
    StateOut,
)
from service.clock import now as read_clock
from service.config import Config
from service.limits import logins_per_network, per_account

bp = APIBlueprint("onsite", __name__, tag="On-site codes")

GATES = "/activities/<int(max=9223372036854775807):activity_id>/gates"
GATE = f"{GATES}/<int(max=9223372036854775807):gate_id>"


@bp.post(GATES)
@granted("activities")
@per_account
@bp.input(GateIn)
@bp.output(GateWithCode, status_code=201)
def register(activity_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Register a gate: a device on site that shows the activity's rotating code

    `code` pairs one device within ten minutes. It is told once.
    """
    return shown(*gates.register(g.organiser, activity_id, json_data["name"], read_clock()))


@bp.get(GATES)
@granted("activities")
@bp.output(GatesOut)
def list_gates(activity_id: int) -> dict[str, Any]:
    """List an activity's gates"""
    return {"gates": gates.of_activity(g.organiser, activity_id)}


@bp.post(f"{GATE}/pairing")
@granted("activities")
@per_account
@bp.output(GateWithCode)
def pair_anew(activity_id: int, gate_id: int) -> dict[str, Any]:
    """Get another pairing code, for another device or to roll the key

    With its use the device of before shows nothing valid any more.
    """
    return shown(*gates.pair_anew(g.organiser, activity_id, gate_id, read_clock()))


@bp.delete(GATE)
@granted("activities")
@per_account
@bp.output(GateOut)
def revoke(activity_id: int, gate_id: int) -> Any:
    """Revoke a gate: what it shows proves nothing from now on"""
    return gates.revoke(g.organiser, activity_id, gate_id, read_clock())


@bp.post("/gates/pairing")
@public
@logins_per_network
@bp.input(PairIn)
@bp.output(PairedOut)
def pair(json_data: dict[str, Any]) -> dict[str, Any]:
    """Pair a device by a one-time code

    It gets the key with which it makes codes by itself, also while the network is away.
    """
    now = read_clock()
    paired = gates.pair(json_data["code"], now)
    activity = paired.gate.activity_id
    return {
        "gate": paired.gate.id,
        "activity": activity,
        "sittings": [sitting.id for sitting in activities.by_id(activity).sittings],
        "key": base64.urlsafe_b64encode(paired.key).decode(),
        "slot_seconds": SLOT_SECONDS,
        "now": now,
    }


@bp.post("/gates/state")
@public
@logins_per_network
@bp.input(ProofIn)
@bp.output(StateOut)
def state(json_data: dict[str, Any]) -> dict[str, Any]:
    """Show a paired device how things stand: what its page shows beside the code, and the server's clock

    403 gate_unpaired once it was revoked or another device was paired in its place.
    """
    gate = gates.of_device(json_data["gate"], base64.urlsafe_b64decode(json_data["proof"]))
    activity, occasion = activities.by_id(gate.activity_id), find(gate.activity_id)
    config: Config = current_app.config["CHUNSHUI"]
    address = (config.web_url or request.host_url).rstrip("/")
    windows = [window.of("onsite_qr") for window in occasion.windows]
    late = occasion.margins.late
    return {
        **{name: getattr(activity, name) for name in ("theme", "rehearsal", "timezone")},
        "gate": gate.id,
        "name": gate.name,
        "activity": activity.id,
        "address": f"{address}/m/?activity={activity.id}",
        "sittings": [
            {"id": one.sitting, "opens_at": one.opens_at, "closes_at": one.closes_at + late} for one in windows
        ],
        "slot_seconds": SLOT_SECONDS,
        "now": read_clock(),
    }


def shown(gate: Gate, code: str) -> dict[str, Any]:
    """A gate with its pairing code, as GateWithCode wants it."""
    names = ("id", "activity_id", "name", "paired_at", "revoked_at", "pairing_expires_at")
    return {name: getattr(gate, name) for name in names} | {"code": code}
