"""The supervisor: ports that two never share, data that two never share, parts that come back."""

import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from service.supervisor import InstallationError, Process, exclusive, kept_secret, reserve
from tests.waiting import eventually


def test_a_taken_port_is_replaced_and_said() -> None:
    said: list[str] = []
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with reserve(port, said.append) as held:
            assert held.getsockname()[1] > port
    assert len(said) == 1
    assert str(port) in said[0]


def test_two_never_reserve_the_same_port() -> None:
    with reserve(18_600, print) as one, reserve(18_600, print) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_our_own_process_may_listen_on_a_reserved_port() -> None:
    with reserve(18_600, print) as held, socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.bind(("127.0.0.1", held.getsockname()[1]))
        ours.listen()
        with socket.create_connection(ours.getsockname()), ours.accept()[0] as accepted:
            assert accepted.fileno() >= 0


def test_data_belong_to_one_installation(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(InstallationError), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_a_secret_is_made_once_and_kept_closed(tmp_path: Path) -> None:
    first = kept_secret(tmp_path / "secret")
    assert len(first) >= 32
    assert kept_secret(tmp_path / "secret") == first
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_process_that_will_not_end_is_made_to() -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        stubborn = Process(
            "stubborn", ["sh", "-c", "trap '' TERM; echo ready; sleep 60 & wait; wait"], dict(os.environ), log
        )
        stubborn.patience = 0.2
        stubborn.start()
        eventually(lambda: "ready" in log.read_text())
        stubborn.stop()
        assert stubborn.running is not None
        assert stubborn.running.returncode == -signal.SIGKILL
