"""What an organiser and the worker do with a table, step by step."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from service.errors import ServiceError
from service.extensions import db as database
from service.org.errands import rules, work
from service.org.errands.models import Errand
from service.org.errands.rules import Wish
from service.org.models import Organisation
from service.org.organisers import Organiser
from service.org.people import enrolment
from tests.org.people.conftest import identity_of, phone_of

NOW = datetime.now(UTC)
HEADINGS = "姓名,所属党支部编号,手机号,身份证号\n"


def roster(branch: Organisation, *people: int, name: str = "党员") -> bytes:
    rows = (f"{name}{one},{branch.id},{phone_of(one)},{identity_of(one)}\n" for one in people)
    return (HEADINGS + "".join(rows)).encode()


def sent(organiser: Organiser, table: bytes, *, subject: str = "roster", now: datetime = NOW) -> Errand:
    wish = Wish(subject=subject, organisation_id=organiser.organisation_id, language="en")
    return rules.send_in(wish, organiser, [table], now)


def compared(organiser: Organiser, table: bytes, **more: Any) -> Errand:
    errand = sent(organiser, table, **more)
    assert work.work_once(NOW)
    database.session.refresh(errand)
    return errand


def applied(organiser: Organiser, table: bytes, **more: Any) -> Errand:
    errand = compared(organiser, table, **more)
    assert errand.state == "compared", errand.failure
    rules.accept(errand.id, organiser, str(errand.outcome), NOW)
    assert work.work_once(NOW)
    database.session.refresh(errand)
    return errand


def lines(organiser: Organiser, errand: Errand) -> list[str]:
    _, found = rules.fetched(errand.id, organiser, NOW)
    return b"".join(found).decode("utf-8-sig").splitlines()


def refused(code: str) -> "pytest.RaisesExc[ServiceError]":
    return pytest.raises(ServiceError, match=code)


def enrolled_meanwhile(branch: Organisation, number: int) -> None:
    from service.org.people.entries import entry
    from service.org.people.identity import keyring
    from service.sheets import Row

    cells = {"name": "他人先改", "organisation": str(branch.id), "phone": phone_of(number)}
    enrolment.enrol(map(entry, [Row(2, cells)]), scope="", ring=keyring(), now=NOW)


def exported(organiser: Organiser, subject: str, format: str, day: date | None = None) -> Errand:  # noqa: A002
    wish = Wish(subject=subject, organisation_id=organiser.organisation_id, language="zh", format=format, day=day)
    errand = rules.ask_for(wish, organiser, NOW)
    assert rules.ask_for(wish, organiser, NOW).id == errand.id
    assert work.work_once(NOW)
    database.session.refresh(errand)
    assert errand.state == "made", errand.failure
    return errand
