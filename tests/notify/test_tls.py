"""HTTPS: the certificate is checked against the name, although the connection goes to a checked address."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.notify.courier import Courier
from tests.notify.conftest import configured
from tests.notify.factories import all_deliveries, make_endpoint, publish_check_in
from tests.notify.receiver import Receiver, receiving


def write_certificate(folder: Path, *names: x509.GeneralName) -> Path:
    """A file with a fresh key and its own certificate for `names`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a receiver")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "receiver.pem"
    file.write_bytes(private + certificate.public_bytes(form))
    return file


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path, x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))


def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


@pytest.fixture
def secure_receiver(certificate: Path) -> Iterator[Receiver]:
    with receiving(context(certificate), host="localhost") as receiver:
        yield receiver


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_trusted_certificate(
    app: APIFlask, courier: Courier, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiving(context(certificate), host=host) as receiver:
        _, secret = make_endpoint(receiver.url)
        publish_check_in(count=3)
        courier(app)
        assert all(arrival.verified(secret) for arrival in receiver.arrivals)
    assert [delivery.state for delivery in all_deliveries()] == ["delivered"] * 3


def test_an_unknown_certificate(app: APIFlask, courier: Courier, secure_receiver: Receiver) -> None:
    configured(app, webhook_retry_seconds=60.0)
    make_endpoint(secure_receiver.url)
    publish_check_in()
    courier(app)
    assert [delivery.last_error for delivery in all_deliveries()] == ["tls"]
    assert not secure_receiver.arrivals


def test_a_certificate_for_another_name(
    app: APIFlask, courier: Courier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path, x509.DNSName("other.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    configured(app, webhook_retry_seconds=60.0)
    with receiving(context(certificate), host="localhost") as receiver:
        make_endpoint(receiver.url)
        publish_check_in()
        courier(app)
        assert not receiver.arrivals
    assert [delivery.last_error for delivery in all_deliveries()] == ["tls"]
