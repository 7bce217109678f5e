"""Rows for the notify room's tests, with defaults."""

import base64
from collections.abc import Sequence

from flask import current_app
from sqlalchemy import select

from service.extensions import db
from service.notify import endpoints, outbox
from service.notify.models import Delivery, Endpoint
from tests.notify.conftest import CAST

EVERYTHING = tuple(outbox.TOPICS)


def make_endpoint(
    url: str = "http://127.0.0.1:9/hook", *, organiser: str = "ana", topics: Sequence[str] = EVERYTHING
) -> tuple[Endpoint, str]:
    """An endpoint of an organiser's organisation and its secret as the organiser saw it."""
    endpoint, signing = endpoints.register(
        CAST[organiser], url=url, topics=topics, secret=current_app.config["CHUNSHUI"].secret_key, private=True
    )
    return endpoint, "whsec_" + base64.b64encode(signing).decode()


def publish_check_in(member: int = 77, *, path: str = "1.12.345", count: int = 1) -> None:
    """`count` committed check-ins of a member."""
    outbox.publish_many(
        outbox.Event(
            topic="checkin.created",
            organisation_path=path,
            payload={"activity": 5, "number": number},
            subject_member=member,
        )
        for number in range(count)
    )
    db.session.commit()


def all_deliveries() -> list[Delivery]:
    """Every delivery as it is in the database now."""
    db.session.rollback()
    db.session.expire_all()
    return list(db.session.scalars(select(Delivery).order_by(Delivery.id)))
