"""Gates: registered for one activity by its leads, paired by a one-time code, rolled by pairing again, revoked."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import select

from service.activity import rules as activities
from service.activity.audience import organiser_may_edit
from service.checkin.occasion import Occasion
from service.checkin.onsite.codes import Claim, gate_key, proof_of, read
from service.checkin.onsite.models import Gate
from service.checkin.records import Attempt, Key
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.org.organisers import Organiser
from service.org.roster import ALPHABET, hashed
from service.scope import scoped

PAIRING = timedelta(minutes=10)
MOST = 50
# A claim's numbers are unsigned, a row's are not.
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Paired:
    """What a device is told once: the key with which it makes codes from now on, without asking anybody."""

    gate: Gate
    key: bytes


def register(organiser: Organiser, activity: int, name: str, now: datetime) -> tuple[Gate, str]:
    """A gate of an activity, and the one-time code that pairs a device with it. Commits.

    ServiceError not_found, forbidden, gate_limit.
    """
    check_editable(organiser, activity)
    if len(of_activity(organiser, activity)) >= MOST:
        raise ServiceError("gate_limit")
    gate = Gate(activity_id=activity, name=name, created_by=organiser.id, created_at=now)
    db.session.add(gate)
    return gate, _pairing(gate, now)


def pair_anew(organiser: Organiser, activity: int, gate: int, now: datetime) -> tuple[Gate, str]:
    """Another one-time code; the device of before shows codes until somebody uses it. Commits."""
    found = locked(organiser, activity, gate)
    if found.revoked_at is not None:
        db.session.rollback()
        raise ServiceError("not_found")
    return found, _pairing(found, now)


def revoke(organiser: Organiser, activity: int, gate: int, now: datetime) -> Gate:
    """Let a gate show nothing valid any more. Commits; quiet if repeated."""
    found = locked(organiser, activity, gate)
    found.revoked_at, found.pairing_hash = found.revoked_at or now, None
    db.session.commit()
    return found


def pair(code: str, now: datetime) -> Paired:
    """The gate that a one-time code names, with a new key. Commits. ServiceError pairing_invalid."""
    question = scoped(select(Gate), Gate.pairing_hash == hashed(code), Gate.pairing_expires_at > now)
    gate = db.session.scalar(question.with_for_update().execution_options(populate_existing=True))
    if gate is None:
        db.session.rollback()
        raise ServiceError("pairing_invalid")
    gate.generation, gate.pairing_hash, gate.paired_at = gate.generation + 1, None, now
    db.session.commit()
    return Paired(gate, gate_key(_config().secret_key, gate.id, gate.generation))


def of_device(gate: int, proof: bytes) -> Gate:
    """The gate whose key the device has; ServiceError gate_unpaired if it was revoked, paired anew, or never was."""
    found = db.session.scalar(scoped(select(Gate), Gate.id == gate).execution_options(populate_existing=True))
    if found is None or found.revoked_at is not None or not found.generation:
        raise ServiceError("gate_unpaired")
    keys = (gate_key(secret, found.id, found.generation) for secret in _config().secrets)
    if not any(hmac.compare_digest(proof, proof_of(key)) for key in keys):
        raise ServiceError("gate_unpaired")
    return found


def of_activity(organiser: Organiser, activity: int) -> Sequence[Gate]:
    """The gates of an activity. ServiceError not_found, forbidden."""
    check_editable(organiser, activity)
    return db.session.scalars(scoped(select(Gate), Gate.activity_id == activity).order_by(Gate.id)).all()


def check_editable(organiser: Organiser, activity: int) -> None:
    """ServiceError not_found, forbidden unless the organiser leads the activity."""
    activities.for_organiser(activity, organiser)
    if not organiser_may_edit(organiser, activity):
        raise ServiceError("forbidden")


def locked(organiser: Organiser, activity: int, gate: int) -> Gate:
    """A gate of an activity that the organiser leads, held until the transaction ends; ServiceError not_found."""
    check_editable(organiser, activity)
    question = scoped(select(Gate), Gate.id == gate, Gate.activity_id == activity).with_for_update()
    found = db.session.scalar(question.execution_options(populate_existing=True))
    if found is None:
        raise ServiceError("not_found")
    return found


def proven(
    occasion: Occasion, attempts: Sequence[Attempt], now: datetime
) -> tuple[dict[Key, Claim], dict[Key, ServiceError]]:
    """What the codes of those `attempts` that bring one prove, and why the others prove nothing."""
    read_codes = {one.key: read(one.code or "") for one in attempts if one.method == "onsite_qr"}
    numbers = {claim.gate for claim in read_codes.values() if claim is not None and claim.gate <= LARGEST}
    gates: dict[int, Gate] = {}
    if numbers:
        question = scoped(select(Gate), Gate.id.in_(numbers)).execution_options(populate_existing=True)
        gates = {gate.id: gate for gate in db.session.scalars(question)}
    claims: dict[Key, Claim] = {}
    refused: dict[Key, ServiceError] = {}
    for one in attempts:
        if one.method == "onsite_qr":
            claim = read_codes[one.key]
            code = refusal(occasion, one, claim, gates.get(claim.gate) if claim else None, now)
            if claim is None or code is not None:
                refused[one.key] = ServiceError(code or "gate_code_unknown")
            else:
                claims[one.key] = claim
    return claims, refused


def refusal(occasion: Occasion, attempt: Attempt, claim: Claim | None, gate: Gate | None, now: datetime) -> str | None:
    """Why a code proves nothing; None if it does. A forged one is told no more than an unknown one."""
    if claim is None or gate is None or gate.revoked_at is not None or not gate.generation:
        return "gate_code_unknown"
    if not any(claim.holds_for(gate_key(secret, gate.id, gate.generation)) for secret in _config().secrets):
        return "gate_code_unknown"
    sittings = {window.sitting for window in occasion.windows}
    if gate.activity_id != occasion.id or claim.sitting not in sittings or attempt.sitting not in (None, claim.sitting):
        return "gate_code_elsewhere"
    return None if claim.is_fresh(now) else "gate_code_expired"


def _pairing(gate: Gate, now: datetime) -> str:
    code = "".join(secrets.choice(ALPHABET) for _ in range(16))
    gate.pairing_hash, gate.pairing_expires_at = hashed(code), now + PAIRING
    db.session.commit()
    return "-".join(code[at : at + 4] for at in range(0, 16, 4))


def _config() -> Config:
    config: Config = current_app.config["CHUNSHUI"]
    return config
