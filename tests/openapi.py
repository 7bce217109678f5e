"""What the run over the OpenAPI document needs: two provinces, who asks, and a call of each operation that succeeds."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import insert, true

from service.activity.models import Activity
from service.checkin import desk, refusals
from service.checkin.attendance import leaves, make_ups, roster
from service.checkin.attendance.make_ups import Effort
from service.checkin.group import sessions
from service.checkin.group.sessions import Screen
from service.checkin.onsite import gates
from service.checkin.onsite.codes import proof_of
from service.checkin.records import Attempt, check_ins_of
from service.checkin.rules import check_in
from service.config import Config
from service.extensions import db
from service.notify import endpoints
from service.notify.models import Delivery, Outbox
from service.org.accounts import clients, factor, grants, recovery
from service.org.accounts.sessions import Terms, open_session
from service.org.login import hashed
from service.org.models import Division, Member, MemberSession, Organisation, RefreshToken, WechatIdentity
from service.org.organisers import Organiser
from service.org.people import attachments, offices
from service.org.people.attachments import Wish
from service.org.people.identity import identify
from tests.factories import (
    PASSWORD,
    bearer,
    make_activity,
    make_certificate,
    make_errand,
    make_flag,
    make_invitation,
    make_member,
    make_notice,
    make_organisation,
    make_organiser,
)
from tests.org.accounts.people import code_at

# Every text of the other province holds it, and none that anybody is asked or sends.
MARK = "ZQ7XWVK"
COOKIE = "chunshui_organiser"
ROLES = ("organiser", "system_administrator", "security_administrator", "auditor")
REFERENCE = "reference-1"
REFRESH = "a refresh token of the member"


@dataclass
class Province:
    """What there is of everything, and how who stands there asks."""

    numbers: dict[str, int]
    texts: dict[str, str]
    credentials: dict[str, dict[str, Any]]


def make_province(mark: str, place: Division, now: datetime) -> Province:
    """A province; each text that somebody could be shown of it holds `mark`."""
    config: Config = current_app.config["CHUNSHUI"]
    top, city, branch, guests = make_tree(mark)
    people = {one: make_organiser(organisation=top, role=one, name=f"李{mark}", login=f"{one}{mark}") for one in ROLES}
    organiser, system, security = (people[role][0] for role in ROLES[:3])
    other = make_organiser(organisation=city, name=f"王{mark}", login=f"other{mark}")[0]
    factor.begin(organiser.id, key=config.secret_key)
    member = make_member(organisation=branch, place=place, name=f"张{mark}")
    identify(member.id, {"phone": "13912345678" if mark else "13800138000"})
    db.session.add(WechatIdentity(appid=config.wechat_appid, openid=f"o{mark}", member_id=member.id))
    db.session.commit()
    activity, coming = (
        make_activity(lead=city, invited=[top], theme=what + mark, series=what + mark) for what in ("主题", "预告")
    )
    stream = activity.sittings[0].streams[0]
    stream.title, stream.sources[0].url = f"直播{mark}", f"https://live.example.org/{mark}.m3u8"
    push, secrets, issued = make_programme(organiser, mark, now)
    gate, pairing = gates.register(organiser, activity.id, f"门口{mark}", now)
    watching = Screen(reference="screen-1", organisation=branch.id, place=f"村活动室{mark}", screen="tv")
    desk.enter(organiser, coming.id, [desk.Entry(member=member.id, reference="entry-of-1", method="group")], now)
    notice, dead, lies = make_notice(activity, member, path=city.path, text=f"通知{mark}", now=now)
    paired = gates.pair(gates.register(organiser, activity.id, f"大厅{mark}", now)[1], now)
    numbers = {
        **make_attendance(activity, member, other, mark, now),
        "group_session_id": sessions.begin(organiser, activity.id, watching, now)[0].id,
        "notice_id": notice.id,
        "told_id": dead.id,
        "item_id": lies.id,
        "gate_id": gate.id,
        "paired": paired.gate.id,
        "unfrozen": coming.id,
        "activity_id": activity.id,
        "sitting": activity.sittings[0].id,
        "stream_id": stream.id,
        **push,
        "member_id": member.id,
        "office_id": offices.appoint(member, branch, title=f"委员{mark}", starts_on=now.date()).id,
        "attachment_id": make_stay(member, guests, mark, now),
        "session_id": make_session(member, now),
        "organiser_session_id": open_session(
            organiser.id, f"organiser{mark}", two_factors=True, terms=Terms.of(config), now=now
        ).organiser.session,
        "number": branch.id,
        "visitor": make_member(organisation=guests, name=f"孙{mark}").id,
        "organisation_id": guests.id,
        "parent": city.id,
        "to": city.id,
        "errand_id": make_errand(other, now, mark),
        "account_id": other.id,
        "recovery_id": recovery.propose(system, other.id, now).id,
        "grant_id": grants.of_account(security, other.id)[0].id,
    }
    texts = {
        "pairing": pairing,
        "certificate": make_certificate(numbers["visitor"]),
        "proof": base64.urlsafe_b64encode(proof_of(paired.key)).decode(),
        "invitation": make_invitation(member=make_member(organisation=branch, name=f"赵{mark}")),
        **secrets,
        "authenticator": factor.pending(organiser.id, "x", keys=config.secrets).secret,
        "recovery": recovery.issue_now(system.id, now),
        "login": f"organiser{mark}",
        "recovered": f"system_administrator{mark}",
        "refresh_token": make_refresh_token(member, REFRESH + mark, now),
    }
    cookies = {role: {"cookies": {COOKIE: cookie}} for role, (_, cookie) in people.items()}
    tokens = {"member": bearer(member=member), "programme": {"Authorization": f"Bearer {issued}"}}
    bearers = {asker: {"headers": headers} for asker, headers in tokens.items()}
    return Province(numbers, texts, {**cookies, **bearers, "nobody": {}})


def make_tree(mark: str) -> tuple[Organisation, Organisation, Organisation, Organisation]:
    """A province, a city, and two branches of it."""
    top = make_organisation(level="province", name=f"省委{mark}")
    city = make_organisation(level="city", parent=top, name=f"市委{mark}")
    branch, guests = (make_organisation(parent=city, name=f"{which}支部{mark}") for which in "甲乙")
    return top, city, branch, guests


def make_programme(organiser: Organiser, mark: str, now: datetime) -> tuple[dict[str, int], dict[str, str], str]:
    """A push service with its receiver: their numbers, its credentials, and a token."""
    key = current_app.config["CHUNSHUI"].secret_key
    endpoint, _ = endpoints.register(
        organiser, url=f"https://example.org/{mark}", topics=["stream.count"], secret=key, private=False
    )
    client, secret = clients.register(organiser, name=f"推送{mark}", scopes=list(clients.SCOPES), now=now)
    numbers = {
        "endpoint_id": endpoint.id,
        "delivery_id": make_delivery(endpoint.id, mark, now),
        "client_id": client.id,
    }
    issued, _ = clients.issue(client.client_id, secret, scope=None, key=key, now=now)
    return numbers, {"client_id": client.client_id, "client_secret": secret}, issued


def make_attendance(
    activity: Activity, member: Member, organiser: Organiser, mark: str, now: datetime
) -> dict[str, int]:
    """A check-in of one's own, a proxy to confirm, a refusal, a request for leave, a make-up, and a frozen roster."""
    absent = make_member(organisation=member.organisation, name=f"钱{mark}")
    place = member.place.path if member.place else ""
    own = Attempt(member=member.id, organisation=member.organisation.path, place=place, reference=REFERENCE)
    where: dict[str, Any] = {"member": absent.id, "organisation": absent.organisation.path, "place": ""}
    proxy = Attempt(**where, reference="proxy-of-1", method="proxy", entered_by=organiser.id, reason=f"无手机{mark}")
    check_in(activity.id, [own, proxy, Attempt(**where, reference="reference-0", sitting=10**12)], now)
    ill = make_member(organisation=member.organisation, name=f"孙{mark}")
    roster.freeze(activity.id, now)
    replay = Effort(reference="reference-8", kind="replay", reason=f"回看{mark}", happened_at=now)
    return {
        "make_up_id": make_ups.make_up(activity.id, ill.id, replay, by=organiser.id, now=now)[0].id,
        "absent": absent.id,
        "check_in_id": check_ins_of(activity.id, absent.id)[0].id,
        "flag_id": make_flag(activity, check_ins_of(activity.id, absent.id)[0].id, now=now).id,
        "refusal_id": refusals.waiting(activity.id, true())[0].id,
        "leave_id": leaves.ask(activity.id, absent.id, reason=f"出差{mark}", by=None, now=now).id,
    }


def make_stay(member: Member, guests: Organisation, mark: str, now: datetime) -> int:
    """A stay that both sides have yet to confirm."""
    wish = Wish(organisation_id=guests.id, reason=f"务工{mark}", starts_on=now.date())
    return attachments.propose(member, wish, by="home", now=now).id


def make_delivery(endpoint: int, mark: str, now: datetime) -> int:
    """A dead delivery of an event."""
    event = insert(Outbox).values(topic="stream.count", payload={"text": mark}, organisation_paths=["1"])
    number = db.session.scalar(event.returning(Outbox.id))
    row = Delivery(outbox_id=number, endpoint_id=endpoint, state="dead", due_at=now, give_up_at=now, last_error=mark)
    db.session.add(row)
    db.session.commit()
    return row.id


def make_session(member: Member, now: datetime) -> int:
    """A log-in of a member."""
    until = now + timedelta(days=1)
    session = MemberSession(member_id=member.id, app="mini_program", created_at=now, expires_at=until)
    db.session.add(session)
    db.session.commit()
    return session.id


def make_refresh_token(member: Member, token: str, now: datetime) -> str:
    """A session of a member and the token to refresh it."""
    session, until = make_session(member, now), now + timedelta(days=1)
    db.session.add(RefreshToken(session_id=session, token_hash=hashed(token), expires_at=until))
    db.session.commit()
    return token


def good_bodies(at: Province, secrets: Province, code: str) -> dict[str, Any]:
    """For each operation with a body one that succeeds for whoever may: the numbers of one, the secrets of another."""
    numbers, texts = at.numbers, secrets.texts
    today, window = datetime.now(UTC).date().isoformat(), sitting_window()
    branch, new_password = numbers["organisation_id"], "another horse battery"
    holding = [{"id": numbers["parent"], "tier": "lead"}]
    stay = {"organisation_id": branch, "reason": "务工", "starts_on": today}
    return {
        "PATCH /me": {"name": "李四"},
        "POST /me/erasure": {"confirm": "erase"},
        "POST /me/consents": {"purpose": "reminders", "version": "1"},
        "POST /me/attachments": stay,
        "PUT /me/notice-preferences": {
            "language": "en", "timezone": "Asia/Urumqi", "quiet_from": "22:00", "quiet_until": "07:00",
            "channels": ["apns"],
        },
        "PUT /me/devices": {"channel": "apns", "address": "a-device"},
        "POST /me/subscriptions": {"reference": "r", "choices": {"template": "accept"}},
        "POST /endpoints/{endpoint_id}/replay": {"since": "2026-01-01T00:00:00Z"},
        "POST /activities/{activity_id}/notices": {
            "reference": "r", "kind": "own_text", "texts": {"zh": {"title": "通知", "text": "请参加"}}
        },
        "POST /activities/{activity_id}/notices/preview": {"kind": "announced", "below": numbers["parent"]},
        "POST /sessions": {"app": "mini_program", "code": code, "invitation": texts["invitation"]},
        "POST /sessions/refresh": {"refresh_token": texts["refresh_token"]},
        "POST /clients": {"name": "推送", "scopes": ["endpoints:read"]},
        "POST /accounts": {"login": "new", "name": "新", "organisation_id": numbers["parent"]},
        "POST /accounts/{account_id}/grants": {
            "role": "organiser", "purpose": "push", "organisation_id": numbers["parent"]
        },
        "POST /endpoints": {"url": "https://example.org/hook", "topics": ["stream.count"]},
        "POST /activities": {"kind": "training", "theme": "学习", "organisers": holding, "sittings": [window]},
        "PATCH /activities/{activity_id}": {"theme": "新主题"},
        **attendance_bodies(numbers, texts, today),
        "POST /oauth/token": {
            "grant_type": "client_credentials",
            "client_id": texts["client_id"],
            "client_secret": texts["client_secret"],
        },
        "POST /organisations": {"parent": numbers["parent"], "level": "county", "name": "县委"},
        "POST /organisations/{number}/changes": {"kind": "renamed", "name": "新支部"},
        "POST /divisions/{code}/changes": {"kind": "renamed", "name": "新区"},
        "POST /organisations/{number}/imports": "姓名,党支部\n甲,1\n".encode(),
        "POST /organisations/{number}/exports": {"subject": "roster"},
        "PUT /errands/{errand_id}/acceptance": {"outcome": "seen"},
        "PATCH /members/{member_id}": {"name": "王五", "phone": "13700137000"},
        "POST /members/{member_id}/attachments": stay,
        "POST /organisations/{number}/attachments": {
            "certificate": texts["certificate"], "reason": "务工", "starts_on": today
        },
        "POST /members/{member_id}/offices": {"organisation_id": branch, "title": "书记", "starts_on": today},
        "PATCH /members/{member_id}/offices/{office_id}": {"ends_on": "2030-01-01"},
        "POST /organisers/sessions": {"login": texts["login"], "password": PASSWORD},
        "POST /organisers/recovery": {
            "login": texts["recovered"], "code": texts["recovery"], "password": new_password
        },
        "POST /organisers/me/provider": {"password": PASSWORD},
        "PUT /organisers/me/password": {"password": PASSWORD, "new_password": new_password},
        "POST /organisers/me/second-factor": {"password": PASSWORD},
        "POST /organisers/me/second-factor/confirmation": {
            # Made when it is asked for: on a busy machine the run takes longer than a code is good.
            "code": code_at(texts["authenticator"], datetime.now(UTC))
        },
    }  # fmt: skip


def attendance_bodies(numbers: dict[str, int], texts: dict[str, str], today: str) -> dict[str, dict[str, Any]]:
    """The same of the checkin room."""
    absent = numbers["absent"]
    return {
        "POST /activities/{activity_id}/check-ins": {"reference": REFERENCE},
        "POST /activities/{activity_id}/check-in-calls": {"sitting": None},
        "POST /activities/{activity_id}/check-ins/batch": {
            "check_ins": [{"member": absent, "method": "paper", "reference": "reference-2"}]
        },
        "POST /activities/{activity_id}/check-ins/{check_in_id}/annulment": {"reason": "误签"},
        "PUT /activities/{activity_id}/check-in-refusals/{refusal_id}/settlement": {"settlement": "已补"},
        "PUT /activities/{activity_id}/attendance-terms": {"late_minutes": 5},
        "PUT /activities/{activity_id}/flags/{flag_id}/resolution": {"note": "一家人"},
        "PUT /activities/{activity_id}/leave": {"reason": "出差"},
        "POST /activities/{activity_id}/leaves": {"member": absent, "reason": "出差"},
        "PUT /activities/{activity_id}/leaves/{leave_id}/decision": {"approved": True},
        "POST /activities/{activity_id}/make-ups": {
            "member": absent,
            "reference": "reference-3",
            "kind": "replay",
            "reason": "回看",
            "happened_at": datetime.now(UTC).isoformat(),
        },
        "POST /activities/{activity_id}/make-ups/{make_up_id}/annulment": {"reason": "误记"},
        "POST /activities/{activity_id}/guests": {"member": absent},
        "POST /members/{member_id}/exemptions": {"reason": "高龄", "starts_on": today},
        "POST /activities/{activity_id}/gates": {"name": "门口"},
        "POST /activities/{activity_id}/group-sessions": {
            "reference": "screen-2", "organisation": numbers["number"], "place": "村活动室", "screen": "tv"
        },
        "POST /activities/{activity_id}/group-sessions/{group_session_id}/ticks": {
            "ticks": [{"member": absent, "reference": "reference-4"}]
        },
        "PUT /activities/{activity_id}/group-sessions/{group_session_id}/headcount": {"people": 40},
        "POST /activities/{activity_id}/paper-lists": {"file": f"党员编号,姓名\n{absent},钱\n".encode()},
        "POST /gates/pairing": {"code": texts["pairing"]},
        "POST /gates/state": {"gate": numbers["paired"], "proof": texts["proof"]},
    }  # fmt: skip


def sitting_window() -> dict[str, str]:
    """A sitting of tomorrow."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    return {"starts_at": start.isoformat(), "ends_at": (start + timedelta(hours=1)).isoformat()}
