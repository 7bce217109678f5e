"""The organisation tree. A path names a node and all above it, so that a subtree is one range of one index."""

from datetime import date

from sqlalchemy import Select, Sequence, select

from service.extensions import db
from service.org.models import Organisation, within
from service.org.tree.paths import adopt

IDS = Sequence("organisations_id_seq")


def add_organisation(
    name: str, *, level: str, parent: Organisation | None = None, since: date | None = None, **more: str | None
) -> Organisation:
    """A new node below `parent`, in the caller's transaction, there since a day or as long as its parent.

    Its path is known at once. `more`: division_code, code, joint.
    """
    number = db.session.scalar(IDS)
    path = f"{parent.path}.{number}" if parent else str(number)
    organisation = Organisation(
        id=number,
        parent_id=parent.id if parent else None,
        path=path,
        name=name,
        level=level,
        **more,
    )
    db.session.add(organisation)
    db.session.flush()
    adopt(number, since)
    return organisation


def subtree(path: str) -> Select[Organisation]:
    """The organisation at `path` and all below it, parents first."""
    return select(Organisation).where(within(Organisation.path, path)).order_by(Organisation.path)


def lineage(path: str) -> list[int]:
    """The ids on `path`, the root's first, the node's own last."""
    return [int(part) for part in path.split(".") if part]
