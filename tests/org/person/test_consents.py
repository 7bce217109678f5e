"""Consents and legal bases: dated, repeatable, and only where consent is what counts."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from service import audit, register
from service.audit.models import Note
from service.clock import now as read_clock
from service.errors import ServiceError
from service.org.person import consents
from service.org.person.models import LegalBasis
from tests.factories import bearer, make_member

CONSENTS = "/api/v1/me/consents"
REMINDERS = {"purpose": "reminders", "version": "2026-09"}


def test_give_see_and_withdraw(client: Any, db: Session) -> None:
    member = make_member()
    headers = bearer(member=member)
    first = client.post(CONSENTS, json=REMINDERS, headers=headers)
    assert (first.status_code, first.json["withdrawn_at"]) == (201, None)
    assert client.post(CONSENTS, json=REMINDERS | {"version": "2027-01"}, headers=headers).json == first.json
    assert consents.agrees(member.id, "reminders")
    for _ in range(2):
        assert client.delete(f"{CONSENTS}/reminders", headers=headers).status_code == 204
    assert not consents.agrees(member.id, "reminders")
    client.post(CONSENTS, json=REMINDERS, headers=headers)
    listed = client.get(CONSENTS, headers=headers).json["consents"]
    assert [one["withdrawn_at"] is None for one in listed] == [False, True]
    events = ["consent.given", "consent.withdrawn", "consent.given"]
    assert list(db.scalars(select(Note.event).order_by(Note.id))) == events


@pytest.mark.parametrize("purpose", ["attendance", "nonsense"])
def test_nobody_is_asked_to_consent_to_what_rests_on_something_else(client: Any, purpose: str) -> None:
    answer = client.post(CONSENTS, json=REMINDERS | {"purpose": purpose}, headers=bearer())
    assert (answer.status_code, answer.json["code"]) == (422, "validation")


def test_a_legal_basis_is_recorded_with_its_dates(db: Session) -> None:
    now = read_clock()
    consents.record_basis("attendance", "consent", reference="法务 2026-1", now=now)
    consents.record_basis("attendance", "duty", reference="法务 2026-2", now=now)
    rows = db.scalars(select(LegalBasis).order_by(LegalBasis.id)).all()
    assert [(row.basis, row.until is None) for row in rows] == [("consent", False), ("duty", True)]
    assert consents.recorded() == {"attendance": "duty"}
    with pytest.raises(ServiceError, match="validation"):
        consents.record_basis("attendance", "whim", reference="", now=now)


def test_a_recorded_basis_counts_and_is_in_the_register(db: Session) -> None:
    member = make_member()
    consents.record_basis("attendance", "consent", reference="法务 2026-1", now=read_clock())
    consents.give(member.id, "attendance", version="1", actor=audit.OPERATOR, now=read_clock())
    assert consents.agrees(member.id, "attendance")
    [row] = [line for line in register.page(consents.recorded()).splitlines() if line.startswith("| `stays`")]
    assert "个人同意" in row
