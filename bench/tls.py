"""What TLS costs: joins per CPU-second of gateway and TLS terminator together, against the gateway alone.

HAProxy takes TLS 1.3 off and passes the bytes on, as in deployment. The members speak TLS too; what that costs them is
stated apart. They are new phones: nobody has a session to resume, which is what nine o'clock is like.
"""

import datetime
import ipaddress
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.figures import Figure, Goal, against
from bench.joins import SETTLE_SECONDS, Meter, Round
from bench.servers import Running, ours, start, wait_until_it_accepts
from bench.stage import Stage, free_port, process_cpu
from bench.storm import WARM_UP, WINDOW, storm, warm_up

ROUNDS = 3
MEMBERS = 4_000
REST_SECONDS = 1.5
HOST = "127.0.0.1"
PROXY = """\
global
    maxconn 9000
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend members
    bind {host}:{port} ssl crt {pem} ssl-min-ver TLSv1.3
    default_backend gateway
backend gateway
    server worker {host}:{gateway}
"""
NOTE = f"""\
TLS: {ROUNDS} interleaved rounds, medians; one gateway worker, {MEMBERS:,} members, {WINDOW} joins under way at a time,
the server's CPU counted until {SETTLE_SECONDS:g} s after the last join. TLS 1.3 with an ECDSA P-256 certificate is
ended by HAProxy (one thread, TCP mode) on the same machine; every handshake is a full one, no session is resumed."""


@dataclass(frozen=True)
class Terminated(Running):
    """A gateway behind a TLS terminator: what it uses is what both use."""

    terminator: "subprocess.Popen[bytes]"
    readings: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        """User and system seconds of both; the terminator's part is kept."""
        self.readings.append(process_cpu(self.terminator))
        return super().cpu() + self.readings[-1]

    def memory(self) -> int:
        """USS of both."""
        return super().memory() + int(psutil.Process(self.terminator.pid).memory_full_info().uss)


def measure(stage: Stage, say: Callable[[str], None]) -> tuple[list[Figure], list[str]]:
    """The row of the table and the notes below it."""
    haproxy = installed_haproxy()
    plain: list[Round] = []
    secure: list[tuple[Round, float]] = []
    for number in range(ROUNDS):
        plain.append(_plain(stage))
        secure.append(_secure(stage, haproxy))
        say(f"round {number + 1}: plain {_described(plain[-1])}; TLS {_described(secure[-1][0])}")
    behind = median(one.joins_per_cpu_second for one, _ in secure)
    alone = median(one.joins_per_cpu_second for one in plain)
    goal = Goal("measured")
    row = against("join_tls", ours=behind, unit="joins per CPU-second", peer="plaintext", peer_value=alone, goal=goal)
    return [row], _notes(haproxy, plain, secure)


def _plain(stage: Stage) -> Round:
    stage.clear()
    with start(ours(), stage) as running:
        return _round(running, stage)


def _secure(stage: Stage, haproxy: Path) -> tuple[Round, float]:
    """A round behind the terminator, and the CPU seconds of the terminator in it."""
    stage.clear()
    with start(ours(), stage) as gateway, terminating(gateway, haproxy) as running:
        found = _round(running, stage)
        return found, running.readings[-1] - running.readings[0]


def _round(running: Running, stage: Stage) -> Round:
    warm_up(running, stage)
    meter = Meter(running, stage)
    return meter.round(storm(running, stage, members=MEMBERS, first=1 + WARM_UP, rest=REST_SECONDS, report=meter))


@contextmanager
def terminating(gateway: Running, haproxy: Path) -> Iterator[Terminated]:
    """HAProxy in front of `gateway`, with a certificate that the members of this block trust."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="chunshui-tls-") as name, trusted(Path(name)) as pem:
        file = Path(name) / "haproxy.cfg"
        file.write_text(PROXY.format(host=HOST, port=port, pem=pem, gateway=gateway.url.rsplit(":", 1)[1]))
        process = subprocess.Popen([haproxy, "-f", file, "-db", "-q"])
        try:
            wait_until_it_accepts(port, process)
            yield Terminated(gateway.server, f"https://{HOST}:{port}", gateway.process, process)
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def trusted(folder: Path) -> Iterator[Path]:
    """A new certificate with its key, which processes started within the block trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    private = serialization.PrivateFormat.TraditionalOpenSSL
    secret = key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(pem + secret)
    previous = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    try:
        yield folder / "server.pem"
    finally:
        del os.environ["SSL_CERT_FILE"]
        if previous is not None:
            os.environ["SSL_CERT_FILE"] = previous


def installed_haproxy() -> Path:
    """Where HAProxy is, from Debian's package if it has to be installed; RuntimeError if there is no way to."""
    if not shutil.which("haproxy") and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "haproxy"]):
            subprocess.run(["apt-get", "-qq", *command], check=False, stdout=subprocess.DEVNULL)
    found = shutil.which("haproxy")
    if found is None:
        raise RuntimeError("join_tls needs HAProxy, in Debian: apt-get install haproxy")
    return Path(found)


def _notes(haproxy: Path, plain: list[Round], secure: list[tuple[Round, float]]) -> list[str]:
    version = subprocess.run([haproxy, "-v"], capture_output=True, text=True, check=True).stdout.split()[2]
    return [
        NOTE,
        "",
        *(f"- plaintext: {_described(one)}" for one in plain),
        *(f"- TLS: {_described(one)}, of the server's {terminator:.2f} HAProxy" for one, terminator in secure),
        f"- HAProxy {version}",
    ]


def _described(one: Round) -> str:
    return (
        f"{one.joins_per_cpu_second:,.0f} joins per CPU-second"
        f" (CPU seconds: server {one.server_cpu:.2f}, members {one.generator_cpu:.2f})"
    )
