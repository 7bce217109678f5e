"""The secretary's desk: check-ins that an organiser enters for members, many at once, each with its own answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.checkin import refusals
from service.checkin.records import Attempt
from service.checkin.rules import Answer, check_in
from service.checkin.scope import LARGEST_MEMBER, Person, activity_of, people
from service.errors import ServiceError
from service.extensions import db
from service.org.organisers import Organiser


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What an organiser says of one member."""

    member: int
    reference: str
    method: str
    sitting: int | None = None
    happened_at: datetime | None = None
    reason: str | None = None
    group_session: int | None = None

    def attempt(self, person: Person | None, by: int) -> Attempt:
        """The same as the rule wants it, of nobody whom the organiser may act for if there is no `person`."""
        told = {name: getattr(self, name) for name in self.__slots__}
        organisation, place = (person.organisation, person.place) if person else ("", "")
        return Attempt(**told, organisation=organisation, place=place, entered_by=by)


def enter(organiser: Organiser, activity: int, entries: Sequence[Entry], now: datetime) -> list[Answer]:
    """The answer to each entry, in their order; committed. Whoever lies outside the organiser's reach is unknown.

    ServiceError not_found for an activity that does not concern the organiser's part of the tree.
    """
    activity_of(organiser, activity)
    found = people(organiser, {entry.member for entry in entries}, now)
    known = [entry for entry in entries if entry.member in found]
    attempts = [entry.attempt(found[entry.member], organiser.id) for entry in known]
    answers = iter(check_in(activity, attempts, now))
    foreign = [stranger(entry).attempt(None, organiser.id) for entry in entries if entry.member not in found]
    refusals.keep(activity, [(attempt, "member_unknown") for attempt in sorted(foreign, key=lambda one: one.key)], now)
    db.session.commit()
    unknown = Answer(refusal=ServiceError("member_unknown"))
    return [next(answers) if entry.member in found else unknown for entry in entries]


def stranger(entry: Entry) -> Entry:
    """The same as it may be kept: what cannot be a member's number may be somebody's phone or identity number."""
    return entry if entry.member <= LARGEST_MEMBER else replace(entry, member=0)
