"""What every command has in common: whose settings it takes, how refusals and outages end it, passwords asked for."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from service.config import Config, ConfigError
from service.errors import ServiceError, problem
from service.language import english, words
from service.supervisor import ENVIRONMENT, HERE, InstallationError, running_settings

OWN_DATA = HERE / ".chunshui"
FOLDER = click.Path(path_type=Path, file_okay=False)
RUNNING = click.option(
    "--data-dir",
    "running",
    type=FOLDER,
    help=words(
        "使用以该数据目录运行的系统的配置；未设置 DATABASE_URL 时默认 .chunshui。",
        "Take the settings of the installation that runs with this data folder; .chunshui without DATABASE_URL.",
    ),
)


def settings(running: Path | None = None) -> Config:
    """The settings of the environment, or of the installation that runs with the folder `running`.

    Without either the installation of this folder is meant, if one runs. Wrong settings end the command with code 2.
    """
    if running is None and not os.environ.get("DATABASE_URL") and (OWN_DATA / ENVIRONMENT).exists():
        running = OWN_DATA
    try:
        return Config.from_env(None if running is None else os.environ | running_settings(running))
    except ConfigError as error:
        wrong(error)


def wrong(error: ConfigError) -> NoReturn:
    """End the command: its settings cannot be used."""
    click.echo(words(f"设置有误：{error}", f"wrong settings: {error}"), err=True)
    sys.exit(2)


def told(error: ServiceError) -> str:
    """A refusal as one line for the terminal."""
    document = problem(error, "en" if english() else "zh")
    wrong_fields = ", ".join(document.get("errors", ()))
    return f"{document['title']} ({document['code']}{': ' if wrong_fields else ''}{wrong_fields})"


def asked_password() -> str:
    """The password of a new account: asked for twice at a terminal, else the first line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(words("密码", "Password"), hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what an installation refuses into one line and exit code 1, and SIGTERM into an orderly end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell script starts what it puts into the background with SIGINT ignored; it is to end us there too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except InstallationError as error:
        raise click.ClickException(str(error)) from None
    except ConfigError as error:
        wrong(error)


@contextmanager
def outages() -> Iterator[None]:
    """Turn a server that does not answer into one line and exit code 1."""
    from sqlalchemy.exc import DBAPIError

    from service.live.rehearsal import GeneratorError

    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).strip()
        raise click.ClickException(words(f"数据库：{said}", f"the database: {said}")) from None
    except (OSError, GeneratorError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def within(running: Path | None) -> Iterator[Config]:
    """An application with database and Valkey for one command; what it refuses becomes one line and exit code 1."""
    from service.app import create_core
    from service.extensions import db

    with refusals():
        config = settings(running)
    app = create_core(config)
    with refusals(), outages(), app.app_context():
        try:
            yield config
        except ServiceError as error:
            raise click.ClickException(told(error)) from None
        finally:
            db.session.remove()
            db.engine.dispose()
            app.extensions["valkey"].close()
