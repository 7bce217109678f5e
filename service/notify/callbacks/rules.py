"""Taking an event and handing it on.

WeChat asks again if it has no answer within five seconds, three times in all: so an event is only checked, opened and
kept before the answer, and a copy of one that is kept changes nothing. The worker hands it to those who listen, in the
transaction that marks it as handled: what they write is written once.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.notify.callbacks.models import WechatEvent
from service.notify.channels.wechat.envelope import EnvelopeError, Seal, decode_key
from service.notify.channels.wechat.happenings import Happening, UnreadableError, key, parse, read

log = structlog.get_logger(__name__)

# Who hears of what happened: called within a transaction with the happening, the app's appid and when it came.
Listener = Callable[[Happening, str, datetime], None]

KEEP = timedelta(days=1)
# An envelope is good for as long as its event is remembered, and less: a copy of an old one is not a new event.
TOLERANCE = timedelta(hours=1)
MOST_ATTEMPTS = 5


def seal_of(app: str, config: Config) -> Seal:
    """The seal of the app `mini-program` or `official-account`; ServiceError not_found where none is set up."""
    appid, token, text = {
        "mini-program": (config.wechat_appid, config.wechat_callback_token, config.wechat_callback_key),
        "official-account": (
            config.wechat_account_appid,
            config.wechat_account_callback_token,
            config.wechat_account_callback_key,
        ),
    }.get(app, ("", "", ""))
    if not (appid and token and text):
        raise ServiceError("not_found")
    return Seal(appid, token, decode_key(text))


def greet(seal: Seal, query: Mapping[str, str]) -> str:
    """The answer to WeChat's greeting, when the address is entered in its console."""
    if not seal.greets(query.get("signature", ""), query.get("timestamp", ""), query.get("nonce", "")):
        raise ServiceError("callback_refused")
    return query.get("echostr", "")


def receive(seal: Seal, query: Mapping[str, str], content: bytes, now: datetime) -> None:
    """Keep what is in a call, once. Commits. ServiceError callback_refused for what is not WeChat's in secure mode."""
    timestamp = query.get("timestamp", "")
    try:
        encrypted = parse(content).get("Encrypt")
        if query.get("encrypt_type") != "aes" or not isinstance(encrypted, str) or not _recent(timestamp, now):
            raise ServiceError("callback_refused")
        given, nonce = query.get("msg_signature", ""), query.get("nonce", "")
        message = seal.open(encrypted, given=given, timestamp=timestamp, nonce=nonce)
    except (EnvelopeError, UnreadableError) as error:
        log.warning("a call that is not WeChat's", reason=str(error))
        raise ServiceError("callback_refused") from None
    try:
        event = parse(message)
    except UnreadableError as error:
        # It was WeChat's, and would come again just as it is.
        log.warning("an event that cannot be read", reason=str(error))
        return
    if read(event):
        _keep(seal.appid, event, now)


def _recent(timestamp: str, now: datetime) -> bool:
    plain = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    return plain and abs(int(timestamp) - now.timestamp()) <= TOLERANCE.total_seconds()


def _keep(app: str, event: Mapping[str, object], now: datetime) -> None:
    digest = hashlib.sha256(key(event).encode()).hexdigest()
    row = insert(WechatEvent).values(app=app, key=digest, event=json.dumps(event), received_at=now)
    db.session.execute(row.on_conflict_do_nothing())
    db.session.commit()


def hand_on(listeners: Sequence[Listener], now: datetime, *, batch: int = 200) -> int:
    """Tell `listeners` of up to `batch` events; how many were handled. Commits. Without listeners everything waits."""
    if not listeners:
        return 0
    waiting = (
        select(WechatEvent)
        .where(WechatEvent.handled_at.is_(None), WechatEvent.attempts < MOST_ATTEMPTS)
        .order_by(WechatEvent.id)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    handled = sum(_tell(listeners, event, now) for event in db.session.scalars(waiting).all())
    db.session.commit()
    return handled


def _tell(listeners: Sequence[Listener], event: WechatEvent, now: datetime) -> bool:
    """One event, whole or not at all; one that cannot be handled is tried a few times and holds up no other."""
    event.attempts += 1
    try:
        with db.session.begin_nested():
            for happening in read(json.loads(event.event)):
                for listener in listeners:
                    listener(happening, event.app, event.received_at)
            event.handled_at, event.event = now, ""
    except Exception as error:
        log.error("an event of WeChat's could not be handled", number=event.id, reason=type(error).__name__)
        return False
    return True


def prune(now: datetime) -> int:
    """Forget what came more than a day ago; how many. Commits."""
    result = db.session.execute(delete(WechatEvent).where(WechatEvent.received_at < now - KEEP))
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]
