"""The peer in Python: stock Flask-SocketIO on gevent with a Redis message queue, run by gunicorn.

A join is acknowledged after its count is in Valkey. Settings come from the environment.
"""

import os
from datetime import UTC, datetime
from typing import Any

import redis
from flask import Flask, session
from flask_socketio import SocketIO, join_room, leave_room

from service.tokens import read_access

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
socketio = SocketIO(app, message_queue=os.environ["REDIS_URL"], async_mode="gevent", transports=["websocket"])
store = redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=100))


def connect(auth: dict[str, str]) -> None:
    actor = read_access((os.environ["SECRET_KEY"],), auth["token"], datetime.now(UTC))
    session["member"], session["organisation"] = actor.member, actor.organisation


def join(message: dict[str, int]) -> dict[str, Any]:
    stream = message["stream"]
    join_room(f"stream:{stream}")
    pipeline = store.pipeline(transaction=False)
    pipeline.sadd(f"online:{stream}", session["member"])
    pipeline.hincrby(f"organisations:{stream}", session["organisation"], 1)
    pipeline.scard(f"online:{stream}")
    return {"ok": True, "stream": stream, "count": pipeline.execute()[2]}


def leave(message: dict[str, int]) -> dict[str, Any]:
    stream = message["stream"]
    leave_room(f"stream:{stream}")
    pipeline = store.pipeline(transaction=False)
    pipeline.srem(f"online:{stream}", session["member"])
    pipeline.hincrby(f"organisations:{stream}", session["organisation"], -1)
    pipeline.execute()
    return {"ok": True}


socketio.on_event("connect", connect)
socketio.on_event("join", join)
socketio.on_event("leave", leave)
