"""The demo's door: a guest joins the rehearsal at once, at home beside some member that is there already."""

import secrets
from datetime import datetime

from sqlalchemy import func, select

from service.errors import ServiceError
from service.extensions import db
from service.org import wechat
from service.org.models import Member, Organisation
from service.org.roster import add_member, invite
from service.scope import everything


def admit_guest(now: datetime) -> tuple[str, str]:
    """A fresh WeChat user's log-in code from the sandbox, and the invitation of a new member."""
    code = wechat.mint_code(f"guest-{secrets.token_hex(12)}")
    neighbour = somebody()
    organisation = db.session.get(Organisation, neighbour.organisation_id) if neighbour else any_branch()
    if organisation is None:
        raise ServiceError("not_found")
    place = neighbour.place_code if neighbour else None
    guest = add_member("体验用户", organisation=organisation, place_code=place, rehearsal=True)
    [invitation] = invite([guest.id], now)
    db.session.commit()
    return code, invitation


def somebody() -> Member | None:
    """A member at random, found through the index."""
    start = select(func.floor(1 + func.random() * func.max(Member.id))).scalar_subquery()
    question = select(Member).where(Member.id >= start)
    return db.session.scalars(everything("anybody at random", question).order_by(Member.id).limit(1)).first()


def any_branch() -> Organisation | None:
    """A branch, for a roster without members."""
    return db.session.scalars(select(Organisation).where(Organisation.level == "branch").limit(1)).first()
