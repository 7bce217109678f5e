"""The roster as a table for outside. With the numbers in the clear it can be enrolled again and changes nothing."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import text

from service import audit
from service.extensions import db
from service.org.people.identity import context
from service.org.people.models import KINDS
from service.sealing import Keyring

HEADINGS = ("姓名", "所属党支部编号", "所属党支部名称", "手机号", "身份证号", "现居地代码", "状态", "党员类别")
BATCH = 2_000
# By member number, so that the file of a later day shows what has changed.
MEMBERS = text(
    """
    -- scope: the part of the tree that the operator named
    SELECT m.id, m.name, m.organisation_id, o.name AS organisation, m.place_code, m.status, m.category,
        p.ciphertext AS phone, p.tail AS phone_tail, i.ciphertext AS identity, i.tail AS identity_tail
    FROM members m JOIN organisations o ON o.id = m.organisation_id
    LEFT JOIN sealed_numbers p ON p.member_id = m.id AND p.kind = 'phone'
    LEFT JOIN sealed_numbers i ON i.member_id = m.id AND i.kind = 'identity'
    WHERE NOT m.rehearsal AND o.path >= :scope AND o.path < :end AND m.id > :after ORDER BY m.id LIMIT :batch
    """
)


Row = tuple[str | int | None, ...]


def rows(scope: str, *, ring: Keyring, reveal: bool, now: datetime) -> Iterator[Row]:
    """The members within the organisation at path `scope`, "" for all; numbers as tails unless `reveal`.

    That an operator takes them along is noted and committed before this returns, so before the first one leaves.
    """
    event = "plaintext.read" if reveal else "data.exported"
    audit.note(event, actor=audit.OPERATOR, now=now, details={"what": "roster", "below": scope})
    db.session.commit()
    return members(scope, ring, reveal=reveal)


def members(scope: str, ring: Keyring, *, reveal: bool) -> Iterator[Row]:
    """The same for who has noted it himself."""
    after, end = 0, scope + "/" if scope else ":"
    while found := db.session.execute(MEMBERS, {"scope": scope, "end": end, "after": after, "batch": BATCH}).all():
        after = found[-1].id
        for row in found:
            numbers = [_number(row, kind, ring, reveal=reveal) for kind in KINDS]
            yield (row.name, row.organisation_id, row.organisation, *numbers, row.place_code, row.status, row.category)


def _number(row: Any, kind: str, ring: Keyring, *, reveal: bool) -> str | None:
    ciphertext, tail = getattr(row, kind), getattr(row, f"{kind}_tail")
    if ciphertext is None:
        return None
    return ring.unseal(ciphertext, context(row.id, kind)).decode() if reveal else f"*{tail}"
