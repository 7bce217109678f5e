"""No phone or identity number is opened without a note in the audit log; who opens anything at all is listed here."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from service import audit, sealing
from service.audit.models import Note
from service.audit.notes import pseudonym
from service.config import Config
from service.org.people import export, identity, rotation
from service.sealing import Key, Keyring
from tests.factories import make_member
from tests.org.people.conftest import NOW, identity_of, phone_of

SERVICE = Path(sealing.__file__).parent
ASKER = audit.Party("organiser", 17)
# Every function that opens a seal. A new one is entered here, and below if what it opens is a person's.
OPENING = {
    "org/people/identity.py reveal": "a number, for who asks",
    "org/people/export.py _number": "numbers, for who takes the roster along",
    "org/people/rotation.py _store": "numbers, to seal them anew",
    "org/errands/pieces.py opened": "tables that were sent in or made, noted when they came and when they are fetched",
    "notify/endpoints.py _open": "secrets of a receiver, to sign what it is sent",
    "org/accounts/factor.py _unsealed": "an authenticator's secret, to check a code",
    "org/accounts/provider/journeys.py unsealed": "our own cookie",
    "sealing.py unseal": "what the others call",
}


def opening(path: Path) -> Iterator[str]:
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef) and any(
            isinstance(node, ast.Attribute) and node.attr == "unseal" for node in ast.walk(function)
        ):
            yield f"{path.relative_to(SERVICE)} {function.name}"


def test_who_opens_a_seal_is_listed() -> None:
    assert {one for path in SERVICE.rglob("*.py") for one in opening(path)} == OPENING.keys()


@pytest.fixture
def ana(db: Session) -> int:
    member = make_member().id
    identity.identify(member, {"phone": phone_of(1), "identity": identity_of(1)})
    db.commit()
    return member


@pytest.fixture
def noted(db: Session, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """For every number that is opened: the events that were noted before."""
    found: list[list[str]] = []
    genuine = Key.unseal

    def unseal(self: Key, sealed: bytes, context: str) -> bytes:
        found.append(list(db.scalars(select(Note.event).order_by(Note.id))))
        return genuine(self, sealed, context)

    monkeypatch.setattr(Key, "unseal", unseal)
    return found


def turned(config: Config) -> Keyring:
    """The keys after a new one was put first."""
    return replace(
        config, secret_key="another secret that only the tests know", previous_secret_key=config.secret_key
    ).keyring


@pytest.mark.parametrize(
    ("read", "event", "numbers"),
    [
        (lambda ana, config: identity.reveal(ana, "phone", to=ASKER, now=NOW), "plaintext.read", 1),
        (lambda _, config: list(export.rows("", ring=config.keyring, reveal=True, now=NOW)), "plaintext.read", 2),
        (lambda _, config: list(export.rows("", ring=config.keyring, reveal=False, now=NOW)), "data.exported", 0),
        (lambda _, config: rotation.rotate(turned(config), batch=1, now=NOW), "key.rotated", 2),
    ],
)
def test_a_number_is_opened_after_it_was_noted(
    ana: int,
    noted: list[list[str]],
    db: Session,
    config: Config,
    read: Callable[[int, Config], Any],
    event: str,
    numbers: int,
) -> None:
    read(ana, config)
    assert noted == [[event]] * numbers
    assert db.scalars(select(Note.event)).first() == event


def test_the_note_stays_whatever_becomes_of_who_read(ana: int, db: Session, config: Config) -> None:
    assert identity.reveal(ana, "phone", to=ASKER, now=NOW) == phone_of(1)
    db.rollback()
    note = db.scalars(select(Note)).one()
    assert (note.actor, note.subject) == (
        pseudonym(ASKER, config),
        pseudonym(audit.Party("member", ana), config),
    )
    assert note.details == {"what": "phone"}


def test_a_rotation_says_what_it_did(ana: int, db: Session, config: Config) -> None:
    ring = turned(config)
    rotation.rotate(ring, now=NOW)
    told = [(note.actor, note.event, note.details) for note in db.scalars(select(Note).order_by(Note.id))]
    what = {"what": "numbers", "key": ring.current.id}
    ended = {"step": "ended", "rows": 2, "broken": 0, "doubled": 0}
    assert told == [
        ("operator", "key.rotated", what | {"step": "begun"}),
        ("operator", "key.rotated", what | ended),
    ]
    rotation.rotate(ring, now=NOW)
    assert len(db.scalars(select(Note)).all()) == 2
