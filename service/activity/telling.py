"""What an organiser tells those whom an activity is for: that it takes place, or a text of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import select

from service.activity import reminders, rules
from service.activity.audience import organiser_may_edit
from service.activity.models import Activity
from service.clock import iso
from service.errors import ServiceError
from service.extensions import db
from service.notify.channels.roll import configured
from service.notify.notices.audience import Means, audience_of
from service.notify.notices.models import Notice
from service.notify.notices.planning import Plan, plan
from service.notify.notices.telling import Reach, rehearse
from service.org.models import Division, Organisation
from service.org.organisers import Organiser
from service.scope import scoped

# For so long it is worth telling.
LIFE = timedelta(days=1)
# Whom an organiser may tell, and which audience that is; of who is missing a room to the right knows.
AUDIENCES = {"everybody": "activity", "unread": "unread", "missing": "missing"}
MOST = 200


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is told and to whom; `reference` makes a repeat of the request harmless."""

    kind: str
    to: str = "everybody"
    below: int | None = None
    place: str | None = None
    texts: Mapping[str, Mapping[str, str]] | None = None
    reference: str = ""


def preview(number: int, organiser: Organiser, words: Words, now: datetime) -> Reach:
    """Whom `words` would reach; writes nothing. ServiceError not_found, forbidden, division_unknown."""
    wanted = _plan(number, organiser, words, now)
    config = current_app.config["CHUNSHUI"]
    channels = list(configured(config, current_app.extensions["valkey"]))
    notice = Notice(kind=wanted.kind, activity_id=number, audience=dict(wanted.audience))
    return rehearse(audience_of(notice), Means.of(wanted.kind, channels, config))


def tell(number: int, organiser: Organiser, words: Words, now: datetime) -> Notice:
    """Have `words` told; the notice of the same reference, if there is one. Commits.

    ServiceError not_found, forbidden, division_unknown, conflict for a rehearsal, whose members are nobody.
    """
    wanted = _plan(number, organiser, words, now)
    if _by_key(wanted.key) is None:
        plan(wanted)
        db.session.commit()
    found = _by_key(wanted.key)
    if found is None:
        raise ServiceError("conflict")
    return found


def of_activity(number: int, organiser: Organiser) -> list[Notice]:
    """What is and was told of the activity, the newest first. ServiceError not_found."""
    rules.for_organiser(number, organiser)
    question = scoped(select(Notice), Notice.activity_id == number).order_by(Notice.id.desc()).limit(MOST)
    return list(db.session.scalars(question))


def _plan(number: int, organiser: Organiser, words: Words, now: datetime) -> Plan:
    activity = rules.for_organiser(number, organiser)
    if not organiser_may_edit(organiser, number):
        raise ServiceError("forbidden")
    if activity.rehearsal:
        raise ServiceError("conflict")
    narrower = {"below": _node(words.below, organiser)} if words.below else {}
    narrower |= {"place": _division(words.place)} if words.place else {}
    return Plan(
        key=f"activity:{number}:{words.kind}:{words.reference}",
        kind=words.kind,
        due_at=now,
        expires_at=_ends(activity, words, now),
        organisation_path=reminders.lead_path(activity),
        audience={"name": AUDIENCES[words.to], **narrower},
        activity_id=number,
        facts=_facts(activity),
        texts=words.texts or {},
        created_by=organiser.id,
    )


def _ends(activity: Activity, words: Words, now: datetime) -> datetime:
    """Until when it is worth telling; conflict where nobody can be missing any more."""
    if words.kind != "missing":
        return now + LIFE
    over = max(sitting.ends_at for sitting in activity.sittings)
    if over <= now:
        raise ServiceError("conflict")
    return min(over, now + LIFE)


def _node(number: int, organiser: Organiser) -> str:
    question = select(Organisation.path).where(Organisation.id == number)
    path = db.session.scalar(question.where(organiser.reaches("activities", Organisation.path)))
    if path is None:
        raise ServiceError("not_found")
    return path


def _division(code: str) -> str:
    path = db.session.scalar(select(Division.path).where(Division.code == code))
    if path is None:
        raise ServiceError("division_unknown")
    return path


def _facts(activity: Activity) -> dict[str, Any]:
    first = activity.sittings[0].starts_at
    return {"theme": activity.theme, "starts_at": iso(first), "timezone": activity.timezone}


def _by_key(key: str) -> Notice | None:
    question = scoped(select(Notice), Notice.key == key).order_by(Notice.id.desc()).limit(1)
    return db.session.scalar(question)
