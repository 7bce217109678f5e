"""The founding day as data: who held it, where its members are, and its re-enactment today.

On 2023-09-20 five cities of Sichuan held the themed day 学习新思想、建功新时代 in Tibet; more than 150,000 migrant
members followed it online (中国组织人事报, 2024-04-10). Loaded are the divisions, an organisation tree built on
them, the day itself, and synthetic members whose home branches lie in the five cities and whose present places
are spread over Tibet's seven prefectures. All of it may be loaded again: what is there is left as it is.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, text, true

from service.activity.copying import rehearsal_of
from service.activity.models import Activity, ActivityOrganiser, Sitting, Stream, StreamSource
from service.config import Config
from service.extensions import db
from service.home import rehearsed
from service.live.rehearsal import Candidate
from service.org.accounts import sessions
from service.org.accounts.opening import add_organiser
from service.org.accounts.passwords import hash_of, verified
from service.org.divisions import import_shipped
from service.org.models import (
    Division,
    Invitation,
    Member,
    MemberSession,
    Organisation,
    Organiser,
    OrganiserSession,
    within,
)
from service.org.tree.paths import adopt_all
from service.scope import scoped
from service.tokens import issue_access

THEME = "学习新思想、建功新时代"
HOMES = ("5101", "5103", "5114", "5109", "5113")  # 成都 自贡 眉山 遂宁 南充
PRESENT = "54"
HELD_AT = datetime(2023, 9, 20, 1, 0, tzinfo=UTC)
LASTS = timedelta(hours=2)
REHEARSAL_LASTS = timedelta(hours=12)
TOKEN_SECONDS = 3 * 3600
CHANNELS = ("mini_program", "mini_program", "mini_program", "official_account", "android", "android", "ios", "h5")
CHUNK = 10_000
# A prime: neighbours in number are strangers in branch and place, and every branch gets its share.
STRIDE = 7919
NAME = "演练 "


class Person(NamedTuple):
    """A synthetic member: its number, the ordinal that its secrets follow from, home's and place's paths."""

    id: int
    ordinal: int
    home: str
    place: str


@dataclass(frozen=True, slots=True)
class Enactment:
    """A re-enactment that members can join."""

    activity: int
    stream: int
    root: str
    invited: tuple[str, ...] = ()


def load(now: datetime) -> Enactment:
    """Divisions, tree and the day of 2023 if they are missing; and a new rehearsal that has just opened."""
    import_shipped()
    plant_tree()
    if db.session.scalar(scoped(select(Activity.id), Activity.theme == THEME, ~Activity.rehearsal)) is None:
        hold(HELD_AT, HELD_AT + LASTS, rehearsal=False)
    return enact(now, REHEARSAL_LASTS)


def enact(now: datetime, lasts: timedelta) -> Enactment:
    """A new rehearsal that has just opened, in the tree that is there; one is planted if there is none."""
    import_shipped()
    root = plant_tree()
    stream = hold(now - timedelta(minutes=1), now + lasts, rehearsal=True)
    db.session.commit()
    return Enactment(stream.sitting.activity_id, stream.id, root)


def copied(activity: int, now: datetime) -> Enactment:
    """A rehearsal of a real activity that has just opened; its members are those who are invited there."""
    import_shipped()
    stream = rehearsal_of(activity, now)
    day = stream.sitting.activity
    invited = tuple(one.organisation.path for one in day.invitations)
    root = day.organisers[0].organisation.path.split(".")[0]
    db.session.commit()
    return Enactment(day.id, stream.id, root, invited)


def plant_tree() -> str:
    """Province, five cities, their counties, a branch of migrant members for every township; the root's path."""
    root = db.session.scalar(select(Organisation.path).where(Organisation.parent_id.is_(None)).limit(1))
    if root is not None:
        return root
    found = {"51": _grow([(None, "", "四川省", "province", "51")])["51"]}
    for level, depth, suffix in (
        ("city", "prefecture", ""),
        ("county", "county", ""),
        ("branch", "township", "流动党员支部"),
    ):
        rows = db.session.execute(_homes(depth)).all()
        found |= _grow([(*found[row.parent_code], row.name + suffix, level, row.code) for row in rows])
    adopt_all()
    return found["51"][1]


def _homes(level: str) -> Select[str, str, str | None]:
    wanted = or_(*(within(Division.path, f"51.{city}") for city in HOMES))
    query = select(Division.code, Division.name, Division.parent_code).where(wanted, Division.level == level)
    return query.where(Division.valid_to.is_(None)).order_by(Division.code)


def _grow(rows: Sequence[tuple[int | None, str, str, str, str]]) -> dict[str, tuple[int, str]]:
    """Insert organisations (parent's id and path, name, level, division); id and path of each by division."""
    numbers = db.session.scalars(
        text("SELECT nextval(pg_get_serial_sequence('organisations', 'id')) FROM generate_series(1, :n)"),
        {"n": len(rows)},
    ).all()
    made, found = [], {}
    for number, (parent, path, name, level, code) in zip(numbers, rows, strict=True):
        own = f"{path}.{number}" if path else str(number)
        found[code] = (number, own)
        made.append(
            {"id": number, "parent_id": parent, "path": own, "name": name, "level": level, "division_code": code}
        )
    db.session.execute(insert(Organisation), made)
    return found


def hold(starts_at: datetime, ends_at: datetime, *, rehearsal: bool) -> Stream:
    """The day with its five organisers and one stream, in that window."""
    activity = Activity(kind="themed_day", theme=THEME, attendance="open", rehearsal=rehearsal, invitations=[])
    activity.organisers = [
        ActivityOrganiser(organisation_id=number, tier="lead", position=place) for place, number in enumerate(hosts())
    ]
    sitting = Sitting(starts_at=starts_at, ends_at=ends_at, checkin_opens_at=starts_at, checkin_closes_at=ends_at)
    stream = Stream(title="现场直播", opens_at=starts_at, closes_at=ends_at)
    stream.sources = [StreamSource(kind="hls", url="https://live.example.org/founding-day.m3u8")]
    activity.sittings, sitting.streams = [sitting], [stream]
    db.session.add(activity)
    db.session.flush()
    return stream


def hosts() -> list[int]:
    """The five cities' organisations, in the day's order; in another tree its top."""
    query = select(Organisation.division_code, Organisation.id)
    known = query.where(Organisation.division_code.in_(HOMES), Organisation.level == "city")
    cities: dict[str | None, int] = dict(db.session.execute(known).all())
    top = select(Organisation.id).where(Organisation.parent_id.is_(None)).order_by(Organisation.id).limit(1)
    return [cities[code] for code in HOMES if code in cities] or [db.session.scalars(top).one()]


def enrol_organiser(login: str, password: str, root: str, now: datetime) -> None:
    """The demo's organiser, who sees the whole tree; there already, it gets this password."""
    account = db.session.scalar(scoped(select(Organiser), Organiser.login == login))
    if account is None:
        organisation = db.session.scalars(select(Organisation).where(Organisation.path == root)).one()
        add_organiser(login, name="演练组织者", password=password, organisation_id=organisation.id, now=now)
    elif not verified(account.password_hash, password):
        account.password_hash = hash_of(password)
    db.session.commit()


def seat(login: str, config: Config, now: datetime) -> str:
    """The Cookie header of a new session of an enrolled organiser, whatever the installation asks of people."""
    account = db.session.scalars(scoped(select(Organiser.id), Organiser.login == login)).one()
    opened = sessions.open_session(account, login, two_factors=True, terms=sessions.Terms.of(config), now=now)
    # Whoever sits there waits for long, and nothing may be under way meanwhile.
    db.session.commit()
    # Under either name: whether the web process takes us for a guest over TLS depends on its settings.
    return f"chunshui_organiser={opened.cookie}; __Host-chunshui_organiser={opened.cookie}"


def dismiss_organiser(login: str) -> None:
    """Take an organiser's account away again, with its sessions."""
    number = db.session.scalar(scoped(select(Organiser.id), Organiser.login == login))
    db.session.execute(scoped(delete(OrganiserSession), OrganiserSession.organiser_id == number))
    db.session.execute(scoped(delete(Organiser), Organiser.login == login))
    db.session.commit()


def candidates(number: int, *, secret: str, now: datetime, below: Sequence[str] = ()) -> list[Candidate]:
    """`number` synthetic members with what each needs to log in; those who are missing are enrolled.

    They are at home below the paths `below`, if any are given. A member's invitation follows from the secret, so that
    it can be told again without being stored.
    """
    people = enrolled(number, secret=secret, now=now, below=below)
    return [
        Candidate(openid=openid(index), invitation=invitation(secret, index), channel=channel)
        for (_, index, _, _), channel in zip(people, cycle(CHANNELS), strict=False)
    ]


def is_synthetic() -> ColumnElement[bool]:
    """What holds for synthetic members only, and for no guest of the demo."""
    return Member.rehearsal & Member.name.like(f"{NAME}%")


def enrolled(number: int, *, secret: str, now: datetime, below: Sequence[str] = ()) -> list[Person]:
    """`number` synthetic members at home below one of the paths, the missing ones enrolled."""
    found = _people(number, below)
    if missing := number - len(found):
        first = db.session.scalar(scoped(select(func.count()).select_from(Member), is_synthetic())) or 0
        branches, places = _branches(below), _places()
        for start in range(first, first + missing, CHUNK):
            indices = range(start, min(start + CHUNK, first + missing))
            _enrol(indices, secret, now, branches=branches, places=places)
        found = _people(number, below)
    db.session.commit()
    return found


def _people(most: int, below: Sequence[str]) -> list[Person]:
    home, place = Organisation.path, func.coalesce(Division.path, "")
    query = select(Member.id, Member.name, home, place).join(Organisation, Organisation.id == Member.organisation_id)
    query = scoped(query.outerjoin(Division, Division.code == Member.place_code), is_synthetic(), _below(below))
    rows = db.session.execute(query.order_by(Member.name).limit(most)).all()
    return [Person(number, int(name.removeprefix(NAME)), *paths) for number, name, *paths in rows]


def _below(paths: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(within(Organisation.path, path) for path in paths)) if paths else true()


def ticketed(number: int, *, config: Config, now: datetime, below: Sequence[str] = ()) -> list[Candidate]:
    """The same with an access token each, for an installation that asks the real WeChat.

    Each token belongs to a session of its own, which can be revoked as any other.
    """
    people = enrolled(number, secret=config.secret_key, now=now, below=below)
    expires = now + timedelta(seconds=TOKEN_SECONDS)
    rows = [{"member_id": person.id, "app": "rehearsal", "expires_at": expires} for person in people]
    opened = insert(MemberSession).returning(MemberSession.id, sort_by_parameter_order=True)
    sessions = db.session.scalars(opened, rows).all()
    db.session.commit()
    return [
        Candidate(token=_token(person, session, config=config, now=now), channel=channel)
        for person, session, channel in zip(people, sessions, cycle(CHANNELS), strict=False)
    ]


def _token(person: Person, session: int, *, config: Config, now: datetime) -> str:
    return issue_access(
        config.secret_key,
        member=person.id,
        organisation=rehearsed(person.home),
        place=person.place,
        session=session,
        now=now,
        seconds=TOKEN_SECONDS,
    )


def openid(index: int) -> str:
    """The stand-in's name for synthetic member `index`."""
    return f"rehearsal-{index:07d}"


def invitation(secret: str, index: int) -> str:
    """The one-time code of synthetic member `index`."""
    return hmac.new(secret.encode(), f"invitation {index}".encode(), hashlib.sha256).hexdigest()[:24]


def _enrol(indices: range, secret: str, now: datetime, *, branches: Sequence[int], places: Sequence[str]) -> None:
    people = [
        {
            "name": f"{NAME}{index:07d}",
            "rehearsal": True,
            "organisation_id": branches[index * STRIDE % len(branches)],
            "place_code": places[index * STRIDE % len(places)],
        }
        for index in indices
    ]
    numbers = db.session.scalars(insert(Member).returning(Member.id, sort_by_parameter_order=True), people).all()
    codes = [
        {
            "code_hash": hashlib.sha256(invitation(secret, index).encode()).digest(),
            "member_id": number,
            "expires_at": now + timedelta(days=365),
        }
        for index, number in zip(indices, numbers, strict=True)
    ]
    db.session.execute(insert(Invitation), codes)


def _branches(below: Sequence[str]) -> Sequence[int]:
    """The branches below the paths; where there are none, the organisations themselves."""
    branches = select(Organisation.id).where(Organisation.level == "branch", _below(below))
    return db.session.scalars(branches).all() or (
        db.session.scalars(select(Organisation.id).where(Organisation.path.in_(below))).all() if below else hosts()
    )


def _places() -> Sequence[str]:
    """The counties of Tibet's seven prefectures."""
    tibet = select(Division.code).where(within(Division.path, PRESENT), Division.level == "county")
    return db.session.scalars(tibet.where(Division.valid_to.is_(None)).order_by(Division.code)).all()
