"""The ear that listens to every test, and the grep over the logs of processes, hear what they should."""

import logging
import secrets
import subprocess
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.conftest import Ear
from tests.factories import PASSWORD, make_member
from tests.logs import Overheard, tells, unhandled

TOKEN = "W" * 44 + "." + "x" * 43
SECRETS = [
    "张三",
    PASSWORD,
    f"token={TOKEN}",
    "code 52BC-AUX8-67JA-YV8N",
    "13800138000",
    "51010119900307123X",
    "whsec_a",
    "cookie Zq8" + "x" * 40,
    "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    "first:aes256:" + "A" * 43,
    "postgresql://chunshui:hunter2@db/chunshui",
    "52BC-AUX8-67JA-YV8N",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_every_way_to_log_is_heard(ear: Ear, secret: str, tmp_path: Path) -> None:
    logging.getLogger("service.somewhere").warning("of %s", secret)
    structlog.get_logger("service.elsewhere").info("told", of=secret)
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger("service.somewhere").exception("failed")
    assert len(ear.heard) == 3
    ear.heard.clear()
    log = tmp_path / "web.log"
    log.write_text(f'{{"event": "told", "of": "{secret}", "level": "info"}}\n{{"event": "told", "level": "info"}}\n')
    assert len(unhandled(log)) == 1


def test_what_this_process_drew_or_made_is_known(db: Session) -> None:
    """Whatever it looks like."""
    assert tells(f"drew {secrets.token_urlsafe(16)} for somebody")
    make_member(name="欧阳某某")
    assert tells("the member is 欧阳某某.")
    assert not tells("drew nothing for nobody")


def test_a_process_is_heard_when_its_log_is_gone(tmp_path: Path) -> None:
    overheard, log = Overheard(), tmp_path / "gone.log"
    with log.open("w") as output:
        overheard.keep(output)
        overheard.keep(output)
        overheard.keep(subprocess.DEVNULL)
        output.write("of 13800138000\nof nobody\n")
    log.unlink()
    assert list(overheard.lines()) == ["of 13800138000\n"]


def test_the_database_does_not_quote_what_it_refuses(db: Session, server_folder: Path) -> None:
    """Its log says which rule was broken, and neither the row nor the statement."""
    unwelcome = text("INSERT INTO members (name, organisation_id) VALUES ('司徒无名', NULL)")
    with pytest.raises(IntegrityError), db.begin_nested():
        db.execute(unwelcome)
    log = (server_folder / "postgres.log").read_text()
    assert 'null value in column "organisation_id"' in log
    assert "司徒无名" not in log


def test_numbers_of_rows_and_times_are_no_numbers_of_people(ear: Ear) -> None:
    structlog.get_logger("service.elsewhere").info(
        "told", boot="7b0c0b6e-0d4c-4c3e-9c53-0a3f8a3c1b11", at=1790000000.123
    )
    assert ear.heard == []
