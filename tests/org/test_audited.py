"""Log-ins enter the audit log, those that were refused too; nobody is named there."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import audit
from service.audit.models import Note
from service.audit.notes import pseudonym
from service.config import Config
from service.org.people import export
from tests.factories import PASSWORD, make_invitation, make_member, make_organiser
from tests.org.conftest import WeChat

SESSIONS = "/api/v1/organisers/sessions"


def notes(db: Session) -> list[tuple[str, str]]:
    return [(note.event, note.outcome) for note in db.scalars(select(Note).order_by(Note.id))]


def test_an_organiser_logs_in_and_out(client: Any, db: Session, config: Config) -> None:
    organiser, _ = make_organiser(login="chengdu")
    client.post(SESSIONS, json={"login": "chengdu", "password": PASSWORD})
    client.delete(f"{SESSIONS}/current")
    assert notes(db) == [("login", "done"), ("login", "done"), ("logout", "done")]
    assert set(db.scalars(select(Note.actor))) == {pseudonym(audit.Party("organiser", organiser.id), config)}


def test_refused_organisers(client: Any, db: Session) -> None:
    make_organiser(login="chengdu")
    for login in ("chengdu", "nobody"):
        client.post(SESSIONS, json={"login": login, "password": "not the password"})
    assert notes(db)[1:] == [("login.failed", "refused")] * 2
    actors = list(db.scalars(select(Note.actor).order_by(Note.id)))[1:]
    assert len(set(actors)) == 2
    assert not any("chengdu" in actor for actor in actors)


def test_a_member_logs_in_and_out(client: Any, db: Session, wechat: WeChat, config: Config) -> None:
    member = make_member()
    body = {"app": "mini_program", "code": wechat.code_for("o-1"), "invitation": make_invitation(member=member)}
    token = client.post("/api/v1/sessions", json=body).json["access_token"]
    client.delete("/api/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})
    assert notes(db) == [("login", "done"), ("logout", "done")]
    assert set(db.scalars(select(Note.actor))) == {pseudonym(audit.Party("member", member.id), config)}


def test_refused_members(client: Any, db: Session, wechat: WeChat) -> None:
    """A used invitation, one who has left, and a token that was used twice; who is merely unbound was not refused."""
    member, invitation = make_member(), make_invitation()

    def log_in(openid: str, invitation: str | None) -> Any:
        body = {"app": "mini_program", "code": wechat.code_for(openid), "invitation": invitation}
        return client.post("/api/v1/sessions", json=body)

    log_in("o-1", None)
    assert notes(db) == []
    log_in("o-1", "ABCD-EFGH-JKLM-NPQR")
    opened = log_in("o-1", make_invitation(member=member)).json
    for _ in range(2):
        client.post("/api/v1/sessions/refresh", json={"refresh_token": opened["refresh_token"]})
    member.status = "left"
    db.commit()
    log_in("o-1", invitation)
    codes = [note.details.get("code") for note in db.scalars(select(Note).order_by(Note.id))]
    assert codes == ["invitation_invalid", None, "refresh_reused", "forbidden"]


def test_whoever_takes_the_roster_along(db: Session) -> None:
    for reveal in (False, True):
        export.note_export("1.2", reveal=reveal, now=datetime(2026, 9, 20, 1, tzinfo=UTC))
    assert [event for event, _ in notes(db)] == ["data.exported", "plaintext.read"]
