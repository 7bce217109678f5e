"""Log-ins enter the audit log, those that were refused too; nobody is named there."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service import audit
from service.audit.models import Note
from service.audit.notes import pseudonym
from service.config import Config
from service.org.accounts import grants, opening, recovery
from service.org.people import export
from tests.factories import PASSWORD, make_invitation, make_member, make_organisation, make_organiser
from tests.org.conftest import WeChat

SESSIONS = "/api/v1/organisers/sessions"
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


def notes(db: Session) -> list[tuple[str, str]]:
    return [(note.event, note.outcome) for note in db.scalars(select(Note).order_by(Note.id))]


def test_an_organiser_logs_in_and_out(client: Any, db: Session, config: Config) -> None:
    organiser, _ = make_organiser(login="chengdu")
    before = db.scalars(select(func.max(Note.id))).one()
    client.post(SESSIONS, json={"login": "chengdu", "password": PASSWORD})
    client.delete(f"{SESSIONS}/current")
    noted = list(db.scalars(select(Note).where(Note.id > before).order_by(Note.id)))
    assert [(note.event, note.outcome) for note in noted] == [("login", "done"), ("logout", "done")]
    assert {note.actor for note in noted} == {pseudonym(audit.Party("organiser", organiser.id), config)}


def test_refused_organisers(client: Any, db: Session) -> None:
    make_organiser(login="chengdu")
    for login in ("chengdu", "nobody"):
        client.post(SESSIONS, json={"login": login, "password": "not the password"})
    failed = list(db.scalars(select(Note).where(Note.event == "login.failed")))
    assert [(note.outcome, note.details) for note in failed] == [("refused", {"code": "login_failed"})] * 2
    actors = [note.actor for note in failed]
    assert len(set(actors)) == 2
    assert not any("chengdu" in actor for actor in actors)


def test_accounts_and_grants(db: Session, config: Config) -> None:
    """Who made an account, who granted what and withdrew it, and that its owner changed the password."""
    province = make_organisation(level="province")
    system, security = (
        make_organiser(organisation=province, role=f"{one}_administrator", now=NOW)[0] for one in ("system", "security")
    )
    before = db.scalars(select(func.max(Note.id))).one()
    number, code = opening.open_account(system, "new", name="新", organisation_id=province.id, now=NOW)
    given: dict[str, Any] = {"role": "organiser", "purpose": "push", "organisation_id": province.id}
    grant = grants.give(security, number, **given, now=NOW)
    grants.revoke(security, grant.id, NOW)
    recovery.use("new", code=code, password=PASSWORD, now=NOW)
    noted = db.scalars(select(Note).where(Note.id > before).order_by(Note.id)).all()
    names = {None: None} | {
        pseudonym(audit.Party("organiser", one), config): one for one in (system.id, security.id, number)
    }
    assert [(note.event, names[note.actor], names[note.subject], note.details) for note in noted] == [
        ("account.created", system.id, number, {"organisation": province.id}),
        ("grant.given", security.id, number, {"grant": grant.id, **described(given)}),
        ("grant.withdrawn", security.id, number, {"grant": grant.id}),
        ("account.changed", number, None, {"change": "recovery_used"}),
    ]


def described(given: dict[str, Any]) -> dict[str, Any]:
    return {"organisation" if name == "organisation_id" else name: value for name, value in given.items()}


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


def test_whoever_takes_the_roster_along(db: Session, config: Config) -> None:
    for reveal in (False, True):
        export.rows("1.2", ring=config.keyring, reveal=reveal, now=NOW)
    assert [event for event, _ in notes(db)] == ["data.exported", "plaintext.read"]
