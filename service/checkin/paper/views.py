"""The REST door of paper lists."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from apiflask import APIBlueprint
from flask import g

from service.auth import granted, uploading
from service.checkin.paper import importing
from service.checkin.paper.importing import Fate, Wish
from service.checkin.paper.schemas import PaperListIn, PaperListOut
from service.checkin.paper.words import explained
from service.clock import now as read_clock
from service.errors import language_of_request
from service.limits import per_account
from service.sheets import Limits

bp = APIBlueprint("paper", __name__, tag="Paper lists")

# What is entered within the time that a request has; longer lists are for the command line.
LIMITS = Limits(file_bytes=2 << 20, rows=2_000, columns=64, cell=500)
# The file and the form around it.
BYTES = LIMITS.file_bytes + (16 << 10)


@bp.post("/activities/<int(max=9223372036854775807):activity_id>/paper-lists")
@granted("roster")
@per_account
@uploading(BYTES)
@bp.input(PaperListIn, location="form_and_files")
@bp.output(PaperListOut)
def enter(activity_id: int, form_and_files_data: dict[str, Any]) -> dict[str, Any]:
    """Enter a paper list, up to 2,000 rows, for members of the organiser's part of the tree

    A row names its member by number and name, never by an identity number. Every row has its fate. The same list again
    changes nothing; `dry_run` shows what would be, `whole` writes all of it or nothing.
    """
    file = form_and_files_data.pop("file")
    # Read by a process of its own, which takes a file that is one.
    with NamedTemporaryFile(prefix="chunshui-list-") as kept:
        file.save(kept)
        kept.flush()
        wish = Wish(**form_and_files_data)
        done = importing.enter(g.organiser, activity_id, Path(kept.name), wish, read_clock(), limits=LIMITS)
    return {"written": done.written, "counts": done.counts, "rows": [shown(one) for one in done.fates]}


def shown(fate: Fate) -> dict[str, Any]:
    """A fate as PaperRowOut wants it."""
    told = {name: getattr(fate, name) for name in ("row", "fate", "member", "reason", "happened_at")}
    return told | {"explanation": explained(fate.reason, language_of_request()) if fate.reason else None}
