"""How many connections a member has at once, on one worker: a handful, and the newest always gets in.

The oldest goes, not the newest: a phone that lost its network comes again while its old connection still seems open.
Each worker counts for itself: with several of them a member may have that many on each.
"""

from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class Devices(Generic[Connection]):
    """Connections by member, the oldest first; `limit` at most for each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Nearly everybody has one: no list for them.
        self._one: dict[int, Connection] = {}
        self._more: dict[int, list[Connection]] = {}
        self._size = 0

    def add(self, member: int, connection: Connection) -> Connection | None:
        """Take in a new connection; the one that has to go for it, taken out already."""
        self._size += 1
        first = self._one.setdefault(member, connection)
        if first is connection:
            return None
        others = self._more.setdefault(member, [])
        others.append(connection)
        if len(others) < self._limit:
            return None
        self.remove(member, first)
        return first

    def remove(self, member: int, connection: Connection) -> None:
        """Take a connection out; quiet when it is not in."""
        others = self._more.get(member)
        if self._one.get(member) is connection:
            if others:
                self._one[member] = others.pop(0)
            else:
                del self._one[member]
        elif others and connection in others:
            others.remove(connection)
        else:
            return
        self._size -= 1
        if others is not None and not others:
            del self._more[member]

    def of(self, member: int) -> list[Connection]:
        """The connections of a member, the oldest first."""
        return [self._one[member], *self._more.get(member, [])] if member in self._one else []

    def __len__(self) -> int:
        return self._size
