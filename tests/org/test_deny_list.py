"""The deny list's cache: fresh enough, cheap, and failing open."""

from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from service.org import access
from service.tokens import Actor, DenyList

ANA = Actor(1, "1", "", frozenset({"member"}), session=7, issued_at=0, expires_at=1)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[Any]:
    """Let the database answer one after the other; what is left of them."""
    left = list(answers)

    def load() -> DenyList:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return DenyList(answer)

    monkeypatch.setattr(access, "load_deny_list", load)
    return left


def test_it_is_loaded_once_in_a_while(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    cache = access.DenyListCache(5.0, lambda: now[0])
    left = answering(monkeypatch, [], [7])
    assert not cache().denies(ANA)
    now[0] += 4.9
    assert not cache().denies(ANA)
    assert len(left) == 1
    now[0] += 0.1
    assert cache().denies(ANA)


def test_a_revocation_here_is_seen_at_once(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    cache = access.DenyListCache(5.0, lambda: now[0])
    answering(monkeypatch, [], [7])
    cache()
    cache.expire()
    assert cache().denies(ANA)


def test_without_a_database_the_last_known_list_stays(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    cache = access.DenyListCache(5.0, lambda: now[0])
    away = OperationalError("SELECT", {}, Exception("connection refused"))
    left = answering(monkeypatch, [7], away, [])
    assert cache().denies(ANA)
    now[0] += 5
    assert cache().denies(ANA)
    assert cache().denies(ANA)
    assert len(left) == 1, "asked again only when it is due again"
    now[0] += 5
    assert not cache().denies(ANA)
