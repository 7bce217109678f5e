"""A rehearsal is a copy that touches nothing real: no answer of any route changes by it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from service.activity.copying import rehearsal_of
from service.activity.models import Activity, Stream
from service.checkin.records import Attempt
from service.checkin.rules import check_in
from service.errors import ServiceError
from service.home import rehearsed
from service.live.models import CurvePoint, Stay
from service.org.access import COOKIE
from service.org.models import Organisation
from service.org.roster import add_member
from tests.factories import HOUR, bearer, make_activity, make_member, make_organisation, make_organiser

NOW = datetime.now(UTC)


def hold(stream: Stream, home: Organisation) -> None:
    """A rehearsal's traces: a synthetic member's stay and check-in, and a point of the curve."""
    member = add_member("演练", organisation=home, rehearsal=True)
    path, at = rehearsed(home.path), NOW - timedelta(minutes=1)
    check_in(
        stream.sitting.activity_id, [Attempt(member=member.id, organisation=path, place="", reference="r" * 8)], NOW
    )
    stays = {"stream_id": stream.id, "member_id": member.id, "gateway_id": uuid4(), "channel": "h5", "source": "hls"}
    paths = {"organisation_path": path, "place_path": ""}
    times = {"joined_at": at, "left_at": NOW, "closed_by": "owner"}
    make_rows = (
        Stay(connection=uuid4(), sequence=1, **stays, **paths, **times),
        CurvePoint(stream_id=stream.id, at=NOW, online=1, connections=1, joined=1, checked_in=1),
    )
    session = Session.object_session(stream)
    assert session is not None
    session.add_all(make_rows)
    session.commit()


def answers(app: APIFlask, client: FlaskClient, activity: Activity, headers: dict[str, str]) -> dict[str, Any]:
    """What every GET route of the API says of the activity."""
    values = {"activity_id": activity.id, "stream_id": activity.sittings[0].streams[0].id}
    found = {}
    for rule in app.url_map.iter_rules():
        if "GET" in (rule.methods or ()) and rule.rule.startswith("/api/v1") and rule.arguments <= values.keys():
            built = rule.build({name: values[name] for name in rule.arguments})
            assert built is not None
            answer = client.get(built[1], headers=headers)
            found[rule.rule] = (answer.status_code, real(answer.json) if answer.is_json else answer.data)
    return found


def real(body: Any) -> Any:
    """An answer without the marked activities in a list."""
    if isinstance(body, dict) and "activities" in body:
        return {"activities": [one for one in body["activities"] if not one["rehearsal"]]}
    return body


def test_no_answer_about_real_ones_changes_by_a_rehearsal(app: APIFlask, client: FlaskClient, db: Session) -> None:
    city = make_organisation(level="city")
    home = make_organisation(parent=city)
    activity = make_activity(lead=city, invited=[city], series="党员开会了", edition="33上")
    client.set_cookie(COOKIE, make_organiser(organisation=city)[1])
    views = [bearer(member=make_member(organisation=home)), {}]
    before = [answers(app, client, activity, headers) for headers in views]
    assert sum(status == 200 for seen in before for status, _ in seen.values()) >= 6
    hold(rehearsal_of(activity.id, NOW), home)
    assert [answers(app, client, activity, headers) for headers in views] == before


def test_a_rehearsal_is_the_activity_at_another_time(db: Session) -> None:
    city = make_organisation(level="city")
    activity = make_activity(lead=city, invited=[city], series="一", now=NOW + timedelta(days=30), closes=3 * HOUR)
    original = activity.sittings[0]
    original.checkin_opens_at = original.starts_at + HOUR / 2
    stream = rehearsal_of(activity.id, NOW)
    sitting, copy = stream.sitting, stream.sitting.activity
    assert (copy.rehearsal, copy.series, copy.theme, copy.attendance) == (True, None, activity.theme, "rostered")
    assert [one.organisation_id for one in copy.invitations] == [city.id]
    assert [(one.organisation_id, one.tier) for one in copy.organisers] == [(city.id, "lead")]
    assert sitting.checkin_opens_at == NOW
    assert sitting.starts_at == stream.opens_at == NOW - HOUR / 2
    assert sitting.ends_at - sitting.starts_at == original.ends_at - original.starts_at
    assert [source.url for source in stream.sources] == [source.url for source in original.streams[0].sources]
    assert not activity.rehearsal


def test_what_has_no_stream_or_never_a_whole_cannot_be_rehearsed(db: Session) -> None:
    bare, torn = make_activity(), make_activity()
    bare.sittings[0].streams = []
    torn.sittings[0].checkin_opens_at, torn.sittings[0].checkin_closes_at = NOW + 5 * HOUR, NOW + 6 * HOUR
    db.commit()
    for number, code in ((bare.id, "validation"), (torn.id, "validation"), (10**9, "not_found")):
        with pytest.raises(ServiceError, match=code):
            rehearsal_of(number, NOW)


def test_synthetic_members_log_in_below_their_own_label(client: FlaskClient, db: Session) -> None:
    home = make_organisation()
    real_one = make_activity()
    rehearsal = rehearsal_of(real_one.id, NOW)
    db.commit()
    member = add_member("演练", organisation=home, rehearsal=True)
    seen = client.get("/api/v1/activities", headers=bearer(member=member)).json
    assert seen is not None
    assert [one["id"] for one in seen["activities"]] == [rehearsal.sitting.activity_id]
