"""Log-ins that are over leave; those that are not, and those still denied, stay."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.clock import now as read_clock
from service.org import keeping, login
from service.org.models import Denial, MemberSession, OrganiserSession, RefreshToken
from service.org.sessions import revoke
from service.org.wechat import WechatUser
from tests.factories import make_invitation, make_organiser

DAY = timedelta(days=1)


def test_what_has_expired_goes_with_its_tokens(db: Session) -> None:
    now = read_clock()
    for age in (40, 40, 0):
        login.log_in(
            WechatUser("wx", f"o-{age}", None), app="mini_program", invitation=make_invitation(), now=now - age * DAY
        )
    make_organiser(now=now)
    make_organiser(now=now - DAY)
    denied, *_ = db.scalars(select(MemberSession.id).order_by(MemberSession.id))
    revoke(denied, now)
    assert keeping.forget_expired(now) == 1
    assert db.query(MemberSession).count() == db.query(RefreshToken).count() == 2
    assert db.query(OrganiserSession).count() == 1
    assert keeping.forget_expired(now + 2 * DAY) == 1
    assert db.query(Denial).count() == 0
    assert keeping.forget_expired(now + 2 * DAY) == 0
