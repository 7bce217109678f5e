"""The peer for deliveries: Celery on gevent with httpx, acknowledged late so that a lost worker loses nothing.

`python -m bench.peers.celery_deliveries` hands it a task for each delivery that waits. Settings come from the
environment.
"""

import json
import os
from functools import lru_cache
from typing import Any

import httpx
from celery import Celery
from sqlalchemy import create_engine, text

URL = os.environ["WECHAT_API_URL"]
app = Celery("deliveries", broker=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)
# Each greenlet acknowledges on a connection of its own.
app.conf.broker_transport_options = {"max_connections": 500}
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=20)
client = httpx.Client(timeout=10)

READ = text(
    "SELECT address, template, facts FROM notice_deliveries JOIN notices ON notices.id = notice_id "
    "WHERE notice_deliveries.id = :number AND notice_deliveries.state = 'pending'"
)
WAITING = text("SELECT id FROM notice_deliveries WHERE state = 'pending' ORDER BY id")
DONE = text(
    "UPDATE notice_deliveries SET state = 'delivered', receipt = :receipt, delivered_at = clock_timestamp() "
    "WHERE id = :number"
)
SPEND = text("UPDATE wechat_credits SET balance = balance - 1 WHERE openid = :openid AND template = :template")


@lru_cache
def token() -> str:
    names = {"appid": os.environ["WECHAT_APPID"], "secret": os.environ["WECHAT_SECRET"]}
    answer = client.post(f"{URL}/cgi-bin/stable_token", json={"grant_type": "client_credential", **names})
    return str(answer.json()["access_token"])


def deliver(task: Any, number: int) -> None:
    with engine.begin() as connection:
        row = connection.execute(READ, {"number": number}).one()
    told = {"touser": row.address, "template_id": row.template, "data": {"thing1": {"value": row.facts["theme"]}}}
    content = json.dumps(told, ensure_ascii=False).encode()
    kind = {"content-type": "application/json"}
    path = f"{URL}/cgi-bin/message/subscribe/send"
    answer = client.post(path, params={"access_token": token()}, content=content, headers=kind).json()
    if answer["errcode"]:
        raise task.retry(countdown=5, max_retries=8)
    with engine.begin() as connection:
        connection.execute(DONE, {"number": number, "receipt": str(answer["msgid"])})
        connection.execute(SPEND, {"openid": row.address, "template": row.template})


task = app.task(bind=True)(deliver)


def main() -> None:
    with engine.begin() as connection:
        waiting = connection.scalars(WAITING).all()
    for number in waiting:
        task.delay(number)


if __name__ == "__main__":
    # By its own name, not as __main__: the worker knows the task by the module that it is in.
    from bench.peers import celery_deliveries

    celery_deliveries.main()
