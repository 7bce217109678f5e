"""Whom notices are for by what the roster says: who is missing, and who may still make up."""

from sqlalchemy import ColumnElement, exists

from service.activity.reminders import narrowed
from service.checkin.attendance.models import Leave, MakeUp, RosterEntry
from service.checkin.models import CheckIn, stands
from service.notify.notices.audience import Asked
from service.notify.notices.models import Notice
from service.org.models import Member
from service.org.reach import remindable


def missing(notice: Notice) -> Asked:
    """Those who are expected and have neither come nor been given leave, when it is told."""
    leave = (Leave.activity_id == notice.activity_id, Leave.member_id == Member.id, Leave.state == "approved")
    return remindable(*_absent(notice), ~exists().where(*leave), narrowed(notice))


def to_make_up(notice: Notice) -> Asked:
    """Those who were expected, did not come and have not made up, on leave or not."""
    made = (MakeUp.activity_id == notice.activity_id, MakeUp.member_id == Member.id, MakeUp.annulled_at.is_(None))
    return remindable(*_absent(notice), ~exists().where(*made), narrowed(notice))


def _absent(notice: Notice) -> tuple[ColumnElement[bool], ...]:
    """Expected, by the roster, and not there; nobody, where nobody is expected."""
    expected = (RosterEntry.activity_id == notice.activity_id, RosterEntry.member_id == Member.id)
    came = (CheckIn.activity_id == notice.activity_id, CheckIn.member_id == Member.id, stands())
    return exists().where(*expected, RosterEntry.standing == "expected"), ~exists().where(*came)
