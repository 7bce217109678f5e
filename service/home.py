"""Organisation paths in tokens: where a member is at home, and whether it is a synthetic one who only rehearses.

A synthetic member's path is that of its home below a label that no organisation has. So everything that it leaves
behind, stays, check-ins and counts, lies outside every real subtree by its own path, wherever it is written, and still
names the nodes whose shape is rehearsed.
"""

_REHEARSAL = "0."


def rehearsed(home: str) -> str:
    """The path of a synthetic member whose home is at `home`."""
    return f"{_REHEARSAL}{home}"


def rehearses(organisation: str) -> bool:
    """Whether this is the path of a synthetic member."""
    return organisation.startswith(_REHEARSAL)


def home_of(organisation: str) -> str:
    """The place in the tree that a member's path stands for."""
    return organisation.removeprefix(_REHEARSAL)
