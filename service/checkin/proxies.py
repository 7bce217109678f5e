"""Proxies (代签): entered by one organiser with a reason, standing once a second one has confirmed, and few."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import func, select, text

from service.checkin.models import CheckIn
from service.checkin.occasion import Occasion
from service.checkin.records import Attempt, Key
from service.errors import ServiceError
from service.extensions import db
from service.scope import scoped

# Taken before any row: of one organiser's batches one counts at a time.
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('proxies'), hashtext(:activity || ':' || :organiser))")


def beyond_cap(occasion: Occasion, attempts: Sequence[Attempt]) -> dict[Key, ServiceError]:
    """Those proxies among `attempts` that are more than one person may enter; held until the transaction ends."""
    entered: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.method == "proxy" and attempt.entered_by is not None:
            entered[attempt.entered_by].append(attempt)
    refused: dict[Key, ServiceError] = {}
    for organiser in sorted(entered):
        db.session.execute(LOCK, {"activity": str(occasion.id), "organiser": str(organiser)})
        left = max(0, occasion.margins.proxy_cap - entered_already(occasion.id, organiser))
        refused |= {
            one.key: ServiceError("proxy_cap", most=occasion.margins.proxy_cap) for one in entered[organiser][left:]
        }
    return refused


def entered_already(activity: int, organiser: int) -> int:
    """How many proxies the organiser has entered for the activity that were not taken back."""
    question = select(func.count()).select_from(CheckIn)
    mine = (CheckIn.method == "proxy", CheckIn.entered_by == organiser, CheckIn.annulled_at.is_(None))
    return db.session.scalar(scoped(question, CheckIn.activity_id == activity, *mine)) or 0
