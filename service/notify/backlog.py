"""What the worker tells Prometheus of deliveries that wait."""

from datetime import datetime, timedelta

from sqlalchemy import func, select

from service import valkey
from service.extensions import db
from service.metrics import Board
from service.notify.models import Delivery, Endpoint, Outbox
from service.notify.notices.audience import ORDER
from service.notify.notices.models import NoticeDelivery
from service.notify.notices.pace import Gate
from service.scope import everything

AN_HOUR = timedelta(hours=1)


class Backlog:
    """How much waits, and how long what is due has waited; `read` is a task."""

    def __init__(self, board: Board) -> None:
        self._events = board.gauge("outbox_waiting", "Events not yet handed to the endpoints that listen.")
        self._deliveries = board.gauge(
            "deliveries_waiting", "Deliveries to be tried, by what they wait for.", labels=["fate"]
        )
        self._notices = board.gauge(
            "notices_waiting", "Deliveries of notices to be tried, by channel.", labels=["channel"]
        )
        self._notices_age = board.gauge(
            "notices_overdue_seconds", "How long the delivery of a notice that is due longest has waited."
        )
        self._stopped = board.gauge(
            "channel_stopped",
            "Whether nothing is sent by a channel, for a while or until somebody looked.",
            labels=["channel"],
        )
        self._failing = board.gauge("endpoints_failing", "Endpoints at which everything has failed for an hour.")
        self._age = board.gauge("deliveries_overdue_seconds", "How long the delivery that is due longest has waited.")

    def read(self, now: datetime) -> None:
        """Ask PostgreSQL; within an application's context."""
        waiting = select(func.count()).select_from(Outbox).where(Outbox.fanned_out_at.is_(None))
        self._events.set(db.session.scalar(waiting) or 0)
        pending = Delivery.state == "pending"
        first, later = pending & (Delivery.attempts == 0), pending & (Delivery.attempts > 0)
        columns = (func.count().filter(first), func.count().filter(later), func.min(Delivery.due_at))
        new, again, oldest = db.session.execute(everything("a sum", select(*columns).where(pending))).one()
        self._deliveries.labels("first attempt").set(new)
        self._deliveries.labels("another attempt").set(again)
        self._age.set(max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)
        failing = select(func.count()).where(Endpoint.enabled, Endpoint.failing_since < now - AN_HOUR)
        self._failing.set(db.session.scalars(everything("a sum", failing)).one())
        self._read_notices(now)
        gate = Gate(valkey.client())
        for lane in ORDER:
            self._stopped.labels(lane).set(gate.stopped(lane))

    def _read_notices(self, now: datetime) -> None:
        columns = (NoticeDelivery.lane, func.count(), func.min(NoticeDelivery.due_at))
        question = select(*columns).where(NoticeDelivery.state == "pending").group_by(NoticeDelivery.lane)
        rows = db.session.execute(everything("a sum", question)).all()
        waiting = {lane: count for lane, count, _ in rows}
        for lane in ORDER:
            self._notices.labels(lane).set(waiting.get(lane, 0))
        oldest = min((due for _, _, due in rows), default=now)
        self._notices_age.set(max(0.0, (now - oldest).total_seconds()))
