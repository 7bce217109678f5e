"""What `chunshui worker` does, room by room."""

import math

from flask import Flask

from service.activity import rules as activity
from service.activity import succession as activities
from service.app import audiences
from service.audit import anchors, chain, keeping
from service.checkin.attendance import make_ups, roster
from service.checkin.flags import devices, finding
from service.checkin.ledger import checked_in, taken_back
from service.clock import day_of, now
from service.config import Config
from service.live import reaping
from service.metrics import Board
from service.notify import courier
from service.notify.backlog import Backlog
from service.notify.callbacks import rules as callbacks
from service.notify.notices import carrying, ledger
from service.org import keeping as log_ins
from service.org.accounts import keeping as accounts
from service.org.accounts import succession as grants
from service.org.errands import rules as errands
from service.org.errands import work
from service.org.person import rights
from service.org.tree.settling import settle_due
from service.working import Task, look_at_services


def duties(app: Flask, board: Board) -> list[Task]:
    """Everything, with what it needs in `app`."""
    config: Config = app.config["CHUNSHUI"]
    reaping.register_ledger(app, checked_in, taken_back)
    app.extensions["audiences"] = audiences()
    app.extensions["wechat_listeners"] = [ledger.listen, carrying.listen]
    return [
        *reaping.tasks(config, board),
        *of_the_audit_log(config),
        *of_people(config),
        *of_activities(),
        *of_messages(board),
        Task("services", 5.0, lambda _: look_at_services(board)),
    ]


def of_the_audit_log(config: Config) -> list[Task]:
    """Its chain, its anchors, its age."""
    return [
        Task("audit log sealed", 1.0, lambda _: chain.seal_all(now())),
        Task("audit log anchored", 60.0, lambda _: anchors.anchor(now())),
        Task("audit log pruned", 3600.0, lambda _: keeping.prune(now(), config.audit_retention_days)),
    ]


def of_people(config: Config) -> list[Task]:
    """Log-ins, accounts, rights, imports, the tree."""
    return [
        Task("log-ins kept", 3600.0, lambda _: log_ins.forget_expired(now())),
        Task("accounts kept", 60.0, accounts.keep_house),
        Task("erasures", 3600.0, lambda _: rights.carry_on(now())),
        Task("names", 3600.0, lambda _: rights.age(now(), config.named_days)),
        # A table of the whole roster takes as long as it takes.
        Task("errands", 1.0, work.run, patience=math.inf),
        Task("errands kept", 60.0, lambda _: errands.sweep(now())),
        # A change of the tree that was entered ahead holds from the first minute of its day.
        Task("tree", 30.0, lambda _: settle_due(day_of(now()))),
        # What hangs on a merged organisation follows it, also where the merger was settled elsewhere.
        Task("grants of merged organisations", 5.0, lambda _: grants.succeed(now())),
    ]


def of_activities() -> list[Task]:
    """Openings, rosters, what is odd, and who follows a merged organisation."""
    return [
        Task("openings", 2.0, lambda _: activity.announce(now())),
        Task("rosters", 5.0, lambda _: roster.freeze_due(now())),
        Task("make-ups reminded of", 60.0, lambda _: make_ups.remind(now())),
        Task("flags", 60.0, lambda _: finding.find_due(now())),
        Task("device marks", 3600.0, lambda _: devices.prune(now())),
        Task("activities of merged organisations", 5.0, lambda _: activities.succeed(now())),
    ]


def of_messages(board: Board) -> list[Task]:
    """What goes out, and what WeChat says of it."""
    backlog = Backlog(board)
    repeated = board.counter(
        "deliveries_repeated", "Deliveries taken over from a worker that died: each may come twice."
    )
    return [
        # A run lasts for as long as there is something to deliver.
        Task("deliveries", 0.5, courier.Courier(repeated=repeated.inc), patience=math.inf),
        Task("deliveries kept", 60.0, courier.keep_house),
        Task("events of WeChat", 1.0, lambda app: callbacks.hand_on(app.extensions.get("wechat_listeners", ()), now())),
        Task("events of WeChat kept", 3600.0, lambda _: callbacks.prune(now())),
        Task("backlog", 15.0, lambda _: backlog.read(now())),
    ]
