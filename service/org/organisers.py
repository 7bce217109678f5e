"""Who organises: an account with what it is granted just now."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, false, or_
from sqlalchemy.orm import InstrumentedAttribute

from service.errors import ServiceError
from service.org.models import covers, within


class Held(NamedTuple):
    """One grant that holds now: for which purpose, and the path at and below which."""

    role: str
    purpose: str
    path: str


@dataclass(frozen=True, slots=True)
class Organiser:
    """Who organises: an account, its organisation, and the grants that hold at this moment."""

    id: int
    name: str
    organisation_id: int
    organisation_name: str
    organisation_path: str
    session: int = 0
    grants: tuple[Held, ...] = ()
    # Whether a second factor has yet to be set up before anything else is possible.
    lacks_factor: bool = False

    def paths(self, purpose: str) -> tuple[str, ...]:
        """The highest nodes of the tree at and below which it may act for `purpose`."""
        granted = sorted({grant.path for grant in self.grants if grant.purpose == purpose})
        return tuple(one for one in granted if not any(one != top and covers(top, one) for top in granted))

    def may(self, purpose: str, path: str) -> bool:
        """Whether it may act for `purpose` at the node `path`."""
        return any(covers(granted, path) for granted in self.paths(purpose))

    def reaches(self, purpose: str, column: InstrumentedAttribute[str]) -> ColumnElement[bool]:
        """The same as a condition on a column of paths."""
        return or_(false(), *(within(column, path) for path in self.paths(purpose)))

    def check(self, *purposes: str) -> None:
        """ServiceError second_factor_missing or forbidden unless it may act for one of `purposes` anywhere."""
        if self.lacks_factor:
            raise ServiceError("second_factor_missing")
        if not any(map(self.paths, purposes)):
            raise ServiceError("forbidden")
