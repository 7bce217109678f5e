"""The application factory: configuration, extensions, rooms, errors."""

from functools import partial
from typing import TYPE_CHECKING, Any

from apiflask import APIFlask
from flask import Flask, Request, Response, current_app, request
from flask.sessions import SessionInterface, SessionMixin
from flask_socketio import SocketIO
from werkzeug.middleware.proxy_fix import ProxyFix

from service import document, errors, headers, limits, metrics, probes, valkey
from service.auth import public
from service.config import Config
from service.deadline import Deadline, database_answers
from service.errors import ServiceError
from service.extensions import db, migrate
from service.traffic import Traffic

if TYPE_CHECKING:
    from service.holdings import Holding
    from service.live.errands import Handler
    from service.notify.notices.audience import Audience

API = "/api/v1"
MAX_BODY_BYTES = 64 * 1024


class NoSession(SessionInterface):
    """No session of Flask's, whose cookie nothing here reads; to open one takes longer than to check a token."""

    class Nothing(dict[str, Any], SessionMixin):
        """Forgotten when the request is over."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        """An empty one."""
        return self.Nothing()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep nothing."""


def create_app(config: Config | None = None) -> APIFlask:
    """The web application with every room; settings come from the environment unless given."""
    config = config or Config.from_env()
    # The pages room serves the built files; the framework's own way would pass the pages' policy by.
    own: dict[str, Any] = {"static_folder": None, "docs_path": None, "spec_path": "/openapi.json"}
    app = APIFlask("service", title="春水 Chunshui", version="1", **own)
    configure(app, config)
    app.session_interface = NoSession()
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, *(config.trusted_proxies,) * 4)  # type: ignore[method-assign]
    options = {"async_mode": "gevent", "transports": ["websocket"], "namespaces": ["/organisers"]}
    # Not bound late as the others are: it serves the application that was bound last, and no other.
    SocketIO(app, cors_allowed_origins=None, **options)
    errors.init_app(app)
    board = metrics.Board("web")
    app.extensions["traffic"] = traffic = Traffic(app, board)
    limits.init_app(app)
    register_rooms(app)
    register_probes(app, board)
    app.security_schemes = document.SCHEMES
    app.spec_processor(partial(document.complete, app))
    app.before_request(refuse_large_bodies)
    headers.init_app(app)
    app.wsgi_app = traffic.around(Deadline(app, app.wsgi_app))  # type: ignore[assignment, method-assign]
    return app


def create_core(config: Config) -> Flask:
    """An application with the database and Valkey alone: for the worker, the gateway's thread and the command line."""
    app = Flask("service")
    configure(app, config)
    return app


def configure(app: Flask, config: Config) -> None:
    """Bind settings, database, migrations and Valkey to `app`."""
    app.config["CHUNSHUI"] = config
    app.config["SECRET_KEY"] = config.secret_key
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["SQLALCHEMY_DATABASE_URI"] = config.sqlalchemy_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options()
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    db.init_app(app)
    migrate.init_app(app, db)
    app.extensions["valkey"] = valkey.connect(config)
    app.extensions["holdings"] = holdings


def engine_options() -> dict[str, Any]:
    """A pool that gives up in 2 s, and connections that notice a frozen server: REST must answer within 5 s."""
    connect = {
        "connect_timeout": 2,
        "options": "-c statement_timeout=4000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=15000",
        "tcp_user_timeout": 3000,
        "keepalives_idle": 2,
    }
    return {
        "pool_size": 8,
        "max_overflow": 4,
        "pool_timeout": 2,
        "pool_pre_ping": True,
        "connect_args": connect,
    }


def holdings() -> "list[Holding]":
    """What each room holds of a person; a table that names one and is not among these fails a test."""
    from service.checkin import holding as checkin
    from service.live import holding as live
    from service.notify import holding as notify
    from service.org.person import holding as org

    return [room.HOLDING for room in (org, live, checkin, notify)]


def load_models() -> None:
    """Make every table known, also to a command that needs none of the routes."""
    import service.checkin.group.models
    import service.checkin.onsite.models
    import service.notify.callbacks.models
    import service.org.accounts.models
    import service.org.errands.models
    import service.org.geography.models
    import service.org.tree.models  # noqa: F401 - loaded for what it declares

    holdings()


def audiences() -> "dict[str, Audience]":
    """Whom notices may be for, by the name that they keep."""
    from service.activity import reminders
    from service.checkin.attendance import audiences as attendance

    return {
        "activity": reminders.audience,
        "unread": reminders.unread,
        "missing": attendance.missing,
        "to_make_up": attendance.to_make_up,
    }


def gateway_handlers(config: Config) -> "dict[str, Handler]":
    """What members ask for over the gateway besides joining, by event, room by room."""
    from service.checkin import events as checkin

    app = create_core(config)
    return {"check_in": checkin.handler(app)}


def register_rooms(app: APIFlask) -> None:
    """Every room's routes and socket events."""
    from service import pages
    from service.activity import views as activity
    from service.checkin import views as checkin
    from service.checkin.attendance import views as attendance
    from service.checkin.flags import views as flags
    from service.checkin.group import views as group
    from service.checkin.onsite import views as onsite
    from service.checkin.paper import views as paper
    from service.checkin.roll import views as roll
    from service.live import events as live_events
    from service.live import views as live
    from service.notify import views as notify
    from service.notify.callbacks import views as callbacks
    from service.notify.notices import views as notices
    from service.org import access
    from service.org import views as org
    from service.org.accounts import views as accounts
    from service.org.accounts.provider import views as provider
    from service.org.errands import views as errands
    from service.org.geography import views as geography
    from service.org.people import views as people
    from service.org.person import views as person
    from service.org.tree import views as tree

    access.init_app(app)
    app.extensions["audiences"] = audiences()
    of_org = (org, accounts, provider, geography, tree, people, person, errands)
    of_checkin = (checkin, attendance, roll, onsite, group, paper, flags)
    for room in (*of_org, activity, live, *of_checkin, notify, notices, callbacks):
        app.register_blueprint(room.bp, url_prefix=API)
    app.register_blueprint(pages.bp)
    live_events.init_app(app)


def register_probes(app: APIFlask, board: metrics.Board) -> None:
    """`/healthz`, `/readyz` and `/metrics`, as `service.probes` describes them."""

    @app.get("/healthz")
    @public
    def healthy() -> dict[str, str]:
        """The process runs."""
        return probes.HEALTHY

    @app.get("/readyz")
    @public
    def ready() -> dict[str, str]:
        """PostgreSQL answers; 503 otherwise."""
        if not database_answers():
            raise ServiceError("not_ready", reason="database", database="away")
        return {"status": "ready", "database": "reachable"}

    @app.get("/metrics")
    @app.doc(hide=True)
    @public
    def told() -> Response:
        """What Prometheus reads."""
        probes.authorize(app.config["CHUNSHUI"].metrics_token, request.headers.get("Authorization", ""))
        return Response(board.page(), content_type=metrics.KIND)


def refuse_large_bodies() -> None:
    """Before anybody is asked who he is, and whether or not the door reads a body."""
    door = current_app.view_functions.get(request.endpoint or "")
    most = request.max_content_length = getattr(door, "most_bytes", MAX_BODY_BYTES)
    if (request.content_length or 0) > most:
        raise ServiceError("body_too_large")
