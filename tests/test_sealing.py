"""Secrets at rest."""

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from service.sealing import SM4GCM, SUITES, Key, Keyring, SealBrokenError, of_secrets, of_setting

OLD, NEW = "the secret of last year, 32 characters", "the secret of this year, 32 characters"
EARLIER = "ac292f1144c948b00f8fe49aed2b7762d86a818460486a7e84f554519c10df8af5bf5865a023e3f6"
SUITE_NAMES = st.sampled_from(sorted(SUITES))


def key(name: str, suite: str = "aes256", byte: int = 7) -> Key:
    return Key(name, SUITES[suite], bytes([byte]) * 32)


@given(SUITE_NAMES, st.binary(), st.text(max_size=40))
def test_what_was_sealed_opens(suite: str, plain: bytes, context: str) -> None:
    ring = Keyring([key("a", suite)])
    assert ring.unseal(ring.seal(plain, context), context) == plain


@pytest.mark.parametrize("suite", SUITES)
def test_two_seals_of_the_same_differ_and_their_indexes_do_not(suite: str) -> None:
    one = key("a", suite)
    assert one.seal(b"same", "a") != one.seal(b"same", "a")
    assert one.index(b"same", "a") == one.index(b"same", "a")


@given(SUITE_NAMES, st.binary(), st.binary(), st.text(max_size=9), st.text(max_size=9))
def test_indexes_agree_only_where_value_and_context_do(suite: str, a: bytes, b: bytes, one: str, two: str) -> None:
    # A context is ours and has no NUL; a value may have any byte.
    one, two = one.replace("\0", ""), two.replace("\0", "")
    agree = key("a", suite).index(a, one) == key("a", suite).index(b, two)
    assert agree == ((a, one) == (b, two))


def test_indexes_of_two_keys_differ() -> None:
    assert len(set(Keyring([key("a"), key("b", byte=8), key("c", "sm4")]).indexes(b"same", "a"))) == 3


def test_after_a_change_of_secret_the_old_still_opens() -> None:
    sealed = of_secrets((OLD,)).seal(b"kept", "a")
    changed = of_secrets((NEW, OLD))
    assert changed.unseal(sealed, "a") == b"kept"
    assert (of_secrets((OLD,)).is_current(sealed), changed.is_current(sealed)) == (True, False)


def test_what_an_earlier_release_sealed_still_opens() -> None:
    """Made by the release that knew AES-256-GCM under SECRET_KEY alone."""
    sealed = bytes.fromhex(EARLIER)
    assert of_secrets((OLD,)).unseal(sealed, "a") == b"kept"


@given(SUITE_NAMES, SUITE_NAMES)
def test_another_key_opens_nothing(suite: str, other: str) -> None:
    with pytest.raises(SealBrokenError, match="unknown key"):
        Keyring([key("a", other, byte=8)]).unseal(key("a", suite).seal(b"kept", "a"), "a")
    with pytest.raises(SealBrokenError):
        key("a", other, byte=8).unseal(key("a", suite).seal(b"kept", "a"), "a")


@given(SUITE_NAMES, st.text(max_size=9), st.text(max_size=9))
def test_another_owner_opens_nothing(suite: str, one: str, two: str) -> None:
    sealed = key("a", suite).seal(b"kept", one)
    if one != two:
        with pytest.raises(SealBrokenError, match="another context"):
            key("a", suite).unseal(sealed, two)


@given(SUITE_NAMES, st.data())
def test_a_changed_bit_or_a_cut_breaks_the_seal(suite: str, data: st.DataObject) -> None:
    ring = Keyring([key("a", suite)])
    sealed = bytearray(ring.seal(b"kept", "a"))
    if data.draw(st.booleans()):
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
    with pytest.raises(SealBrokenError):
        ring.unseal(bytes(sealed), "a")


def test_a_setting_spells_keys() -> None:
    material = base64.b64encode(bytes(range(32))).decode()
    ring = of_setting(f"2026:sm4:{material}, 2025:aes256:{material}")
    assert [one.id for one in ring.keys] == ["2026", "2025"]
    assert ring.unseal(of_setting(f"2025:aes256:{material}").seal(b"kept", "a"), "a") == b"kept"


@pytest.mark.parametrize(
    "text", ["", "a", "a:aes256:", "a:aes256:c2hvcnQ=", "a:des:{m}", "A:sm4:{m}", "a:sm4:{m},a:sm4:{m}"]
)
def test_a_setting_that_spells_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|id"):
        of_setting(text.replace("{m}", base64.b64encode(bytes(32)).decode()))


def test_aes_256_gcm_known_answer() -> None:
    """The GCM specification's test case 16."""
    aead = AESGCM(bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2))
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    context = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = aead.encrypt(bytes.fromhex("cafebabefacedbaddecaf888"), plain, context)
    assert sealed[-16:].hex() == "76fc6ece0f4e1768cddf8853bb2d551b"
    assert sealed[:16].hex() == "522dc1f099567d07f47f37a32a84427d"


def test_sm4_gcm_known_answer() -> None:
    """RFC 8998, appendix A.1."""
    aead = SM4GCM(bytes.fromhex("0123456789abcdeffedcba9876543210"))
    plain = bytes.fromhex("aa" * 8 + "bb" * 8 + "cc" * 8 + "dd" * 8 + "ee" * 8 + "ff" * 8 + "ee" * 8 + "aa" * 8)
    nonce, context = (
        bytes.fromhex("00001234567800000000abcd"),
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    )
    sealed = aead.encrypt(nonce, plain, context)
    assert sealed.hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15"
        "a56834cbcf98c397b4024a2691233b8d83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert aead.decrypt(nonce, sealed, context) == plain


def test_sm3_known_answer() -> None:
    """GB/T 32905, example 1."""
    digest = Hash(SM3())
    digest.update(b"abc")
    assert digest.finalize().hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_hmac_sm3_is_hmac_over_sm3() -> None:
    """RFC 2104 written out: the library's HMAC and its hash agree."""

    def sm3(data: bytes) -> bytes:
        digest = Hash(SM3())
        digest.update(data)
        return digest.finalize()

    secret, message = bytes(range(32)), b"13800000001"
    mac = HMAC(secret, SM3())
    mac.update(message)
    padded = secret.ljust(64, b"\0")
    inner = sm3(bytes(byte ^ 0x36 for byte in padded) + message)
    assert mac.finalize() == sm3(bytes(byte ^ 0x5C for byte in padded) + inner)
