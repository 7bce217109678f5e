"""The command, run within the tests' process against their servers."""

import signal

from click.testing import CliRunner, Result

from service.cli import main
from service.config import Config


def chunshui(config: Config, *arguments: str, given: str | None = None) -> Result:
    """What the command says, in English, and its exit code."""
    settings = {"DATABASE_URL": config.database_url, "REDIS_URL": config.redis_url, "SECRET_KEY": config.secret_key}
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return CliRunner().invoke(main, arguments, input=given, env=settings | {"LANG": "en_US.UTF-8"})
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
