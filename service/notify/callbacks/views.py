"""The door that WeChat's message push knocks at: `mini-program` or `official-account`."""

from apiflask import APIBlueprint
from flask import Response, current_app, request

from service.auth import public
from service.clock import now as read_clock
from service.notify.callbacks import rules

bp = APIBlueprint("callbacks", __name__, tag="WeChat")

PUSH = "/wechat/<app>/push"


@bp.get(PUSH)
@bp.doc(hide=True)
@public
def greet(app: str) -> Response:
    """Prove to WeChat's console that this address is ours"""
    seal = rules.seal_of(app, current_app.config["CHUNSHUI"])
    return Response(rules.greet(seal, request.args), content_type="text/plain; charset=utf-8")


@bp.post(PUSH)
@bp.doc(hide=True)
@public
def receive(app: str) -> Response:
    """Take an event"""
    seal = rules.seal_of(app, current_app.config["CHUNSHUI"])
    rules.receive(seal, request.args, request.get_data(), read_clock())
    return Response("success", content_type="text/plain")
