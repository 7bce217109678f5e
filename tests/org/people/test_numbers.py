"""What can be a phone or an identity number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.org.people.numbers import check_character, identity, phone


@pytest.mark.parametrize("text", ["13800000001", " +86 138-0000-0001", "008613800000001", "１３８００００００01"])
def test_a_phone_in_any_spelling(text: str) -> None:
    assert phone(text) == "13800000001"


@pytest.mark.parametrize("text", ["", "12800000001", "1380000000", "138000000012", "1.38E+10", "1٣800000001"])
def test_not_a_mobile_number(text: str) -> None:
    assert phone(text) is None


@pytest.mark.parametrize("text", ["11010519491231002X", "110105 19491231 002x", "440524188001010014"])
def test_the_standards_own_examples(text: str) -> None:
    assert identity(text) == text.replace(" ", "").upper()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "110105194912310021",
        "11010519490231002X",
        "110105491231002",
        "01010519491231002X",
        "5.1E+17",
        "110105000000000020",
    ],
)
def test_not_an_identity_number(text: str) -> None:
    assert identity(text) is None


DIGITS = st.from_regex(
    r"[1-9][0-9]{5}(19[0-9]{2}|20[0-2][0-9])(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])[0-9]{3}", fullmatch=True
)


@given(DIGITS, st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(digits: str, place: int, by: int) -> None:
    right = digits + check_character(digits)
    assert identity(right) == right
    wrong = right[:place] + str((int(right[place]) + by) % 10) + right[place + 1 :]
    assert identity(wrong) is None


@given(DIGITS, st.integers(0, 15))
def test_two_swapped_neighbours_are_always_found(digits: str, place: int) -> None:
    right = digits + check_character(digits)
    swapped = right[:place] + right[place + 1] + right[place] + right[place + 2 :]
    assert (identity(swapped) is None) == (swapped != right)
