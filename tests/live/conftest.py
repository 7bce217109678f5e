"""Servers of their own for tests that stop, freeze and empty them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.stage import Stage, staged


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A private PostgreSQL and Valkey, whole again after every test."""
    folder = Path(tempfile.mkdtemp(prefix="chunshui-stage-", dir="/tmp"))
    folder.chmod(0o755)
    with staged(folder) as found:
        yield found
    shutil.rmtree(folder, ignore_errors=True)
