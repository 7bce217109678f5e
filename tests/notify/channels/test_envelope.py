"""The known answers of WeChat's pages on message push, and whatever else comes."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.notify.channels.wechat.envelope import EnvelopeError, Seal, decode_key, signature
from service.sandbox.events import seal as sealed_by_wechat

TOKEN, APPID = "AAAAA", "wxba5fad812f8e6fb9"
SEAL = Seal(APPID, TOKEN, decode_key("A" * 43))
INBOUND = (
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8X"
    "GT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIj"
    "df8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
)


def test_greetings() -> None:
    assert signature(TOKEN, "1714036504", "1514711492") == "f464b24fc39322e44b38aa78f5edd27bd1441696"
    assert signature(TOKEN, "1714037059", "486452656") == "899cf89e464efb63f54ddac96b0a0a235f53aa78"
    assert SEAL.greets("f464b24fc39322e44b38aa78f5edd27bd1441696", "1714036504", "1514711492")
    assert not SEAL.greets("f464b24fc39322e44b38aa78f5edd27bd1441696", "1714036504", "1514711493")
    assert not SEAL.greets("中", "1714036504", "1514711492")


def test_an_answer_is_closed() -> None:
    encrypted = SEAL.close(b'{"demo_resp":"good luck"}', b"707722b803182950")
    assert encrypted == "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
    assert signature(TOKEN, "1713424427", "415670741", encrypted) == "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"


def test_a_message_is_opened() -> None:
    given_ = "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"
    opened = SEAL.open(INBOUND, given=given_, timestamp="1714112445", nonce="415670741")
    assert opened.startswith(b"{")
    assert opened.endswith(b"}")
    assert b"ToUserName" in opened


def opened_by(seal: Seal, encrypted: str, **changes: str) -> bytes:
    """What `seal` finds in `encrypted`, signed as it should be."""
    whole = {"timestamp": "1", "nonce": "2"} | changes
    whole.setdefault("given", signature(seal.token, whole["timestamp"], whole["nonce"], encrypted))
    return seal.open(encrypted, **whole)


@pytest.mark.parametrize("changes", [{"given": "0" * 40}, {"given": ""}, {"given": signature(TOKEN, "1", "2")}])
def test_only_the_signature_over_the_message_counts(changes: dict[str, str]) -> None:
    with pytest.raises(EnvelopeError, match="signature"):
        opened_by(SEAL, INBOUND, **changes)


def test_a_message_for_another_app_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="appid"):
        opened_by(SEAL, sealed_by_wechat(b"{}", appid="wxother"))


def test_a_length_beyond_the_message_is_refused() -> None:
    salt, appid = b"s" * 16, APPID.encode()
    plain = salt + (10**6).to_bytes(4, "big") + b"{}" + appid
    missing = 32 - len(plain) % 32
    encryptor = SEAL._cipher().encryptor()
    sealed = base64.b64encode(encryptor.update(plain + bytes([missing]) * missing)).decode()
    with pytest.raises(EnvelopeError, match="length"):
        opened_by(SEAL, sealed)


def test_with_another_key_nothing_opens() -> None:
    other = Seal(APPID, TOKEN, decode_key(base64.b64encode(hashlib.sha256(b"x").digest()).decode().rstrip("=")))
    with pytest.raises(EnvelopeError):
        opened_by(other, INBOUND)


@given(st.binary(max_size=200))
def test_every_message_comes_through_whatever_its_length(message: bytes) -> None:
    assert opened_by(SEAL, sealed_by_wechat(message, appid=APPID)) == message
    assert opened_by(SEAL, SEAL.close(message, b"s" * 16)) == message


@given(st.one_of(st.text(max_size=100), st.binary(max_size=128).map(lambda data: base64.b64encode(data).decode())))
def test_garbage_that_is_rightly_signed_is_refused_all_the_same(encrypted: str) -> None:
    with pytest.raises(EnvelopeError):
        opened_by(SEAL, encrypted)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_message_that_was_touched_is_refused(place: int, change: int) -> None:
    sealed = bytearray(base64.b64decode(INBOUND))
    sealed[place % len(sealed)] ^= change
    touched = base64.b64encode(bytes(sealed)).decode()
    with pytest.raises(EnvelopeError, match="signature"):
        opened_by(
            SEAL, touched, given="046e02f8204d34f8ba5fa3b1db94908f3df2e9b3", timestamp="1714112445", nonce="415670741"
        )


@pytest.mark.parametrize("text", ["", "A" * 42, "A" * 44, "!" * 43, "中" * 43])
def test_keys_are_43_characters_of_base64(text: str) -> None:
    with pytest.raises(ValueError, match="43"):
        decode_key(text)


def test_no_secret_is_shown() -> None:
    assert repr(SEAL) == f"Seal(appid='{APPID}')"
