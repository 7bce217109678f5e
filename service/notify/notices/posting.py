"""The courier's post for notices: takes what the providers bear, wakes nobody, and writes down what came of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import redis
import structlog
from flask import Flask, current_app

from service.clock import now as read_clock
from service.extensions import db
from service.notify.channels.clients import Clients
from service.notify.channels.roll import configured
from service.notify.channels.sends import ALARM_SECONDS, Channel, Outcome, Send, retry
from service.notify.notices import carrying, telling
from service.notify.notices.audience import Means
from service.notify.notices.carrying import CALLED_OFF, EXPIRED, Claim
from service.notify.notices.models import Notice
from service.notify.notices.pace import Gate, paces_of
from service.notify.places import Places
from service.notify.posts import Job
from service.notify.queue import Verdict

log = structlog.get_logger(__name__)

# What a channel did against its promise: it raised. Waited for longer than anything that passes by itself.
CRASHED = retry("crashed", after=60.0)


class Notices:
    """Notices on their way to members. Without `channels` those of the settings."""

    def __init__(
        self, *, channels: Mapping[str, Channel] | None = None, capacity: int = 2000, each: int = 1000
    ) -> None:
        self.places: Places[str] = Places(each=each, capacity=capacity)
        self._given = channels
        self._channels: Mapping[str, Channel] = {}
        self._client: Clients | None = None
        self._gate: Gate | None = None
        self._verdicts: list[Verdict[Claim]] = []
        self._away = False

    def open(self, app: Flask) -> None:
        """Within the loop, before anything is sent; may be repeated."""
        if self._client is None:
            store: redis.Redis = app.extensions["valkey"]
            given = configured(app.config["CHUNSHUI"], store) if self._given is None else self._given
            self._channels, self._gate = given, Gate(store, paces_of(app.config["CHUNSHUI"]))
            self._client = Clients.opened(most_idle=self.places.capacity)

    def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def take(self, room: int) -> tuple[list[Job], int]:
        """Tell what is due, and take deliveries."""
        now = read_clock()
        told = telling.tell_due(list(self._channels), now)
        lanes = carrying.waiting(self._channels, now) if self._channels and room > 0 else []
        shares = self._granted(self.places.share(lanes, room), now) if lanes else {}
        claims = carrying.claim(shares, now=now) if shares else []
        notices = carrying.notices_of(claims)
        kept = self._put_off(claims, notices, now)
        self._return(shares, kept, now)
        db.session.rollback()
        return self._jobs(kept, notices, now), told + len(claims) - len(kept)

    def unwritten(self) -> bool:
        """Whether attempts ended that have not been written down yet."""
        return bool(self._verdicts)

    def settle(self) -> int:
        """Write what came of attempts since; how many."""
        verdicts = self._verdicts[:]
        carrying.settle(verdicts, read_clock())
        del self._verdicts[: len(verdicts)]
        self._learn(verdicts)
        return len(verdicts)

    def release(self, jobs: Sequence[Job]) -> None:
        """Give back what was not attempted to its end."""
        carrying.release([claim for job in jobs for claim in job.claims])

    def _granted(self, shares: Mapping[str, int], now: datetime) -> dict[str, int]:
        """Of what there is room for, what the providers bear."""
        try:
            granted = {lane: self._pace().take(lane, share, now) for lane, share in shares.items()}
        except redis.RedisError as error:
            if not self._away:
                log.warning("channels wait for Valkey, which counts what is sent", error=type(error).__name__)
            self._away = True
            return {}
        self._away = False
        return {lane: share for lane, share in granted.items() if share > 0}

    def _return(self, shares: Mapping[str, int], kept: Sequence[Claim], now: datetime) -> None:
        """Tell Valkey of what was granted and will not be sent; should it be away, the day has a few less."""
        sent = {lane: sum(held.lane == lane for held in kept) for lane in shares}
        try:
            for lane, share in shares.items():
                self._pace().give_back(lane, share - sent[lane], now)
        except redis.RedisError:
            self._away = True

    def _put_off(self, claims: Sequence[Claim], notices: Mapping[int, Notice], now: datetime) -> list[Claim]:
        """Give back what would disturb, or whose template is stopped, until that is over; the others."""
        ends = self._stopped(claims, now) | carrying.asleep(claims, notices, now)
        sleeping = [held for held in claims if held.id in ends]
        if sleeping:
            carrying.release(sleeping, ends)
        return [held for held in claims if held.id not in ends]

    def _stopped(self, claims: Sequence[Claim], now: datetime) -> dict[int, datetime]:
        """Those of templates that somebody has to look at, and when they are tried again."""
        templates = {(held.lane, held.template) for held in claims if held.template}
        try:
            stopped = {one for one in templates if self._pace().stopped(*one)}
        except redis.RedisError:
            stopped = set()
        later = now + timedelta(seconds=ALARM_SECONDS)
        return {held.id: later for held in claims if (held.lane, held.template) in stopped}

    def _jobs(self, claims: Sequence[Claim], notices: Mapping[int, Notice], now: datetime) -> list[Job]:
        by_lane: dict[str, list[tuple[Claim, Send]]] = {}
        config = current_app.config["CHUNSHUI"]
        means = {notice.kind: Means.of(notice.kind, (), config) for notice in notices.values()}
        for held in claims:
            if held.notice_state == "cancelled" or now >= held.give_up_at:
                self._verdicts.append(carrying.judge(held, _untried(held), now=now))
                continue
            notice = notices[held.notice_id]
            by_lane.setdefault(held.lane, []).append((held, carrying.send_of(held, notice, means[notice.kind])))
        return [
            self._job(lane, of[start : start + self._channels[lane].batch])
            for lane, of in by_lane.items()
            for start in range(0, len(of), self._channels[lane].batch)
        ]

    def _job(self, lane: str, pairs: Sequence[tuple[Claim, Send]]) -> Job:
        async def attempt() -> bool:
            outcomes = await self._attempt(lane, [send for _, send in pairs])
            now = read_clock()
            for (held, _), outcome in zip(pairs, outcomes, strict=True):
                self._verdicts.append(carrying.judge(held, outcome, now=now))
            # Of many at once a few always fail: that alone does not make a provider unwell.
            return sum(outcome.kind in ("retry", "alarm") for outcome in outcomes) * 2 <= len(outcomes)

        return Job(lane, [held for held, _ in pairs], attempt)

    async def _attempt(self, lane: str, sends: Sequence[Send]) -> list[Outcome]:
        if self._client is None:
            return [CRASHED] * len(sends)
        try:
            return await self._channels[lane].send(self._client, sends)
        except Exception as error:
            # A defect of one channel: nothing is known of what was sent, and the others go on.
            log.error("channel crashed", channel=lane, error=type(error).__name__)
            return [CRASHED] * len(sends)

    def _learn(self, verdicts: Sequence[Verdict[Claim]]) -> None:
        """Tell all workers how each provider does; an alarm is for somebody to look at."""
        try:
            for lane in {verdict.claim.lane for verdict in verdicts}:
                kinds = [verdict.outcome.kind for verdict in verdicts if verdict.claim.lane == lane]
                failures, successes = kinds.count("retry"), kinds.count("done")
                if self._pace().learn(lane, failures=failures, successes=successes):
                    log.error("provider fails", channel=lane)
            for lane, code, template in {_alarm(verdict) for verdict in verdicts if verdict.outcome.kind == "alarm"}:
                self._pace().stop(lane, code, template)
                log.error("channel needs attention", channel=lane, code=code, template=template is not None)
        except redis.RedisError:
            self._away = True

    def _pace(self) -> Gate:
        assert self._gate is not None  # noqa: S101 - opened before anything is taken
        return self._gate


def _untried(held: Claim) -> Outcome:
    return CALLED_OFF if held.notice_state == "cancelled" else EXPIRED


def _alarm(verdict: Verdict[Claim]) -> tuple[str, str, str | None]:
    template = verdict.claim.template if verdict.outcome.stops == "template" else None
    return verdict.claim.lane, verdict.outcome.code, template
