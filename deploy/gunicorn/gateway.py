"""gunicorn's settings for the members' gateway: `chunshui gateway` runs exactly this file."""

import gc
import os
from typing import Any

from service import metrics
from service.app import gateway_handlers
from service.config import Config

# libuv's use of io_uring costs two more system calls a connection than plain epoll, some 6 % of a join's CPU.
os.environ.setdefault("UV_USE_IO_URING", "0")

_config = Config.from_env()
metrics.share("gateway")

wsgi_app = "service.live.worker:application"
worker_class = "service.live.worker.GatewayWorker"
bind = f"{_config.gateway_host}:{_config.gateway_port}"
workers = _config.gateway_workers
proc_name = "chunshui-gateway"

# Each worker has its own listener: the kernel spreads connections evenly, a shared listener does not.
# With it, reload by HUP; USR2 does not work.
reuse_port = True
backlog = 4096

# Imported once, before the fork; frozen so that collections in the workers leave those pages shared.
preload_app = True

# Workers notify every second; a drain must end before the arbiter's patience does.
timeout = 30
graceful_timeout = _config.restart_seconds

# The control socket's path is shared by all gunicorns of a user.
control_socket_disable = True

accesslog = None
loglevel = _config.log_level


def pre_fork(server: Any, worker: Any) -> None:
    """Leave nothing for a worker to collect."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """What other rooms do for members; with connections of this worker's own, so not before the fork."""
    worker.handlers = gateway_handlers(_config)


def child_exit(server: Any, worker: Any) -> None:
    """However a worker ended, what it counted stays, and what it held is gone."""
    metrics.bury(worker.pid)


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    metrics.clear_away()
