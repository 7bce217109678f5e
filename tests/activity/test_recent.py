"""What is shown alike to everybody is read once a moment."""

from typing import Any

from service.activity.recent import MOST, Recent


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_shape_is_made_once_until_it_is_too_old() -> None:
    clock, made = Clock(), list[int]()

    def make() -> dict[str, Any]:
        made.append(len(made))
        return {"number": made[-1]}

    recent = Recent(1.0, clock)
    assert [recent.get("a", make)["number"] for _ in range(3)] == [0, 0, 0]
    assert recent.get("b", make) == {"number": 1}
    clock.now = 1.0
    assert recent.get("a", make) == {"number": 2}


def test_while_it_is_made_the_others_get_the_one_there_is() -> None:
    clock = Clock()
    recent = Recent(1.0, clock)
    recent.get("a", lambda: {"number": 0})
    clock.now = 1.0
    meanwhile = list[dict[str, Any]]()

    def make() -> dict[str, Any]:
        meanwhile.append(recent.get("a", dict))
        return {"number": 1}

    assert recent.get("a", make) == {"number": 1}
    assert meanwhile == [{"number": 0}]


def test_what_was_read_before_an_edit_is_not_kept_after_it() -> None:
    recent = Recent(1.0, Clock())

    def make() -> dict[str, Any]:
        recent.forget()
        return {"number": 0}

    assert recent.get("a", make) == {"number": 0}
    assert recent.get("a", lambda: {"number": 1}) == {"number": 1}
    recent.forget()
    assert recent.get("a", lambda: {"number": 2}) == {"number": 2}


def test_keys_that_strangers_choose_do_not_pile_up() -> None:
    recent = Recent(1.0, Clock())
    for number in range(3 * MOST):
        recent.get(number, dict)
    assert len(recent) <= MOST
