"""Keyword factories with defaults: each makes one committed row and what it cannot be without."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from flask import current_app

from service.activity.models import (
    Activity,
    ActivityInvitation,
    ActivityOrganiser,
    Series,
    Sitting,
    Stream,
    StreamSource,
)
from service.checkin.flags.models import Flag, Flagged
from service.config import Config
from service.extensions import db
from service.notify.notices.models import Notice, NoticeDelivery
from service.org.accounts.opening import add_organiser
from service.org.accounts.sessions import Terms, open_session
from service.org.errands import rules, work
from service.org.errands.rules import Wish
from service.org.errands.subjects import Found
from service.org.models import Division, Member, MemberSession, Organisation
from service.org.organisations import add_organisation
from service.org.organisers import Organiser
from service.org.people import certificates
from service.org.roster import invite, member_facts
from service.tokens import issue_access

PASSWORD = "correct horse battery"
HOUR = timedelta(hours=1)

_numbers = count(1)


def make_division(
    code: str = "51", *, name: str = "四川省", level: str = "province", parent: Division | None = None
) -> Division:
    """A division; the one that is there if the code is."""
    found = db.session.get(Division, code)
    if found is not None:
        return found
    path = f"{parent.path}.{code}" if parent else code
    division = Division(code=code, name=name, level=level, parent_code=parent.code if parent else None, path=path)
    db.session.add(division)
    db.session.commit()
    return division


def make_place() -> Division:
    """A county of Tibet below its prefecture and region."""
    region = make_division("54", name="西藏自治区")
    prefecture = make_division("5401", name="拉萨市", level="prefecture", parent=region)
    return make_division("540102", name="城关区", level="county", parent=prefecture)


def make_organisation(
    *, name: str = "", level: str = "branch", parent: Organisation | None = None, joint: str | None = None
) -> Organisation:
    """An organisation, a root without `parent`."""
    organisation = add_organisation(name or f"第{next(_numbers)}党支部", level=level, parent=parent, joint=joint)
    db.session.commit()
    return organisation


def make_member(
    *, organisation: Organisation | None = None, place: Division | None = None, name: str = "张三"
) -> Member:
    """A member of `organisation`, of a new branch without one."""
    organisation = organisation or make_organisation()
    member = Member(name=name, organisation_id=organisation.id, place_code=place.code if place else None)
    db.session.add(member)
    db.session.commit()
    return member


def make_invitation(*, member: Member | None = None, now: datetime | None = None) -> str:
    """The code of a fresh invitation of `member`."""
    [code] = invite([(member or make_member()).id], now or datetime.now(UTC))
    db.session.commit()
    return code


def make_certificate(member: int) -> str:
    """A certificate of activity of a member."""
    facts = member_facts(member)
    assert facts is not None
    config: Config = current_app.config["CHUNSHUI"]
    made = certificates.issue(facts, "张三", secret=config.signing_secrets[0], seconds=600, now=datetime.now(UTC))
    return made.token


def make_token(*, member: Member | None = None, now: datetime | None = None) -> str:
    """An access token of `member`, with a session of its own as after a log-in."""
    member = member or make_member()
    now = now or datetime.now(UTC)
    session = MemberSession(member_id=member.id, app="mini_program", created_at=now, expires_at=now + 24 * HOUR)
    db.session.add(session)
    db.session.commit()
    config: Config = current_app.config["CHUNSHUI"]
    facts = member_facts(member.id)
    assert facts is not None
    return issue_access(
        config.secret_key,
        member=member.id,
        organisation=facts.home,
        place=facts.place_path,
        session=session.id,
        now=now,
        seconds=config.access_token_seconds,
    )


def bearer(*, member: Member | None = None, now: datetime | None = None) -> dict[str, str]:
    """The request headers of `member`."""
    return {"Authorization": f"Bearer {make_token(member=member, now=now)}"}


def make_organiser(
    *,
    organisation: Organisation | None = None,
    login: str = "",
    name: str = "李组织",
    role: str = "organiser",
    now: datetime | None = None,
) -> tuple[Organiser, str]:
    """An organiser who has logged in with two factors, and his cookie; the password is PASSWORD."""
    organisation = organisation or make_organisation(level="city")
    login, now = login or f"organiser{next(_numbers)}", now or datetime.now(UTC)
    number = add_organiser(
        login, name=name, password=PASSWORD, organisation_id=organisation.id, role=role, now=now - HOUR
    )
    terms = Terms.of(current_app.config["CHUNSHUI"])
    opened = open_session(number, login, two_factors=True, terms=terms, now=now)
    return opened.organiser, opened.cookie


def make_errand(organiser: Organiser, now: datetime, mark: str = "") -> int:
    """An import of the organiser's that has been compared, with the outcome "seen"; its texts hold `mark`."""
    wish = Wish(subject="roster", organisation_id=organiser.organisation_id, language="zh")
    errand = rules.send_in(wish, organiser, [f"姓名,党支部{mark}\n".encode()], now)
    found = Found({"refused": 1}, "seen", ["行"], [(mark,)], [{"row": 2, "fate": "refused", "details": mark}])
    work.show(errand.id, found)
    return errand.id


def make_activity(
    *,
    lead: Organisation | None = None,
    invited: Sequence[Organisation] = (),
    now: datetime | None = None,
    opens: timedelta = -HOUR,
    closes: timedelta = HOUR,
    series: str | None = None,
    **fields: Any,
) -> Activity:
    """An activity with one sitting and one stream, all open from `now` + `opens` to `now` + `closes`.

    `rostered` if somebody is invited, else `open`; `sittings[0].streams[0]` is the stream.
    """
    now = now or datetime.now(UTC)
    lead = lead or make_organisation(level="city")
    begin, end = now + opens, now + closes
    source = StreamSource(kind="hls", url="https://live.example.org/1.m3u8")
    stream = Stream(title="现场直播", opens_at=begin, closes_at=end, sources=[source])
    sitting = Sitting(starts_at=begin, ends_at=end, checkin_opens_at=begin, checkin_closes_at=end, streams=[stream])
    values = {"kind": "themed_day", "theme": "学习新思想、建功新时代", "edition": "1" if series else None} | fields
    activity = Activity(
        attendance=values.pop("attendance", "rostered" if invited else "open"),
        series=Series(name=series) if series else None,
        organisers=[ActivityOrganiser(organisation_id=lead.id, tier="lead", position=0)],
        invitations=[ActivityInvitation(organisation_id=organisation.id) for organisation in invited],
        sittings=[sitting],
        **values,
    )
    db.session.add(activity)
    db.session.commit()
    return activity


def make_stream(**fields: Any) -> Stream:
    """A stream of a new activity; `fields` as for `make_activity`."""
    return make_activity(**fields).sittings[0].streams[0]


def make_notice(
    activity: Activity, member: Member, *, path: str, text: str = "请参加", now: datetime | None = None
) -> tuple[Notice, NoticeDelivery, NoticeDelivery]:
    """An own text that the organisation at `path` told `member`: the notice, one given up, and one in the inbox."""
    now = now or datetime.now(UTC)
    words = {"zh": {"title": text[:20], "text": text}}
    notice = Notice(
        key=f"factory-{next(_numbers)}",
        kind="own_text",
        organisation_path=path,
        activity_id=activity.id,
        texts=words,
        facts={},
        audience={"name": "activity"},
        state="told",
        due_at=now,
        expires_at=now + 24 * HOUR,
        told_at=now,
    )
    common = {"member_id": member.id, "organisation_path": member.organisation.path, "language": "zh"}
    life = {"due_at": now, "give_up_at": notice.expires_at}
    dead = NoticeDelivery(notice=notice, lane="apns", address="a", state="dead", last_error="410", **common, **life)
    lies = NoticeDelivery(notice=notice, lane="inbox", state="delivered", delivered_at=now, **common, **life)
    db.session.add_all([notice, dead, lies])
    db.session.commit()
    return notice, dead, lies


def make_flag(activity: Activity, check_in: int, *, now: datetime, note: str | None = None) -> Flag:
    """A flag about one check-in, resolved if there is a `note`."""
    resolved = {"resolved_at": now, "resolved_by": 1, "note": note} if note else {}
    flag = Flag(activity_id=activity.id, kind="place", subject=str(check_in), raised_at=now, **resolved)
    db.session.add(flag)
    db.session.flush()
    db.session.add(Flagged(flag_id=flag.id, check_in_id=check_in))
    db.session.commit()
    return flag
