"""Paths of divisions, which follow their parents."""

from sqlalchemy import text

from service.extensions import db
from service.org.models import LEVELS

# One level a round.
FOLLOW = text(
    """
    UPDATE divisions SET path = parent.path || '.' || divisions.code FROM divisions AS parent
    WHERE divisions.parent_code = parent.code AND divisions.path <> parent.path || '.' || divisions.code
    """
)


def follow() -> None:
    """Let those below a division whose parent has just changed move with it."""
    for _ in LEVELS:
        db.session.execute(FOLLOW)
