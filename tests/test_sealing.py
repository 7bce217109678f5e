"""Secrets at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sealing import SealBrokenError, is_current, seal, unseal

OLD, NEW = "the secret of last year, 32 characters", "the secret of this year, 32 characters"


@given(st.binary(), st.text(max_size=40))
def test_what_was_sealed_opens(plain: bytes, context: str) -> None:
    assert unseal(seal(plain, secret=NEW, context=context), secrets=[NEW], context=context) == plain


def test_two_seals_of_the_same_differ() -> None:
    assert seal(b"same", secret=NEW, context="a") != seal(b"same", secret=NEW, context="a")


def test_after_a_change_of_secret_the_old_still_opens() -> None:
    sealed = seal(b"kept", secret=OLD, context="a")
    assert unseal(sealed, secrets=[NEW, OLD], context="a") == b"kept"
    assert (is_current(sealed, OLD), is_current(sealed, NEW)) == (True, False)


def test_a_forgotten_secret_opens_nothing() -> None:
    with pytest.raises(SealBrokenError, match="unknown key"):
        unseal(seal(b"kept", secret=OLD, context="a"), secrets=[NEW], context="a")


def test_another_owner_opens_nothing() -> None:
    with pytest.raises(SealBrokenError, match="another context"):
        unseal(seal(b"kept", secret=NEW, context="a"), secrets=[NEW], context="b")


@given(st.data())
def test_a_changed_bit_or_a_cut_breaks_the_seal(data: st.DataObject) -> None:
    sealed = bytearray(seal(b"kept", secret=NEW, context="a"))
    if data.draw(st.booleans()):
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
    with pytest.raises(SealBrokenError):
        unseal(bytes(sealed), secrets=[NEW], context="a")
