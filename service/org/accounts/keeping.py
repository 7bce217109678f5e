"""What the worker does for the accounts."""

from flask import Flask

from service.clock import now as read_clock
from service.config import Config
from service.org.accounts import attempts, factor


def keep_house(app: Flask) -> None:
    """A task for every minute: forget old failures, seal with the current key what another sealed."""
    config: Config = app.config["CHUNSHUI"]
    now = read_clock()
    attempts.prune(now)
    factor.reseal(config.secrets, now)
